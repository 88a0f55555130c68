"""Watch how a model weighs the steps of its windows, and what gradient each of them receives."""

import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from src.board.pictures import heatmap
from src.callbacks.pooling_hooks import Caught, PoolingHooks, is_compiled, pooling_statistics
from src.diagnostics.isolation import untouched
from src.diagnostics.lightning.callback import Callback, History
from src.diagnostics.lightning.log_writer import LogWriter
from src.diagnostics.lightning.stand_in import StandIn
from src.diagnostics.lightning.state import from_state, to_state
from src.diagnostics.measuring.async_copy import Inbox, Pending

log = logging.getLogger(__name__)

MAX_SAMPLES = 256
"""Samples of a batch whose weights are looked at."""
MAX_ROWS = 256
"""Records kept of each pooling; beyond, every second one is dropped."""
FIRST_IMAGE = 16
"""Records of the first image; the next ones come at twice as many each, and at the end."""
_FEW = ("/std", "/recent_3_sum")
"""Ends of the tags that are looked at first."""
_REMEMBERED = ("latest", "recorded_steps", "_histories", "_names")


class PoolingMonitor(Callback):
    """Record pooling weights over training.

    Finds every module whose output is a named tuple with `pooled` and `weights`, by listening in on
    the first step; then listens to these on scheduled steps only. A compiled model is not listened
    to but replayed, on the batch just trained on.

    Args:
        every_n_steps: optimiser steps between two records; the first step is recorded too.
        log_every_n_steps: optimiser steps between two lines in the log.
        every_scalar: whether loggers get all statistics, or only those without the mark * below.

    Raises:
        ValueError: if a number is below 1.

    Attributes:
        latest: latest statistics by tag, those of the first pooling also as `pooling/std` etc.
        recorded_steps: steps recorded in this fit.
        history: by pooling, one record per step: `step`, `weights` (T), `gradient_share` (T) or None.

    | tag | meaning | unit | frequency |
    |---|---|---|---|
    | pooling_weights/<name> | histogram of the weights of a batch | share | `every_n_steps` |
    | pooling/<name>/std | of the weights over time, averaged over the batch | share | `every_n_steps` |
    | pooling/<name>/recent_3_sum | weight of the latest three steps | share | `every_n_steps` |
    | * pooling/<name>/max, min | of the weights over time, averaged over the batch | share | `every_n_steps` |
    | * pooling/<name>/top_3_recent | whether the three largest are the latest three | 0 or 1 | `every_n_steps` |
    | * pooling/<name>/entropy | mean entropy of a sample's weights | nats | `every_n_steps` |
    | gradient_share/<name>/recent_3_sum | share of the gradient dL/dh_t of the latest three steps | share | `every_n_steps` |
    | pooling_weights_over_time/<name> | image: a row per record, a column per time step | share | at 16, 32, 64, ... records and at the end |
    | gradient_share_over_time/<name> | image of the share of dL/dh_t, likewise | share | likewise |
    """  # noqa: E501

    def __init__(
        self, every_n_steps: int = 100, log_every_n_steps: int = 2000, every_scalar: bool = False
    ) -> None:
        for name, value in (("every", every_n_steps), ("log_every", log_every_n_steps)):
            if value < 1:
                raise ValueError(f"{name}_n_steps must be at least 1, got {value}")
        super().__init__()
        self.every_n_steps = every_n_steps
        self.log_every_n_steps = log_every_n_steps
        self.every_scalar = every_scalar
        self._restored: dict[str, Any] = {}
        self._reset()

    def _reset(self) -> None:
        """Start as for a first fit."""
        self.latest: dict[str, float] = {}
        self.recorded_steps: list[int] = []
        self._histories: dict[str, History] = {}
        self._names: list[str] | None = None
        self._hooks: PoolingHooks | None = None
        self._inbox = Inbox()
        self._board = LogWriter(())
        self._replays = False
        self._armed = False
        self._idle = 0
        self._step = 0
        vars(self).update(self._restored)
        self._restored = {}

    @property
    def history(self) -> dict[str, list[dict[str, Any]]]:
        """What was recorded, by pooling."""
        return {name: history.records for name, history in self._histories.items()}

    def on_fit_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Forget what an earlier fit left, unless this one goes on from its checkpoint."""
        self._reset()

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Find the loggers."""
        self._board = LogWriter(trainer.loggers if trainer.is_global_zero else ())
        self._replays = is_compiled(pl_module)
        self._step = trainer.global_step

    def on_train_batch_start(
        self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int
    ) -> None:
        """Listen in on the batch, if the step it leads to is due."""
        if self._idle:  # one step a batch at most; to ask for the step costs more than to count
            self._idle -= 1
            return
        self._step = trainer.global_step
        self._armed = self._is_due(self._step + 1) and self._names != []
        if not self._armed and pl_module.automatic_optimization:
            self._idle = self._steps_to_next(self._step + 1) - 1
        if self._armed and not self._replays:
            wanted = self._names
            self._hooks = PoolingHooks(
                (name, module)
                for name, module in pl_module.named_modules()
                if wanted is None or name in wanted
            )

    def on_train_batch_end(
        self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record what the batch that made the step left; those accumulated before it pass."""
        if not self._armed:
            return
        hooks, self._hooks = self._hooks, None
        if hooks is not None:
            hooks.remove()
            if hooks.error is not None:
                raise hooks.error
        if trainer.global_step == self._step:
            return
        caught = self._replayed(trainer, pl_module, batch) if hooks is None else hooks.caught
        if self._names is None:
            self._names = list(caught)
        if caught:
            self._inbox.drain()
            self._send(trainer, caught, self._step + 1)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Read what is still on its way, and draw the whole history."""
        self._inbox.drain()
        for name in self.history:
            self._draw(name, trainer.global_step)

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """Leave no hook behind."""
        if self._hooks is not None:
            self._hooks.remove()
            self._hooks = None

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded."""
        self._inbox.drain()
        return {name: to_state(getattr(self, name)) for name in _REMEMBERED}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint, once the fit starts."""
        self._restored = {name: from_state(state) for name, state in state_dict.items()}

    def report(self) -> dict[str, Any]:
        """Return the latest statistics and the history as plain JSON values."""
        return {"pooling": {"latest": self.latest, "history": self.history}}

    def _is_due(self, step: int) -> bool:
        return step == 1 or step % self.every_n_steps == 0 or step % self.log_every_n_steps == 0

    def _steps_to_next(self, step: int) -> int:
        """Return how many steps after this one the next due one is."""
        return min(n - step % n for n in (self.every_n_steps, self.log_every_n_steps))

    def _replayed(self, trainer: Any, pl_module: nn.Module, batch: Any) -> dict[str, Caught]:
        """Replay a batch on an eager stand-in and return what its poolings did."""
        replay = StandIn(trainer, pl_module)
        with untouched(replay.module), torch.enable_grad():
            hooks = PoolingHooks(replay.module.named_modules())
            losses = [loss.sum() for loss, _ in replay.losses(replay.module, batch)]
            hidden = [c.hidden for c in hooks.caught.values() if c.hidden is not None]
            if losses and hidden:
                torch.autograd.grad(torch.stack(losses).sum(), hidden, allow_unused=True)
        return hooks.caught

    def _send(self, trainer: Any, caught: Mapping[str, Caught], step: int) -> None:
        """Send what was caught to the host; on a GPU it is read at the next record."""
        self.recorded_steps.append(step)
        line_aux = _aux_loss(trainer) if step % self.log_every_n_steps == 0 else None
        for name, one in caught.items():
            weights = one.weights[:MAX_SAMPLES] if one.weights.dim() > 1 else one.weights
            norms = weights.new_zeros(0) if one.grad_norm_t is None else one.grad_norm_t
            floats = torch.cat([norms.float(), weights.float().flatten()])
            no_counts = torch.zeros(0, dtype=torch.int64, device=floats.device)
            unpack = partial(_unpack, len(norms), weights.shape[-1])
            note = partial(self._note, name.replace("_orig_mod.", ""), one.kind, step, line_aux)
            self._inbox.put(Pending(no_counts, floats, unpack), note)

    def _note(
        self,
        name: str,
        kind: str,
        step: int,
        aux_loss: float | None,
        caught: tuple[Tensor, Tensor],
    ) -> None:
        """Keep and show one pooling's record."""
        weights_bt, norms_t = caught
        statistics = pooling_statistics(weights_bt)
        share_t = norms_t / norms_t.sum() if len(norms_t) and norms_t.sum() > 0 else None
        scalars = {f"pooling/{name}/{key}": value for key, value in statistics.items()}
        if share_t is not None:
            scalars[f"gradient_share/{name}/recent_3_sum"] = float(share_t[-3:].sum())
        self.latest |= scalars
        if not self._histories or name == next(iter(self._histories)):
            self.latest |= {f"pooling/{key}": value for key, value in statistics.items()}
        self._remember(name, step, weights_bt.mean(0), share_t)
        few = {tag: v for tag, v in scalars.items() if tag.endswith(_FEW)}
        self._board.scalars(scalars if self.every_scalar else few, step)
        self._board.histogram(f"pooling_weights/{name}", weights_bt, step)
        count = len(self.recorded_steps)
        if count >= FIRST_IMAGE and count & (count - 1) == 0:
            self._draw(name, step)
        if aux_loss is not None and self._has_moved(name):
            for line in pooling_lines(kind, step, weights_bt.mean(0), statistics, aux_loss):
                log.info("%s", line)

    def _remember(self, name: str, step: int, weights_t: Tensor, share_t: Tensor | None) -> None:
        share = None if share_t is None else share_t.tolist()
        history = self._histories.setdefault(name, History(MAX_ROWS))
        history.add({"step": step, "weights": weights_t.tolist(), "gradient_share": share})

    def _has_moved(self, name: str) -> bool:
        """Return whether a pooling's weights ever changed: of a constant one there is no news."""
        records = self.history[name]
        return any(record["weights"] != records[0]["weights"] for record in records)

    def _draw(self, name: str, step: int) -> None:
        if not self._board.draws:
            return
        records = self.history[name]
        titles = {"weights": "pooling weights", "gradient_share": "gradient share (dL/dh_t)"}
        for tag, key in (("pooling_weights", "weights"), ("gradient_share", "gradient_share")):
            shown = [r for r in records if r[key] and len(r[key]) == len(records[-1]["weights"])]
            if shown:
                shares, steps = torch.tensor([r[key] for r in shown]), [r["step"] for r in shown]
                picture = heatmap(shares, steps, f"{titles[key]} of {name}")
                self._board.image(f"{tag}_over_time/{name}", picture, step)


def _unpack(split: int, steps: int, _: Tensor, floats: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights (B, T) and gradient norms (T,), the latter empty without a gradient."""
    return floats[split:].view(-1, steps), floats[:split]


def _aux_loss(trainer: Any) -> float:
    """Return the latest auxiliary loss among the logged metrics, 0 if there is none."""
    metrics = trainer.callback_metrics
    found = [value for name, value in metrics.items() if name.rpartition("/")[2] == "aux_loss"]
    return float(found[0]) if found else 0.0


def pooling_lines(
    kind: str, step: int, weights_t: Tensor, statistics: Mapping[str, float], aux_loss: float
) -> tuple[str, str]:
    """Return the two lines in which poolings are followed in a log.

    Args:
        kind: class name of the pooling.
        step: optimiser steps done.
        weights_t: (T,) weights averaged over the batch.
        statistics: as of `pooling_statistics`.
        aux_loss: the auxiliary loss on the weights.

    Returns:
        Both lines.

    >>> weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    >>> for line in pooling_lines("GatedPooling", 20, weights, pooling_statistics(weights), 0.5):
    ...     print(line)
    [GATED POOLING] Step 20: max=0.400, min=0.100, std=0.129, recent_3_sum=0.900, aux_loss=0.5000
    Top3: [(3, '0.400'), (2, '0.300'), (1, '0.200')]
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.removesuffix("Pooling")).upper()
    keys = ("max", "min", "std", "recent_3_sum")
    numbers = ", ".join(f"{key}={statistics[key]:.3f}" for key in keys)
    values, indices = weights_t.topk(min(3, len(weights_t)))
    top = [(i, f"{v:.3f}") for i, v in zip(indices.tolist(), values.tolist(), strict=True)]
    heading = f"[{words} POOLING]" if words else "[POOLING]"
    return f"{heading} Step {step}: {numbers}, aux_loss={aux_loss:.4f}", f"Top3: {top}"
