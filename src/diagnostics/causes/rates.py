"""Causes that sit in the learning rate: too high, too low, or taken to nothing by its schedule."""

import copy
import gc
import math
import statistics
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch

from .cause import Candidate, Cause, Variant
from .experiment import TRIAL_STEPS, Experiment
from .needs import an_optimizer

SLOW = 1e-6
"""Median update-to-weight ratio of one step below which a learning rate is suspect."""
CALMER = (0.1, 1e-2, 1e-4)
"""Factors on the rate in the trials to compare with, until one of them learns better."""
LEARNS = 0.9
"""Loss at the end of a trial over that at the start, below which the model learns."""
RISES, HARM = 1.5, 0.03
"""Loss at the rate over that at a calmer one, and their difference as a share of the loss at the
start, that say together that the rate is too high."""
FAR = 100.0
"""The same ratio below which the rate is only somewhat too high."""
BRISK = 0.03
"""Median update-to-weight ratio of one step that no rate far too high stays below; about 0.001 is
usual, Adam's first steps at its usual rate have 0.003 to 0.02."""
FORESEEN, SOON, GONE = 200, 10, 1e-2
"""Steps of a schedule that are looked at, and that after SOON of them the rate must not stay below
this share of its largest."""
STOPPED = 1e-3
"""Present rate over the schedule's base, below which a schedule has stopped the training."""


def try_lower_rate(experiment: Experiment) -> list[Candidate]:
    """Train at the rate and at a fraction of it: only with a rate too high does the latter win.

    A rate far too high destroys the weights it is judged on, and so does much else: whether it is
    too high is judged on a freshly initialised copy with an empty optimiser state. With a rate that
    a model has learned at nothing is wrong. A training has tried its rate itself, and a copy costs
    as many steps again: it is trained only where that training, or the size of its steps, is odd.
    """
    rates = experiment.rates
    if not any(rate > 0 for rate in rates) or experiment.symptoms.has_learned:
        return []
    if _goes_calmly(experiment):
        return []
    steps = experiment.affordable_steps
    last = max(len(experiment.batches), steps // 4)
    start = _mean(experiment.train_copy([0.0] * len(rates), True, len(experiment.batches)))
    here = experiment.train_copy(rates, True, steps)
    after = _mean(here[-last:])
    if not math.isfinite(start) or start <= 0 or after < HARM * start or min(here) < 0:
        return []
    # what learns at its rate has one that is ten times too high at most
    for factor in CALMER[:1] if after < LEARNS * start else CALMER:
        calm = _mean(experiment.train_copy([rate * factor for rate in rates], True, steps)[-last:])
        # not <=: a loss that is no number any more is no better than any
        if calm < start and not after <= max(RISES * calm, calm + HARM * start):
            remedy = f"Lower the learning rate, for example to {max(rates) * factor:.1g}."
            evidence = _rate_evidence(experiment, after, calm, start, steps)
            return [Candidate(fraction=1.0, evidence=evidence, confirmed=True, remedy=remedy)]
    return []


def _goes_calmly(experiment: Experiment) -> bool:
    """Return whether a training of which all is known has gone on in small steps without harm."""
    context = experiment.context
    if context.first_losses is None:
        return False
    losses = [*context.first_losses, *(context.losses or ())]
    if len(losses) < TRIAL_STEPS or not all(map(math.isfinite, losses)):
        return False
    begun, now = statistics.median(losses[:5]), statistics.median(losses[-TRIAL_STEPS:])
    return now <= RISES * begun and max(experiment.first_steps) < BRISK


def _rate_evidence(
    experiment: Experiment, before: float, after: float, at_start: float, steps: int
) -> dict[str, Any]:
    fresh, present = experiment.first_steps
    return {
        "learning_rate": max(experiment.rates),
        "update_ratio": present,
        "update_ratio_fresh": fresh,
        "steps_taken": any(optimizer.state for optimizer in experiment.optimizers),
        "before": before,
        "after": after,
        "loss_at_start": at_start,
        "steps": steps,
    }


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)


LEARNING_RATE_TOO_HIGH = Cause(
    name="learning_rate_too_high",
    meaning="steps so large that the loss rises",
    confused_with=(
        "large_init: there the first forward pass is off, here the first steps make it so."
    ),
    rank=130,
    needs=(an_optimizer,),
    group="rates",
    find_by_trial=try_lower_rate,
    explains=("units", "flow", "weights", "nonfinite.inside", "accumulating", "collapse"),
    variants=(
        Variant(
            name="learning_rate_too_high.somewhat",  # dead or flat units may ask for a lower one
            rank=195,
            group="rates",
            explains=("flow", "weights", "nonfinite.inside", "collapse"),
            applies=lambda candidate: (
                candidate.evidence.get("before", math.inf)
                < FAR * candidate.evidence.get("after", 0.0)
                and not candidate.evidence.get("steps_taken")  # else they are of its making
            ),
        ),
    ),
)


