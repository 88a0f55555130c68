"""One training by one peer, as its documentation shows it; runs in its environment.

python -m benchmarks.peers.programs PEER WORKLOAD EPOCHS FOLDER STARTED

Nothing is imported at the top but what each of them would import itself.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.clock import Clock, watch_trainers

Train = Callable[[str, int, Path, Clock], None]
CONTEXT, HIDDEN, LAYERS = 60, 50, 2
BATCH_SIZES = {"lstm_32": 32, "lstm_256": 256, "transformer": 64}
OVERRIDES = {
    "lstm_32": ["experiment=price_lstm"],
    "lstm_256": ["experiment=price_lstm", "data.batch_size=256"],
    "transformer": ["experiment=bars_transformer"],
}


def _network(workload: str) -> Any:
    """The network of a workload in plain torch."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(1, HIDDEN, LAYERS, batch_first=True)
            self.head = nn.Linear(HIDDEN, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    class Attentive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(129, 128)
            self.place = nn.Parameter(torch.zeros(20, 128))
            layer = nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.score, self.head = nn.Linear(128, 1), nn.Linear(128, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            states = self.encoder(self.project(x) + self.place)
            weights = self.score(states).softmax(dim=1)
            return self.head((weights * states).sum(dim=1))

    return Attentive() if workload == "transformer" else Recurrent()


def _tensors(workload: str, folder: Path) -> Any:
    """The windows as tensors: training x and y, validation x and y."""
    import numpy as np
    import torch

    with np.load(folder / f"{workload}.npz") as arrays:
        return [torch.from_numpy(arrays[f"{p}_{v}"]) for p in ("train", "val") for v in "xy"]


def by_hand(workload: str, epochs: int, folder: Path, clock: Clock) -> None:
    """One tensor of windows, a shuffled index, Adam's defaults: what a tutorial shows."""
    import torch
    from torch.nn import functional as F

    torch.manual_seed(0)
    x, y, val_x, val_y = _tensors(workload, folder)
    model = _network(workload)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        model.train()
        for index in torch.randperm(len(x)).split(BATCH_SIZES[workload]):
            clock.step()
            loss = F.mse_loss(model(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            clock.validated(F.mse_loss(model(val_x), val_y).item())


def lightning_script(workload: str, epochs: int, folder: Path, clock: Clock) -> None:
    """What Lightning's own documentation starts with."""
    import lightning.pytorch as pl
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import TensorBoardLogger
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = _network(workload)

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            loss = F.mse_loss(self.model(batch[0]), batch[1])
            self.log("train_loss", loss, prog_bar=True)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", F.mse_loss(self.model(batch[0]), batch[1]), prog_bar=True)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    watch_trainers(pl, clock)
    pl.seed_everything(0)
    x, y, val_x, val_y = _tensors(workload, folder)
    size = BATCH_SIZES[workload]
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=TensorBoardLogger(folder / "logs"),
        callbacks=[ModelCheckpoint(monitor="val_loss")],
    )
    train = DataLoader(TensorDataset(x, y), batch_size=size, shuffle=True)
    trainer.fit(Module(), train, DataLoader(TensorDataset(val_x, val_y), batch_size=size))


def ours(workload: str, epochs: int, folder: Path, clock: Clock) -> None:
    """The command, with nothing but the clock beside it."""
    from src.importing import importing
    from src.train import command, main

    train = command.work

    def timed(job: Any) -> None:
        with importing():
            import lightning.pytorch as pl

            import src.runs.run  # noqa: F401
        watch_trainers(pl, clock)
        train(job)

    command.work = timed
    epochs_and_place = [f"trainer.max_epochs={epochs}", f"log_dir={folder / 'ours'}"]
    main([*OVERRIDES[workload], "trainer=cpu", *epochs_and_place])


def _prices(folder: Path) -> Any:
    """The closes up to the end of the validation part, and how many of them are for training."""
    import numpy as np

    train, val = (np.load(folder / f"{part}_prices.npy") for part in ("train", "val"))
    return np.concatenate([train, val]), len(train)


def neuralforecast(workload: str, epochs: int, folder: Path, clock: Clock) -> None:
    """As many steps on as many windows as an epoch of the others has."""
    import pandas as pd
    import pytorch_lightning as pl
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    watch_trainers(pl, clock)
    prices, train = _prices(folder)
    dates = pd.date_range("1999-01-04", periods=len(prices), freq="D")
    frame = pd.DataFrame({"unique_id": "index", "ds": dates, "y": prices})
    size = BATCH_SIZES[workload]
    steps = -(-train // size)
    model = LSTM(
        h=1,
        input_size=CONTEXT,
        encoder_n_layers=LAYERS,
        encoder_hidden_size=HIDDEN,
        max_steps=epochs * steps,
        val_check_steps=steps,
        batch_size=1,
        windows_batch_size=size,
        scaler_type="standard",
        random_seed=0,
        accelerator="cpu",
        default_root_dir=str(folder / "neuralforecast"),
    )
    forecaster = NeuralForecast(models=[model], freq="D")
    forecaster.fit(frame, val_size=len(prices) - train)


def darts(workload: str, epochs: int, folder: Path, clock: Clock) -> None:
    """The series scaled, in float32, as its guide on torch models says."""
    import numpy as np
    import pytorch_lightning as pl
    from darts import TimeSeries
    from darts.dataprocessing.transformers import Scaler
    from darts.models import BlockRNNModel

    watch_trainers(pl, clock)
    prices, train = _prices(folder)
    series = TimeSeries.from_values(prices.astype(np.float32))
    scaler = Scaler()
    scaled = scaler.fit_transform(series[:train])
    val = scaler.transform(series[train - CONTEXT :])
    model = BlockRNNModel(
        input_chunk_length=CONTEXT,
        output_chunk_length=1,
        model="LSTM",
        hidden_dim=HIDDEN,
        n_rnn_layers=LAYERS,
        batch_size=BATCH_SIZES[workload],
        n_epochs=epochs,
        random_state=0,
        pl_trainer_kwargs={"accelerator": "cpu"},
        work_dir=str(folder / "darts"),
    )
    model.fit(scaled, val_series=val)


def pytorch_forecasting(workload: str, epochs: int, folder: Path, clock: Clock) -> None:
    """A data set of time series, its loaders, a network made from it, as its tutorials say."""
    import lightning.pytorch as pl
    import pandas as pd
    from pytorch_forecasting import RecurrentNetwork, TimeSeriesDataSet

    watch_trainers(pl, clock)
    pl.seed_everything(0)
    prices, train = _prices(folder)
    frame = pd.DataFrame({"series": "index", "time_idx": range(len(prices)), "close": prices})
    training = TimeSeriesDataSet(
        frame[:train],
        time_idx="time_idx",
        target="close",
        group_ids=["series"],
        max_encoder_length=CONTEXT,
        min_encoder_length=CONTEXT,
        max_prediction_length=1,
        time_varying_unknown_reals=["close"],
    )
    validation = TimeSeriesDataSet.from_dataset(training, frame, min_prediction_idx=train)
    size = BATCH_SIZES[workload]
    loaders = [
        data.to_dataloader(train=data is training, batch_size=size, num_workers=0)
        for data in (training, validation)
    ]
    network = RecurrentNetwork.from_dataset(
        training, cell_type="LSTM", hidden_size=HIDDEN, rnn_layers=LAYERS, learning_rate=1e-3
    )
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", default_root_dir=folder / "pytorch_forecasting"
    )
    trainer.fit(network, *loaders)


PROGRAMS: dict[str, Train] = {
    "by hand": by_hand,
    "Lightning script": lightning_script,
    "this project": ours,
    "neuralforecast": neuralforecast,
    "darts": darts,
    "pytorch-forecasting": pytorch_forecasting,
}


def main(peer: str, workload: str, epochs: str, folder: str, started: str) -> None:
    """Train, and write down when what happened."""
    clock = Clock(float(started))
    try:
        PROGRAMS[peer](workload, int(epochs), Path(folder), clock)
    finally:
        clock.write(Path(folder) / "clock.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
