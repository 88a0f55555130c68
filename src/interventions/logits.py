"""Steps of the optimisation that change a pooling's logits: pushing their gradient, or moving them.

Neither is part of the loss. Both count completed optimiser steps, so gradient accumulation changes
nothing, and a resumed run goes on with the same schedule. Both depend on nothing but the logits and
the target, which are the same on every rank, so ranks stay equal without communicating.
"""

from collections.abc import Callable
from typing import Literal

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

# T time steps. Logits, weights and target are (T,).

Direction = Literal["published", "descent"]
MOMENTUM_BUFFERS = ("exp_avg", "momentum_buffer")


def injected_gradient(
    weights: Tensor, target: Tensor, multiple: float, direction: Direction
) -> Tensor:
    """Return what is added to the logits' gradient.

    A minimiser subtracts the gradient. `published` adds multiple * (target - weights), so the
    weights move away from the target. `descent` is its negative, multiple * (weights - target):
    the gradient of multiple * KL(target || softmax(logits)), so the weights move to the target.

    Args:
        weights: softmax of the logits (T,).
        target: weights to compare with (T,).
        multiple: size of the push.
        direction: "published" or "descent".

    Returns:
        A gradient (T,) that sums to 0.

    >>> injected_gradient(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]), 1.0, "descent")
    tensor([ 0.2500, -0.2500])
    """
    sign = 1.0 if direction == "published" else -1.0
    return sign * multiple * (target - weights)


def moved_logits(logits: Tensor, target: Tensor, rate: float) -> Tensor:
    """Return logits moved a share of the way to those of the target, their mean unchanged.

    A softmax does not see a shift common to all logits; keeping their mean stops them drifting.

    Args:
        logits: (T,).
        target: weights to move to (T,), all positive.
        rate: share of the way, in (0, 1]; 1 puts the weights onto the target.

    Returns:
        New logits (T,).

    >>> moved_logits(torch.zeros(2), torch.tensor([0.25, 0.75]), 1.0).softmax(0)
    tensor([0.2500, 0.7500])
    """
    target_logits = target.log()
    target_logits = target_logits - target_logits.mean() + logits.mean()
    return torch.lerp(logits, target_logits, rate)


