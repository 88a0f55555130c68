"""When the first step and each validation of a training process were, since it was started."""

import json
import os
import time
from pathlib import Path
from typing import Any

LOSS_NAMES = ("val/loss", "val_loss", "valid_loss", "ptl/val_loss")


class Clock:
    """Notes wall time and CPU time of a process.

    Args:
        started: when it was, by the clock of whoever started it, s.
    """

    def __init__(self, started: float) -> None:
        self._started = started
        self.first: tuple[float, float] | None = None
        self.validations: list[tuple[float, float, float | None]] = []

    def _now(self) -> tuple[float, float]:
        return time.time() - self._started, time.process_time()

    def step(self) -> None:
        """Note that a training step begins: the first counts."""
        if self.first is None:
            self.first = self._now()

    def validated(self, loss: float | None) -> None:
        """Note that an epoch has ended, its validation included."""
        self.validations.append((*self._now(), loss))

    def write(self, file: Path) -> None:
        """Write down what was noted, the process's peak memory, and the load of the machine."""
        noted = {"first": self.first, "validations": self.validations}
        noted |= {"peak_mb": peak_memory(), "load": os.getloadavg()[0]}
        file.write_text(json.dumps(noted), encoding="utf-8")


def peak_memory() -> float:
    """Return the most memory that this process has held so far, MB.

    Not getrusage's: a process begins there with what its parent held.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def watch_trainers(lightning: Any, clock: Clock) -> None:
    """Have every fit of a Lightning Trainer timed, whoever makes it.

    Args:
        lightning: `lightning.pytorch` or `pytorch_lightning`.
        clock: notes the times.
    """

    class Watch(lightning.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            clock.step()

        def on_validation_end(self, trainer: Any, *_: Any) -> None:
            if not trainer.sanity_checking and clock.first is not None:
                metrics = trainer.callback_metrics
                losses = [float(metrics[name]) for name in LOSS_NAMES if name in metrics]
                clock.validated(losses[0] if losses else None)

    fit = lightning.Trainer.fit

    def timed(trainer: Any, *arguments: Any, **options: Any) -> Any:
        trainer.callbacks.append(Watch())
        return fit(trainer, *arguments, **options)

    lightning.Trainer.fit = timed
