"""Short trainings of copies of a model: at other rates, from fresh weights, or changed."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..isolation import redraw
from ..symptoms.replay import held_by

if TYPE_CHECKING:
    from .experiment import Experiment

TRIAL_STEPS = 16
"""Steps of a trial training."""
LONG_TRIAL, SLOW_STEP = 60, 0.03
"""Steps of a longer one, for models of which one step takes fewer seconds of CPU time than this."""


def update_ratio(before: Tensor, after: Tensor) -> float:
    """Return the size of one step relative to the weight: |after - before| / |before|.

    Args:
        before: Weight before the step.
        after: The same weight after it.

    Returns:
        The ratio of norms; infinite when a zero weight moved, 0 when nothing moved. About 1e-3 is
        usual.

    >>> round(update_ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.05])), 6)
    0.01
    """
    old, new = before.detach().double(), after.detach().double()
    step, size = (float(torch.linalg.vector_norm(tensor)) for tensor in (new - old, old))
    if step == 0:
        return 0.0
    return step / size if size else float("inf")


def _build_up(group: Mapping[str, Any]) -> float:
    """Return what the momentum of a group adds up to.

    >>> round(_build_up({"momentum": 0.9, "dampening": 0.0}), 6), _build_up({"betas": (0.9, 0.999)})
    (10.0, 1.0)
    """
    kept, damped = float(group.get("momentum", 0.0)), float(group.get("dampening", 0.0))
    return max(1.0, (1 - damped) / (1 - kept)) if 0 < kept < 1 else 1.0


class Courses:
    """Trains copies for a few steps; the model itself stays as it is.

    Args:
        experiment: The model, its batches and how to replay them.
    """

    def __init__(self, experiment: "Experiment") -> None:
        self.experiment = experiment

    @property
    def rates(self) -> list[float]:
        """Learning rate of every group, as it is once its warm-up is over."""
        base = self.experiment.context.base_lr or 0.0
        return [
            max(float(g["lr"]), float(g.get("initial_lr", 0.0)), base)
            for optimizer in self.experiment.optimizers
            for g in optimizer.param_groups
        ]

    def copy_for(
        self, rates: Sequence[float], fresh: bool
    ) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Copy model and optimisers, at the given rates.

        Args:
            rates: Learning rate per group, over all optimisers.
            fresh: Whether to draw all weights afresh and to forget the optimisers' state.
        """
        model, optimizers = self.experiment.copy_all()
        if fresh:
            redraw(model)
            for optimizer in optimizers:
                optimizer.state.clear()
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        return model, optimizers

    def losses(self, rates: Sequence[float], fresh: bool, steps: int = TRIAL_STEPS) -> list[float]:
        """Train a copy for a few steps and return the loss before each of them."""
        return self._train(*self.copy_for(rates, fresh), steps)

    def loss_after_steps(self, change: Callable[[nn.Module], None]) -> float:
        """Change a copy, train it a little, and return its mean loss at the end.

        Args:
            change: Applied to the copy.
        """
        model, optimizers = self.experiment.copy_all()
        change(model)
        optimizers = optimizers or [torch.optim.Adam(model.parameters(), 1e-3)]
        losses = self._train(model, optimizers, self.affordable_steps)
        last = losses[-max(len(losses) // 4, 1) :]
        return sum(last) / len(last)

    def _train(
        self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], steps: int
    ) -> list[float]:
        """Train for a few steps, or until the loss is not finite."""
        losses: list[float] = []
        for step in range(steps):
            batch = step % len(self.experiment.batches)
            losses.append(self.experiment.step(model, optimizers, batch=batch).loss)
            if not math.isfinite(losses[-1]):
                return losses + [losses[-1]] * (steps - len(losses))
        return losses

    @cached_property
    def affordable_steps(self) -> int:
        """Steps of a longer trial: few where one step takes long."""
        start = time.process_time()  # other programs on the machine change no diagnosis
        self.experiment.replay()
        return LONG_TRIAL if time.process_time() - start < SLOW_STEP else TRIAL_STEPS

    @cached_property
    def first_steps(self) -> tuple[float, float]:
        """Median update-to-weight ratio of one step of a fresh copy, and of one as found."""
        return self._first_step(fresh=True), self._first_step(fresh=False)

    @property
    def build_up(self) -> float:
        """Factor by which momentum lengthens later steps over the first, in one direction.

        Adam's first steps are as long as later ones.
        """
        optimizers = self.experiment.optimizers
        return min((_build_up(g) for o in optimizers for g in o.param_groups), default=1.0)

    def rate_evidence(
        self, before: float, after: float, at_start: float, steps: int
    ) -> dict[str, Any]:
        """Return what is told of a trial of a rate.

        Args:
            before: Loss at the rate.
            after: Loss at the other one.
            at_start: Loss before both.
            steps: Of the trial.
        """
        fresh, present = self.first_steps
        return {
            "learning_rate": max(self.rates),
            "update_ratio": present,
            "update_ratio_fresh": fresh,
            "steps_taken": self.has_stepped,
            "before": before,
            "after": after,
            "loss_at_start": at_start,
            "steps": steps,
        }

    @property
    def has_stepped(self) -> bool:
        """Whether some optimiser remembers a step, or the loop has counted one."""
        counted = bool(self.experiment.context.step)
        return counted or any(optimizer.state for optimizer in self.experiment.optimizers)

    def _first_step(self, fresh: bool) -> float:
        """Return the median update-to-weight ratio of one step; 0 if nothing can move."""
        model, optimizers = self.copy_for(self.rates, fresh)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        grads = self.experiment.step(model, optimizers).grads
        held = held_by(*optimizers)
        ratios = [
            update_ratio(before[name], parameter)
            for name, parameter in model.named_parameters()
            if parameter.dim() > 1 and parameter in held and name in grads
            if before[name].any() and bool(grads[name].any())
        ]
        finite = [ratio for ratio in ratios if math.isfinite(ratio)]
        return float(torch.tensor(finite).median()) if finite else 0.0