class _LogitsCallback(pl.Callback):
    """Find the logits of `pl_module.model.pooling` and say when their turn is."""

    def __init__(self, target: Callable[..., Tensor], every_n_steps: int) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        self.target = target
        self.every_n_steps = every_n_steps

    def _logits_if_due(
        self, completed_steps: int, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> nn.Parameter | None:
        """Return the logits if it is their turn and this optimiser is the one that trains them."""
        if completed_steps == 0 or completed_steps % self.every_n_steps:
            return None
        logits: nn.Parameter = pl_module.model.pooling.logits  # type: ignore
        groups = optimizer.param_groups
        return logits if any(p is logits for group in groups for p in group["params"]) else None

    def _float_target(self, logits: Tensor) -> Tensor:
        return self.target(logits.numel(), device=logits.device)


class GradientInjection(_LogitsCallback):
    """Add a multiple of (target - weights) to the logits' gradient every n optimiser steps.

    Works in `on_before_optimizer_step`, which Lightning calls after the backward passes of all
    accumulated batches, after the all-reduce and unscaling, before gradient clipping: what is
    clipped includes what was injected. Place it after callbacks that measure gradients; they then
    see the model's own. Where an optimiser unscales inside its step (fused ones under a loss
    scale), the injected part carries the scale too.

    Args:
        target: gives the target weights (T,) for T and a `device`.
        every_n_steps: optimiser steps between two injections.
        multiple: factor of (target - weights), positive.
        direction: "descent" moves the weights to the target; "published" is the sign as it was
            published, which moves them away.

    Raises:
        ValueError: if an option is out of its range.

    Attributes:
        injected_norm: L2 norm of what was last added, a scalar tensor; None before the first time.
        injected_steps: completed optimiser steps at each injection of this process.

    | tag | meaning | unit | frequency |
    |---|---|---|---|
    | pooling_prior/injected_norm | L2 norm of what was added | gradient | `every_n_steps` |

    Source: `LightningModule.on_before_optimizer_step` in the Lightning documentation.
    """

    def __init__(
        self,
        target: Callable[..., Tensor],
        every_n_steps: int = 100,
        multiple: float = 0.01,
        direction: Direction = "descent",
    ) -> None:
        super().__init__(target, every_n_steps)
        if not 0 < multiple < float("inf"):
            raise ValueError(f"multiple must be positive and finite, got {multiple}")
        if direction not in ("published", "descent"):
            raise ValueError(f"direction must be published or descent, got {direction}")
        self.multiple = multiple
        self.direction = direction
        self.injected_norm: Tensor | None = None
        self.injected_steps: list[int] = []

    @property
    def latest(self) -> dict[str, float]:
        """The norm last injected, by tag; empty before the first time."""
        if self.injected_norm is None:
            return {}
        return {"pooling_prior/injected_norm": self.injected_norm.item()}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Inject when it is the turn of this step."""
        logits = self._logits_if_due(trainer.global_step, pl_module, optimizer)
        if logits is None:
            return
        with torch.no_grad():
            weights = logits.float().softmax(-1)
            added = injected_gradient(
                weights, self._float_target(logits), self.multiple, self.direction
            )
            scaled = (added * _remaining_loss_scale(trainer, optimizer)).to(logits.dtype)
            logits.grad = scaled if logits.grad is None else logits.grad.add_(scaled)
        self.injected_norm = added.norm()
        self.injected_steps.append(trainer.global_step)
        _log(trainer, "pooling_prior/injected_norm", self.injected_norm)


class DirectUpdate(_LogitsCallback):
    """Move the logits a share of the way to the target after every n-th optimiser step.

    The optimiser keeps its state. Momentum was gathered where the logits no longer are and would
    carry them on from where they are put, so it shrinks by the share moved: rate 1 clears it, a
    small rate hardly touches it. The second moment and the step count stay: they hold the size of
    the gradient, and a cleared second moment would make Adam's next steps many times too long.

    Args:
        target: gives the target weights (T,) for T and a `device`.
        every_n_steps: optimiser steps between two moves.
        rate: share of the way to the target's logits, in (0, 1].

    Raises:
        ValueError: if an option is out of its range.

    Attributes:
        updated_steps: completed optimiser steps at each move of this process.

    | tag | meaning | unit | frequency |
    |---|---|---|---|
    | pooling_prior/moved_norm | L2 norm of the logits' change | logits | `every_n_steps` |
    """

    def __init__(
        self, target: Callable[..., Tensor], every_n_steps: int = 500, rate: float = 0.1
    ) -> None:
        super().__init__(target, every_n_steps)
        if not 0 < rate <= 1:
            raise ValueError(f"rate must be in (0, 1], got {rate}")
        self.rate = rate
        self.updated_steps: list[int] = []
        self._due: tuple[nn.Parameter, Optimizer] | None = None

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Remember that the step about to be made is one to move after."""
        # Asked here and not at the batch's end: under accumulation several batches end at one step.
        logits = self._logits_if_due(trainer.global_step + 1, pl_module, optimizer)
        if logits is not None:
            self._due = logits, optimizer

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Move the logits if a step to move after was just made."""
        if self._due is None:
            return
        (logits, optimizer), self._due = self._due, None
        with torch.no_grad():
            moved = moved_logits(logits.float(), self._float_target(logits), self.rate)
            change = (moved - logits).norm()
            logits.copy_(moved)
            for name in MOMENTUM_BUFFERS:
                momentum = optimizer.state.get(logits, {}).get(name)
                if momentum is not None:
                    momentum.mul_(1 - self.rate)
        self.updated_steps.append(trainer.global_step)
        _log(trainer, "pooling_prior/moved_norm", change)


def _remaining_loss_scale(trainer: pl.Trainer, optimizer: Optimizer) -> float:
    """Return the loss scale gradients still carry; fused optimisers unscale inside their step."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not getattr(optimizer, "_step_supports_amp_scaling", False):
        return 1.0
    return scaler.get_scale()


def _log(trainer: pl.Trainer, tag: str, value: Tensor) -> None:
    for logger in trainer.loggers:
        logger.log_metrics({tag: value.item()}, step=trainer.global_step)
