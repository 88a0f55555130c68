"""Keep what a schedule does to a model at the trainer's step."""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl

from src.interventions.unit_death import UnitDeath


class UnitSchedule(pl.Callback):
    """Tell units that are to die how many steps were done; a data module sees to itself.

    Args:
        deaths: what waits for its step.
    """

    def __init__(self, deaths: Sequence[UnitDeath]) -> None:
        self.deaths = deaths

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Pass the step on, before the batch is shown."""
        for death in self.deaths:
            death.step = trainer.global_step
