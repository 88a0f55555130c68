"""The bar of a training in a terminal."""

import math
import time
from typing import Any

from lightning.pytorch import callbacks


class RichProgressBar(callbacks.RichProgressBar):
    """Lightning's bar, which knows the training loss without making a GPU wait.

    Lightning asks the device for every value it shows, at each step. The training loss is read
    anyway when it is logged, and that value is shown until the next. Where steps end a training
    the bar says so, instead of a number of epochs that there is not. It is told of a step when it
    is about to draw: telling it of each takes 3% of a small model's step.

    Args:
        refresh_rate: how often it is drawn anew, per second; 0 for never.
        options: further ones of Lightning's class.
    """

    def __init__(self, refresh_rate: int = 10, **options: Any) -> None:
        super().__init__(refresh_rate=refresh_rate, **options)
        self._told = -math.inf

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        """Move the bar if it is time to draw it anew, or the epoch's last step was taken."""
        now = time.monotonic()
        if (now - self._told) * self.refresh_rate >= 1 or trainer.is_last_batch:
            self._told = now
            super().on_train_batch_end(trainer, *args)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Move the bar to the last step, also of an epoch that is not taken to its end."""
        self._update(self.train_progress_bar_id, trainer.fit_loop.batch_idx + 1)
        super().on_train_epoch_end(trainer, pl_module)

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        """Return what is shown, the latest logged training loss first."""
        losses = getattr(pl_module, "training_losses", [])
        latest = {"train/loss": losses[-1]["loss"]} if losses else {}
        return latest | super().get_metrics(trainer, pl_module)

    def _get_train_description(self, current_epoch: int) -> str:
        if self.trainer.max_epochs != -1:
            return super()._get_train_description(current_epoch)
        last = self.trainer.max_steps
        return f"Epoch {current_epoch}, to step {last:,}" if last >= 0 else f"Epoch {current_epoch}"
