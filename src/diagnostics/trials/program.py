"""A program: model, optimisers and loss, with what is changed about them, and its training."""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn

from ..isolation import copyable, same_attributes, seeded
from ..symptoms.leaves import leaves_of
from ..symptoms.replay import LossFunction
from .pairs import NATURAL, Activation, LossCalls, Pair, Retarget, natural_loss
from .program_facts import Facts
from .skill import mean_skill


class NotApplicableError(Exception):
    """A repair says that there is nothing of its kind to change in a program."""


class OutOfTimeError(Exception):
    """A training did not end before its deadline."""


@dataclass
class Program:
    """A copy of what a user trains; repairs change its fields, never the user's objects.

    Args:
        model: The copy.
        optimizers: Copies that hold the copy's parameters.
        loss_fn: (model, batch) -> scalar loss, the user's own.
        facts: What is known of it.
        sample: A batch to train on.
        clip_norm: Largest gradient norm of a step; None for no clipping.
        natural: Whether the loss is the one that goes with the targets.
        skipped: Activations that are left out.
        retarget: Puts other targets in place.
        change_batch: Applied to every batch.
        around: Makers of contexts to play in.
        logits: What a widened head gave last; it is compared in place of what loss_fn makes of it.
    """

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    loss_fn: LossFunction
    facts: Facts
    sample: Any
    clip_norm: float | None = None
    natural: bool = False
    skipped: frozenset[Activation] = frozenset()
    retarget: Retarget | None = None
    change_batch: list[Callable[[Any], Any]] = field(default_factory=list)
    around: list[Callable[[nn.Module], AbstractContextManager[Any]]] = field(default_factory=list)
    logits: Tensor | None = None

    @classmethod
    def copied(
        cls,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        loss_fn: LossFunction,
        facts: Facts,
        sample: Any,
    ) -> "Program":
        """Copy a model and its optimisers; without one, Adam at 1e-3 trains the copy.

        A warm-up that has taken no step yet is taken as over.
        """
        copied, own = copy.deepcopy((model, list(optimizers)), copyable(model))
        if not any(module.training for module in copied.modules()):
            copied.train()
        if not own:
            trained = [p for p in copied.parameters() if p.requires_grad]
            own = [torch.optim.Adam(trained, 1e-3)] if trained else []
        for optimizer in own:
            for group in optimizer.param_groups:
                if not optimizer.state:
                    group["lr"] = max(group["lr"], group.get("initial_lr", 0.0))
        return cls(copied, own, loss_fn, facts, sample)

    def play(self, batch: Any) -> tuple[Tensor, list[Pair]]:
        """Return the loss of a batch, and what it compared."""
        for change in self.change_batch:
            batch = change(batch)
        replace = self._natural if self.natural else None
        calls = LossCalls(self.facts.difference, self.retarget, self.skipped, replace)
        with ExitStack() as stack:
            for enter in self.around:
                stack.enter_context(enter(self.model))
            stack.enter_context(calls)
            loss = self.loss_fn(self.model, batch)
        if self.natural:
            loss = torch.stack([self._natural(i, pair) for i, pair in enumerate(calls.pairs)]).sum()
            return loss, [self._as_natural(i, pair) for i, pair in enumerate(calls.pairs)]
        return loss, calls.pairs

    def _natural(self, number: int, pair: Pair) -> Tensor:
        return natural_loss(self._as_natural(number, pair), self._classes(number))

    def _as_natural(self, number: int, pair: Pair) -> Pair:
        classes = self._classes(number)
        preds = self.logits if classes > 1 and self.logits is not None else pair.preds
        return Pair(NATURAL[min(classes, 2)], preds, pair.target)

    def _classes(self, number: int) -> int:
        losses = self.facts.losses
        return losses[min(number, len(losses) - 1)].classes

    def step(self, batch: Any) -> float:
        """Take one optimiser step and return the loss before it."""
        self._clear()
        loss, _ = self.play(batch)
        if not loss.requires_grad:
            return float(loss)
        loss.backward()
        held = [p for o in self.optimizers for g in o.param_groups for p in g["params"]]
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_([p for p in held if p.grad is not None], self.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step(lambda: loss)  # type: ignore[arg-type, return-value]
        return float(loss.detach())

    def judged(self, batches: Sequence[Any]) -> float:
        """Return the skill on batches in evaluation mode."""
        with same_attributes(self.model), seeded(0), torch.enable_grad():
            self.model.eval()
            return mean_skill([self.play(batch)[1] for batch in batches])

    def leaves(self) -> list[Tensor]:
        """Return the trainable tensors that the loss of a batch hangs on."""
        with same_attributes(self.model), seeded(0), torch.enable_grad():
            return leaves_of(self.play(self.sample)[0])

    def _clear(self) -> None:
        for parameter in self.model.parameters():
            parameter.grad = None
        for optimizer in self.optimizers:
            optimizer.zero_grad()


def train(
    program: Program,
    batches: Sequence[Any],
    held_out: Sequence[Any],
    marks: Sequence[int],
    deadline: float = math.inf,
    enough: float = math.inf,
) -> dict[int, float]:
    """Train a program and return its skill on held-out batches after some numbers of steps.

    Args:
        program: Trained in place.
        batches: Taken in turn.
        held_out: Judged on, never trained on.
        marks: Numbers of steps, rising; the last ends the training.
        deadline: Moment of `time.monotonic` by which it must have ended.
        enough: Skill at which a training need not go on.

    Returns:
        Marks and skills; NaN from where the loss is not finite, and none after `enough`.

    Raises:
        OutOfTimeError: The deadline came first.
    """
    skills: dict[int, float] = {}
    with seeded(0):
        for step in range(marks[-1]):
            if monotonic() > deadline:
                raise OutOfTimeError
            loss = program.step(batches[step % len(batches)])
            if not math.isfinite(loss):
                return {mark: skills.get(mark, math.nan) for mark in marks}
            if step + 1 in marks:
                skills[step + 1] = program.judged(held_out)
                if skills[step + 1] >= enough:
                    break
    return skills
