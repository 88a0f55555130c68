"""Train a subject with and without a fault from the same start, on the same seeds, and diagnose."""

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.deform.subjects import RATE, Subject, make
from src.diagnostics import TrainingContext, diagnose

SEEDS = 5
ROUGH, FINE = 400, 40
"""Steps that a clean subject has learned before a fault comes, and steps with it."""
Change = Callable[[Subject], None]


class Judged(NamedTuple):
    """What came of one fault.

    Args:
        clean: errors on other data of runs without it, one a seed.
        faulty: of runs with it, up to the first that is not worse.
        said: (cause, place) of the alarms, at the start and after training, first to last; none
            is asked for where there is no harm.
        error: what the diagnosis raised.
    """

    clean: list[float]
    faulty: list[float]
    said: list[tuple[str, str]]
    error: str

    @property
    def harmful(self) -> bool:
        """Whether all seeds are worse, by a hundredth at least: p = 1/32, a one-sided sign test."""
        pairs = zip(self.clean, self.faulty, strict=False)
        return len(self.faulty) == SEEDS and all(worse(*pair) for pair in pairs)


@cache
def learned(scope: str) -> dict[str, torch.Tensor]:
    """Return the weights that a clean subject has after its first steps."""
    torch.manual_seed(0)
    subject = make(scope)
    subject.rate = RATE
    train(subject, subject.optimizer(), subject.draw(32 * ROUGH, 1))
    return subject.model.state_dict()


def train(subject: Subject, optimizer: Any, batches: list[Any]) -> list[float]:
    """Train one pass and return the losses."""
    losses = []
    subject.model.train()
    for batch in batches:
        optimizer.zero_grad()
        loss = subject.loss_fn(subject.model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(subject.model.parameters(), subject.clip)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def error_of(subject: Subject) -> float:
    """Return the mean loss on data that was not trained on."""
    subject.model.eval()
    with torch.no_grad():
        losses = [float(subject.loss_fn(subject.model, b)) for b in subject.draw(512, 10_000)]
    return sum(losses) / len(losses)


def started(scope: str, seed: int, change: Change) -> Subject:
    """Return a subject that has learned, with a change."""
    torch.manual_seed(seed)
    subject = make(scope)
    subject.model.load_state_dict(copy.deepcopy(learned(scope)))
    change(subject)
    return subject


@cache
def clean_errors(scope: str) -> list[float]:
    """Return the errors of runs without a fault, one a seed."""
    return [fine_tuned(scope, seed, lambda _: None) for seed in range(SEEDS)]


def fine_tuned(scope: str, seed: int, change: Change) -> float:
    """Train on with a change, and return the error."""
    subject = started(scope, seed, change)
    train(subject, subject.optimizer(), subject.draw(32 * FINE, 100 + seed))
    return error_of(subject)


def alarms(subject: Subject, optimizer: Any, batches: list[Any], losses: list[float]) -> Any:
    """Ask for the diagnosis of a subject in training."""
    subject.model.train()
    context = TrainingContext(clip_norm=subject.clip, losses=losses or None)
    found = diagnose(subject.model, batches, subject.loss_fn, optimizer, context=context)
    return [(finding.cause, finding.location) for finding in found.alarms]


def judge(scope: str, change: Change) -> Judged:
    """Measure the harm of a change, and diagnose a run with it at its start and at its end."""
    clean, faulty = clean_errors(scope), []
    for seed in range(SEEDS):
        faulty.append(fine_tuned(scope, seed, change))
        if not worse(clean[seed], faulty[seed]):  # one is enough to acquit it
            return Judged(clean, faulty, [], "")
    return Judged(clean, faulty, *diagnosed(scope, 0, change))


def worse(clean: float, faulty: float) -> bool:
    """Return whether an error is larger than that of the clean run, by a hundredth at least."""
    return not math.isfinite(faulty) or faulty > 1.01 * clean


def _data(number: int) -> Change:
    def change(subject: Subject) -> None:
        draw = subject.draw
        subject.draw = lambda count, seed: draw(count, seed + 1_000 * number)

    return change


def _batch(samples: int) -> Change:
    def change(subject: Subject) -> None:
        draw = subject.draw

        def drawn(count: int, seed: int) -> list[Any]:
            whole = [torch.cat(parts) for parts in zip(*draw(count, seed), strict=True)]
            return list(zip(*(part.split(samples) for part in whole), strict=True))

        subject.draw = drawn

    return change


def _rate(rate: float) -> Change:
    return lambda subject: setattr(subject, "rate", rate)


VARIANTS: dict[str, Change] = {
    **{f"data {number}": _data(number) for number in range(1, 7)},
    **{f"batches of {samples}": _batch(samples) for samples in (16, 24, 48, 64)},
    **{f"rate {rate}": _rate(rate) for rate in (5e-4, 7e-4, 1.5e-3, 2e-3)},
}
"""Correct runs: what is varied keeps the label."""


def diagnosed(scope: str, seed: int, change: Change) -> tuple[list[tuple[str, str]], str]:
    """Return what was said of a run at its start and at its end, each once, and any error."""
    subject = started(scope, seed, change)
    batches = subject.draw(32 * FINE, 100 + seed)
    optimizer, said, problem = subject.optimizer(), [], ""
    try:
        said += alarms(subject, optimizer, batches[:4], [])
        losses = train(subject, optimizer, batches)
        optimizer.zero_grad()
        said += alarms(subject, optimizer, batches[-4:], losses)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
    return list(dict.fromkeys(said)), problem
