"""Hopeless trials of a search end early, by the median of the trials before them."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from src.files import write_text
from src.sweeping import job


class Pruning(pl.Callback):
    """Stop a trial whose best loss so far is above the median loss of the others at that epoch.

    Hydra's Optuna sweeper keeps its trials to itself, so the losses go through the sweep's folder:
    that works with every sweeper and launcher. Outside a sweep this does nothing.

    Source: Golovin et al. 2017, Google Vizier, section 3.2.2; compared as by Optuna's MedianPruner.

    Args:
        monitor: the logged value to minimise.
        startup_trials: trials that run to their end before any is compared with them.
        warmup_epochs: epochs before a trial may end.
    """

    def __init__(
        self, monitor: str = "val/loss", startup_trials: int = 4, warmup_epochs: int = 1
    ) -> None:
        self.monitor = monitor
        self.startup_trials = startup_trials
        self.warmup_epochs = warmup_epochs
        self.losses: list[float] = []
        self.pruned_at: int | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the loss; end the fit if the trial is hopeless."""
        if trainer.sanity_checking or not trainer.training or job.current is None:
            return
        self.losses.append(float(trainer.callback_metrics[self.monitor]))
        if self._is_hopeless(_finished_curves(*job.current)):
            self.pruned_at = trainer.current_epoch
            trainer.should_stop = True

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the losses to later trials; a pruned trial is no yardstick."""
        if job.current is not None and self.pruned_at is None and trainer.is_global_zero:
            folder, index = job.current
            write_text(_curves(folder) / f"{index}.json", json.dumps(self.losses))

    def state_dict(self) -> dict[str, Any]:
        """Return what a trial that goes on needs to know of its epochs before."""
        return {"losses": list(self.losses), "pruned_at": self.pruned_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.losses, self.pruned_at = list(state_dict["losses"]), state_dict["pruned_at"]

    def report(self) -> dict[str, Any]:
        """Return what report.json says of it."""
        return {} if self.pruned_at is None else {"pruned_at_epoch": self.pruned_at}

    def _is_hopeless(self, others: list[list[float]]) -> bool:
        step = len(self.losses) - 1
        at_step = [losses[step] for losses in others if len(losses) > step]
        if step < self.warmup_epochs or len(others) < self.startup_trials or not at_step:
            return False
        best = min((loss for loss in self.losses if not math.isnan(loss)), default=math.inf)
        return best > statistics.median(at_step)


def _curves(folder: Path) -> Path:
    path = folder / "curves"
    path.mkdir(exist_ok=True)
    return path


def _finished_curves(folder: Path, index: int) -> list[list[float]]:
    """Return the losses, epoch by epoch, of the other trials that ran to their end."""
    files = sorted(_curves(folder).glob("*.json"))
    return [json.loads(file.read_text()) for file in files if file.stem != str(index)]
