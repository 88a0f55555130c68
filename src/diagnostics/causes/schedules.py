"""Learning rates that a schedule takes to nothing, while there is more to learn."""

import copy
import gc
import warnings
from collections.abc import Sequence
from contextlib import suppress
from statistics import fmean as mean
from typing import Any

import torch

from .cause import Candidate
from .experiment import Experiment
from .harm import HARMFUL, LEAST

FORESEEN, SOON, GONE = 200, 10, 1e-2
"""Steps of a schedule that are looked at, and that after SOON of them the rate must not stay below
this share of its largest."""
STOPPED = 1e-3
"""Present rate over the schedule's base, below which a schedule has stopped the training."""


def has_stopped(experiment: Experiment) -> bool:
    """Return whether steps were taken and the rate is next to nothing of what it began with."""
    groups = [group for optimizer in experiment.optimizers for group in optimizer.param_groups]
    now = max(float(group["lr"]) for group in groups)
    return experiment.courses.has_stepped and now < STOPPED * max(
        float(g.get("initial_lr", 0.0)) for g in groups
    )


def go_on(experiment: Experiment) -> list[Candidate]:
    """Go on at the rate that the schedule left and at the one it began with."""
    groups = [group for optimizer in experiment.optimizers for group in optimizer.param_groups]
    now, steps = [float(group["lr"]) for group in groups], experiment.courses.affordable_steps
    here = experiment.courses.losses(now, False, steps)
    begun = experiment.courses.losses(experiment.courses.rates, False, steps)
    start = experiment.courses.losses(experiment.courses.rates, True, 1)[0]
    last = max(len(experiment.batches), steps // 4)
    stays, falls = mean(here[-last:]), mean(begun[-last:])
    if not falls * HARMFUL < stays or stays - falls < LEAST * abs(start):
        return []
    evidence = experiment.courses.rate_evidence(stays, falls, here[0], steps)
    evidence |= {"learning_rate": max(now), "initial_rate": max(experiment.courses.rates)}
    remedy = "The schedule takes the rate to nothing too early: step it once per epoch, or let it"
    remedy += " last as long as the training."
    return [Candidate(fraction=1.0, evidence=evidence, confirmed=True, remedy=remedy)]


def collapsing(experiment: Experiment) -> list[float]:
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


def follow_plan(experiment: Experiment, shares: Sequence[float]) -> list[Candidate]:
    """Train fresh copies under the schedule, a step for each batch, and without it."""
    rates, steps = experiment.courses.rates, experiment.courses.affordable_steps
    model, optimizers = experiment.courses.copy_for(rates, True)
    here = []
    for step in range(steps):
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * shares[min(step, len(shares) - 1)]
        batch = step % len(experiment.batches)
        here.append(experiment.step(model, optimizers, batch=batch).loss)
    constant = experiment.courses.losses(rates, True, steps)
    last = max(len(experiment.batches), steps // 4)
    stays, falls = mean(here[-last:]), mean(constant[-last:])
    if not falls * HARMFUL < stays or stays - falls < LEAST * abs(here[0]):
        return []
    evidence = experiment.courses.rate_evidence(stays, falls, here[0], steps)
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
