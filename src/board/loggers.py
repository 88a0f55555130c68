"""Lightning's loggers, bound to one run: its folder, its name, and one record from fit to test.

`wandb` and `mlflow` are extras; asking for one that is not installed is a user's error.
"""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, loggers
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from src.diagnostics.isolation import untouched
from src.files import write_text


class TensorBoardLogger(loggers.TensorBoardLogger):
    """Keep one event file from the start of fit to the end of test.

    Lightning ends its event file with every fit, validation and test, so that one run leaves
    several. Here these only flush; `close` ends the file.

    Args:
        save_dir: the run folder; the event file lies directly in it.
        log_graph: write the module's graph, which needs its `example_input_array`.
        options: further arguments of torch's SummaryWriter.
    """

    def __init__(self, save_dir: str, log_graph: bool = False, **options: Any) -> None:
        super().__init__(
            save_dir, name="", version="", log_graph=log_graph, default_hp_metric=False, **options
        )

    @rank_zero_only
    def log_graph(self, model: LightningModule, input_array: Tensor | None = None) -> None:  # type: ignore[override]
        """Write the graph, if asked to; random numbers and buffers stay as they were."""
        if not self._log_graph:
            return
        # The tracer runs twice, and the fused attention of evaluation looks different each time.
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with untouched(model), warnings.catch_warnings():
                for nothing_to_act_on in (torch.jit.TracerWarning, DeprecationWarning):
                    warnings.simplefilter("ignore", nothing_to_act_on)
                super().log_graph(model, input_array)
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)

    @rank_zero_only
    def save(self) -> None:
        """Flush; the run folder's config.yaml says what hparams.yaml would."""
        self.experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Flush, and keep the file open for what comes next."""
        if self._experiment is not None:
            self._experiment.flush()

    @rank_zero_only
    def close(self) -> None:
        """End the event file."""
        if self._experiment is not None:
            self._experiment.close()
            self._experiment = None


class CSVLogger(loggers.CSVLogger):
    """Write metrics.csv and hparams.yaml into a run folder; a run that goes on adds to its rows.

    Args:
        save_dir: the run folder.
        options: further arguments of Lightning's CSVLogger.
    """

    def __init__(self, save_dir: str, **options: Any) -> None:
        super().__init__(save_dir, name="", version="", **options)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer, made at first use."""
        if self._experiment is None:
            metrics = Path(self.log_dir) / "metrics.csv"
            rows = metrics.read_bytes().decode() if metrics.is_file() else ""
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Experiment logs directory")
                writer: Any = super().experiment
            if rows:  # the writer has just removed them
                write_text(metrics, rows)
                writer.metrics_keys = rows.splitlines()[0].split(",")
        return super().experiment


class WandbLogger(loggers.WandbLogger):
    """Log to Weights & Biases under the run folder's name; the extra `wandb` has to be installed.

    Args:
        save_dir: the run folder; the local files lie in its wandb/.
        options: further arguments of Lightning's WandbLogger and of `wandb.init`.

    Raises:
        ValueError: the package is not installed.
    """

    def __init__(self, save_dir: str, **options: Any) -> None:
        _require("wandb")
        folder = Path(save_dir)
        super().__init__(name=folder.name, group=folder.parent.name, save_dir=save_dir, **options)

    @rank_zero_only
    def close(self) -> None:
        """End the run: the next one of a sweep would otherwise be written into it."""
        if self._experiment is not None:
            self._experiment.finish()
            self._experiment = None


class MLFlowLogger(loggers.MLFlowLogger):
    """Log to MLflow under the run folder's name; the extra `mlflow` has to be installed.

    Args:
        save_dir: the run folder.
        options: further arguments of Lightning's MLFlowLogger.

    Raises:
        ValueError: the package is not installed.
    """

    def __init__(self, save_dir: str, **options: Any) -> None:
        _require("mlflow")
        folder = Path(save_dir)
        super().__init__(experiment_name=folder.parent.name, run_name=folder.name, **options)


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise ValueError(
            f"logger={package}: the package {package} is not installed; "
            f"pip install -c constraints.txt -e '.[{package}]'"
        )
