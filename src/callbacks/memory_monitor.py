"""Watch how far back a model's predictions feel their input while it trains."""

from typing import Any

import torch
from torch import Tensor, nn

from src.board.pictures import heatmap
from src.diagnostics.lightning.callback import Callback
from src.diagnostics.lightning.log_writer import LogWriter
from src.diagnostics.memory import LAGS, half_life, prediction_memory, retention

MAX_SAMPLES = 32
"""Windows of a batch that are measured."""


class MemoryMonitor(Callback):
    """Record the retention of each day: the norm of d prediction / d x_t over that of the last day.

    Measured on the batch just trained on, in evaluation mode; weights, gradients and random
    generators stay as they are. The first step is recorded too, so the start can be compared.

    Args:
        every_n_steps: optimiser steps between two records.

    Raises:
        ValueError: if it is below 1.

    Attributes:
        latest: latest values by tag.
        history: one record per measurement: `step`, `norms` (T, oldest first).

    | tag | meaning | unit | frequency |
    |---|---|---|---|
    | memory/retention_<n> | influence of the day n back (5, 10, 20, 50) over the last day's | share | `every_n_steps` |
    | memory/half_life | days back from which on less than half of the influence is left | days | `every_n_steps` |
    | memory/norm_last | norm of d prediction / d x_t for the last day | scaled | `every_n_steps` |
    | memory_over_time | image of each day's share of all influence over training | share | at the end |
    """  # noqa: E501

    def __init__(self, every_n_steps: int = 500) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        super().__init__()
        self.every_n_steps = every_n_steps
        self._restored: dict[str, Any] = {}
        self._reset()

    def _reset(self) -> None:
        self.latest: dict[str, float] = {}
        self.history: list[dict[str, Any]] = []
        self._board = LogWriter(())
        self._last_step = 0
        vars(self).update(self._restored)
        self._restored = {}

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded."""
        return {"latest": self.latest, "history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint, once the fit starts."""
        self._restored = dict(state_dict)

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Forget an earlier fit, unless this one goes on from its checkpoint; find the loggers."""
        self._reset()
        self._board = LogWriter(trainer.loggers if trainer.is_global_zero else ())
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure, if an optimiser step was made and is due."""
        step = trainer.global_step
        if step == self._last_step:
            return
        self._last_step = step
        if step == 1 or step % self.every_n_steps == 0:
            x_btf = batch.x if hasattr(batch, "x") else batch[0]
            norms_t = prediction_memory(pl_module, pl_module, x_btf[:MAX_SAMPLES]).cpu()
            self._note(step, norms_t)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Draw the whole history."""
        if self.history and self._board.draws:
            rows = torch.tensor([record["norms"] for record in self.history])
            shares = rows / rows.sum(dim=1, keepdim=True).clamp_min(1e-30)
            steps = [record["step"] for record in self.history]
            picture = heatmap(shares.float(), steps, "influence on the forecast")
            self._board.image("memory_over_time", picture, self._last_step)

    def report(self) -> dict[str, Any]:
        """Return the latest values and the history as plain JSON values."""
        return {"memory": {"latest": self.latest, "history": self.history}}

    def _note(self, step: int, norms_t: Tensor) -> None:
        kept = retention(norms_t)
        self.latest = {
            **{f"memory/retention_{lag}": float(kept[lag]) for lag in LAGS if lag < len(kept)},
            "memory/half_life": float(half_life(kept)),
            "memory/norm_last": float(norms_t[-1]),
        }
        self.history.append({"step": step, "norms": norms_t.tolist()})
        self._board.scalars(self.latest, step)
