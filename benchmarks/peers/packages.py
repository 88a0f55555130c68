"""The peers, what of them is compared, and an environment for each that is a package."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.rivals.packages import environment_with

OURS, BY_HAND = "this project", "by hand"


class Peer(NamedTuple):
    """One way to train the same network.

    Args:
        how: it is used, in short.
        workloads: which it can train.
        package: what is installed beside our torch, with its version; None for nothing.
    """

    how: str
    workloads: tuple[str, ...]
    package: str | None = None


class Workload(NamedTuple):
    """What is trained.

    Args:
        title: for the tables.
        overrides: of our command.
        batch_size: windows in a step.
    """

    title: str
    overrides: tuple[str, ...]
    batch_size: int


LSTM_32 = Workload("LSTM 2x50, (32, 60, 1)", ("experiment=price_lstm",), 32)
LSTM_256 = Workload("LSTM 2x50, (256, 60, 1)", (*LSTM_32.overrides, "data.batch_size=256"), 256)
TRANSFORMER = Workload("transformer, 2 layers, (64, 20, 129)", ("experiment=bars_transformer",), 64)
WORKLOADS = {"lstm_32": LSTM_32, "lstm_256": LSTM_256, "transformer": TRANSFORMER}
_LSTMS = ("lstm_32", "lstm_256")

PEERS = {
    BY_HAND: Peer(
        "one tensor of windows, shuffled indices, Adam; no logger, checkpoint, bar or diagnosis",
        tuple(WORKLOADS),
    ),
    "Lightning script": Peer(
        "DataLoader, `self.log`, TensorBoard, best checkpoint, progress bar", tuple(WORKLOADS)
    ),
    OURS: Peer(
        "`python -m src.train`: all that, diagnosis, test scores, forecasts, pictures",
        tuple(WORKLOADS),
    ),
    "neuralforecast": Peer("`NeuralForecast([LSTM(...)]).fit`", _LSTMS, "neuralforecast==3.3.0"),
    "darts": Peer("`BlockRNNModel('LSTM', ...).fit`", _LSTMS, "darts==0.48.1"),
    "pytorch-forecasting": Peer(
        "`RecurrentNetwork.from_dataset`, Trainer as in its tutorials",
        _LSTMS,
        "pytorch-forecasting==1.8.0",
    ),
}


def make_environment(name: str, folder: Path) -> Path:
    """Return the Python that a peer runs on, which is made if it is not there.

    Args:
        name: the peer's.
        folder: of all environments.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    package = PEERS[name].package
    return environment_with(package, folder / name if package else None)
