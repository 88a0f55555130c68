"""What a remedy is worth: copies trained from fresh weights, with it and without.

A fault hurts by what is lost to it. So a suspicion may be cheap and vague: it becomes a finding
where the program as it is ends half as high again as under the remedy, or worse. That is judged on
batches that neither copy has learnt from, where nothing is gained by learning batches by heart.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean as mean
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from ..isolation import seeded
from ..symptoms.masks import tensors_in
from ..symptoms.structure import same_state

if TYPE_CHECKING:
    from .experiment import Experiment

HARMFUL = 1.5
"""Loss without a remedy over the loss with it, from which on its lack is a fault."""
LEAST = 0.03
"""Their difference as a share of the loss at the start, below which nothing is lost."""
LEARNED_WELL = 0.9
"""Skill from which on a model has lost nothing that is worth a trial."""
HELD_OUT = 4
"""Each so many-th batch is judged on."""
ROWS = 8
"""Samples that have to be judged on."""


def leave(_: nn.Module) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class Remedy:
    """What is done otherwise about a copy.

    Args:
        change: Applied to the copy before it is trained.
        rate: Factor on the learning rate of every group.
        mode: Maker of a context to train and judge in.
        judged: Maker of the context to judge in; None for that of the training.
        clips: Whether gradients are clipped as the program does.
        decays: Whether the optimisers' weight decay is kept.
    """

    change: Callable[[nn.Module], None] = leave
    rate: float = 1.0
    mode: Callable[[], AbstractContextManager[Any]] = nullcontext
    judged: Callable[[], AbstractContextManager[Any]] | None = None
    clips: bool = True
    decays: bool = True


AS_IS = Remedy()


class Course(NamedTuple):
    """Loss on held-out batches before and after a training; infinite once it is no number.

    `fit` is the mean loss on the batches learnt from, over the last quarter of the steps.
    """

    start: float
    end: float
    fit: float = math.inf


class Worth(NamedTuple):
    """Two courses of equally many steps: of the program as it is, and under a remedy."""

    without: Course
    under: Course
    steps: int

    @property
    def harm(self) -> float:
        """The loss without the remedy over that with it; nobody loses more than there was.

        >>> Worth(Course(1.0, 0.6), Course(1.0, 0.2), 60).harm
        2.9999999999999996
        >>> Worth(Course(9.0, 3.0), Course(1.0, 0.8), 60).harm
        1.25
        """
        before = min(self.without.end, self.under.start)
        return before / self.under.end if 0 < self.under.end < math.inf and before > 0 else 0.0

    @property
    def is_harmful(self) -> bool:
        """Whether the lack of the remedy is a fault."""
        lost = min(self.without.end, self.under.start) - self.under.end
        return self.harm >= HARMFUL and lost >= LEAST * self.under.start

    @property
    def evidence(self) -> Mapping[str, float]:
        """The numbers behind it."""
        return {
            "before": self.without.end,
            "after": self.under.end,
            "loss_at_start": self.under.start,
            "harm": self.harm,
            "steps": self.steps,
        }


class Judge:
    """Compares remedies, and trains no copy twice.

    Args:
        experiment: The model, its batches and how to replay them.
    """

    def __init__(self, experiment: "Experiment") -> None:
        self.experiment = experiment
        self.known: dict[Remedy, Course] = {}
        count = len(experiment.batches)
        every = min(HELD_OUT, count)
        self.held_out = [i for i in range(count) if (i + 1) % every == 0] if count > 1 else []
        self.learnt = [i for i in range(count) if i not in self.held_out]

    @cached_property
    def can_tell(self) -> bool:
        """Whether something was lost so far, and enough is held out to judge by.

        Before its first step a program has lost nothing: how many are to come only its user knows.
        """
        courses, skill = self.experiment.courses, self.experiment.symptoms.skill
        if not courses.has_stepped or skill >= LEARNED_WELL or not self.held_out:
            return False
        batches = [tensors_in(self.experiment.batches[i]) for i in self.held_out]
        return sum(max((len(t) for t in batch if t.dim()), default=0) for batch in batches) >= ROWS

    @cached_property
    def reached(self) -> float:
        """Loss on the held-out batches of the model as it is, after however many steps."""
        return self._judge(self.experiment.copy(), AS_IS)

    def worth(self, remedy: Remedy, without: Remedy = AS_IS) -> Worth:
        """Compare a remedy with the program as it is, or with another one.

        Args:
            remedy: What may help.
            without: What it is compared with.
        """
        before, after = self.course(without), self.course(remedy)
        return Worth(before, after, self.experiment.courses.affordable_steps)

    def course(self, remedy: Remedy) -> Course:
        """Train a fresh copy in one way, unless it is known how that ends."""
        if remedy not in self.known:
            self.known[remedy] = self._train(remedy)
        return self.known[remedy]

    def _train(self, remedy: Remedy) -> Course:
        courses = self.experiment.courses
        rates = [rate * remedy.rate for rate in courses.rates]
        model, optimizers = courses.copy_for(rates, fresh=True)
        for optimizer in optimizers if not remedy.decays else ():
            for group in optimizer.param_groups:
                group["weight_decay"] = 0.0
        remedy.change(model)
        start, losses = self._judge(model, remedy), list[float]()
        for step in range(courses.affordable_steps):
            batch = self.learnt[step % len(self.learnt)]
            with remedy.mode():
                losses.append(self.experiment.step(model, optimizers, batch, remedy.clips).loss)
            if not math.isfinite(losses[-1]):
                return Course(start, math.inf)
        return Course(start, self._judge(model, remedy), mean(losses[-(len(losses) // 4) :]))

    def _judge(self, model: nn.Module, remedy: Remedy) -> float:
        """Return the mean loss on the batches held out."""
        experiment, losses = self.experiment, list[float]()
        mode, structure = remedy.judged or remedy.mode, experiment.symptoms.structure
        for batch in self.held_out:
            with torch.no_grad(), seeded(batch), mode(), same_state(model, structure):
                losses.append(float(experiment.loss_fn(model, experiment.batches[batch])))
        return mean(losses) if math.isfinite(mean(losses)) else math.inf