def try_higher_rate(experiment: Experiment) -> list[Candidate]:
    """Train at the rate and at a usual one, or one the schedule left: only the latter must learn.

    A schedule's base rate counts, not where its warm-up stands; once it has gone to nothing while
    there was more to learn, it counts as well.
    """
    rates = experiment.rates
    if not any(rate > 0 for rate in rates):
        return []
    if _stopped(experiment):
        return _by_schedule(experiment)
    planned = _collapsing(experiment)
    if planned:
        return _by_plan(experiment, planned)
    if max(experiment.first_steps) >= SLOW:
        return []
    factor = 1e-3 / max(*experiment.first_steps, 1e-12)
    here = experiment.train_copy(rates, False)
    higher = experiment.train_copy([rate * factor for rate in rates], False)
    last = len(experiment.batches)
    stays, falls = _mean(here[-last:]), _mean(higher[-last:])
    if not math.isfinite(stays):
        return []
    return [
        Candidate(
            fraction=1.0,
            evidence=_rate_evidence(experiment, stays, falls, here[0], TRIAL_STEPS),
            confirmed=falls < stays,
            remedy=f"Raise the learning rate, for example to {max(rates) * factor:.1g}.",
        )
    ]


def _stopped(experiment: Experiment) -> bool:
    """Return whether steps were taken and the rate is next to nothing of what it began with."""
    groups = [group for optimizer in experiment.optimizers for group in optimizer.param_groups]
    taken = any(optimizer.state for optimizer in experiment.optimizers)
    now = max(float(group["lr"]) for group in groups)
    return taken and now < STOPPED * max(float(g.get("initial_lr", 0.0)) for g in groups)


def _by_schedule(experiment: Experiment) -> list[Candidate]:
    """Go on at the rate that the schedule left and at the one it began with."""
    groups = [group for optimizer in experiment.optimizers for group in optimizer.param_groups]
    now, steps = [float(group["lr"]) for group in groups], experiment.affordable_steps
    here = experiment.train_copy(now, False, steps)
    begun = experiment.train_copy(experiment.rates, False, steps)
    start = experiment.train_copy(experiment.rates, True, 1)[0]
    last = max(len(experiment.batches), steps // 4)
    stays, falls = _mean(here[-last:]), _mean(begun[-last:])
    if not falls * RISES < stays or stays - falls < HARM * abs(start):
        return []
    evidence = _rate_evidence(experiment, stays, falls, here[0], steps)
    evidence |= {"learning_rate": max(now), "initial_rate": max(experiment.rates)}
    remedy = "The schedule takes the rate to nothing too early: step it once per epoch, or let it"
    remedy += " last as long as the training."
    return [Candidate(fraction=1.0, evidence=evidence, confirmed=True, remedy=remedy)]


def _collapsing(experiment: Experiment) -> list[float]:
    """Return the shares of the rate that a schedule has in store, if it soon takes it to nothing.

    That is within ten of its steps: as a schedule for epochs does that is stepped once per batch.
    """
    for optimizer in experiment.optimizers:
        for scheduler in schedulers_of(optimizer):
            with suppress(Exception):
                planned = planned_rates(scheduler, optimizer, FORESEEN)
                if max(planned) > 0 and max(planned[SOON:]) < GONE * max(planned):
                    return [rate / max(planned) for rate in planned]
    return []


def _by_plan(experiment: Experiment, shares: Sequence[float]) -> list[Candidate]:
    """Train fresh copies under the schedule, a step for each batch, and without it."""
    rates, steps = experiment.rates, experiment.affordable_steps
    model, optimizers = experiment.copy_for_trial(rates, True)
    here = []
    for step in range(steps):
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * shares[min(step, len(shares) - 1)]
        batch = step % len(experiment.batches)
        here.append(experiment.step(model, optimizers, batch=batch).loss)
    constant = experiment.train_copy(rates, True, steps)
    last = max(len(experiment.batches), steps // 4)
    stays, falls = _mean(here[-last:]), _mean(constant[-last:])
    if not falls * RISES < stays or stays - falls < HARM * abs(here[0]):
        return []
    evidence = _rate_evidence(experiment, stays, falls, here[0], steps)
    evidence["rate_after_10_steps"] = max(rates) * shares[min(SOON, len(shares) - 1)]
    remedy = "The schedule takes the rate to nothing within ten of its steps: step it once per"
    remedy += " epoch, or let it last as long as the training."
    return [Candidate(fraction=1.0, evidence=evidence, confirmed=True, remedy=remedy)]


def schedulers_of(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Find the learning rate schedulers of an optimiser, which it does not know of itself."""
    if not any("initial_lr" in group for group in optimizer.param_groups):
        return []
    kind = torch.optim.lr_scheduler.LRScheduler
    known = (o for o in gc.get_objects() if issubclass(type(o), kind))  # isinstance wakes proxies
    return [scheduler for scheduler in known if getattr(scheduler, "optimizer", None) is optimizer]


def planned_rates(scheduler: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """Return the largest rate before each of the next steps of a scheduler, which is not moved."""
    stand_in = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    stand_in.param_groups = [
        {**group, "params": stand_in.param_groups[0]["params"]} for group in optimizer.param_groups
    ]
    twin = copy.deepcopy(scheduler, {id(optimizer): stand_in})
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps):
            rates.append(max(float(group["lr"]) for group in stand_in.param_groups))
            twin.step()
    return rates


LEARNING_RATE_TOO_LOW = Cause(
    name="learning_rate_too_low",
    meaning="steps too small to change the weights",
    confused_with="overclipped and vanishing: raising the rate helps only here.",
    rank=230,
    needs=(an_optimizer,),
    group="rates",
    find_by_trial=try_higher_rate,
)
