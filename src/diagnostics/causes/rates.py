"""Causes that sit in the learning rate: too high, or too low."""

import math
from collections.abc import Mapping
from statistics import fmean as mean
from statistics import median
from typing import Any

from .cause import Candidate, Cause, Variant
from .courses import TRIAL_STEPS
from .experiment import Experiment
from .harm import HARMFUL, LEAST, Remedy, Worth
from .needs import an_optimizer
from .schedules import collapsing, follow_plan, go_on, has_stopped

SLOW = 1e-6
"""Median update-to-weight ratio of one step below which a learning rate is suspect."""
USUAL = 1e-3
"""The same ratio as it usually is, at least."""
WELL = 3 * USUAL
"""The same ratio of a fresh model from which on no rate is suspected of being too low: what learns
faster at ten times the rate is slow, not broken. Adam at its usual rate has 0.003 to 0.02, and of
momentum counts what it builds up to."""
SOON = 0.1
"""Share of the loss that may be left after the steps of a trial, and the rate is no low one."""
CALMER = (0.1, 1e-2, 1e-4)
"""Factors on the rate in the trials to compare with, until one of them learns better."""
LEARNS = 0.9
"""Loss at the end of a trial over that at the start, below which the model learns."""
FAR = 100.0
"""Loss at the rate over that at a calmer one, below which the rate is only somewhat too high."""
BRISK = 0.03
"""Median update-to-weight ratio of one step that no rate far too high stays below; about 0.001 is
usual, Adam's first steps at its usual rate have 0.003 to 0.02."""


def try_lower_rate(experiment: Experiment) -> list[Candidate]:
    """Train at the rate and at a fraction of it: only with a rate too high does the latter win.

    A rate far too high destroys the weights it is judged on, and so does much else: whether it is
    too high is judged on a freshly initialised copy with an empty optimiser state. With a rate that
    a model has learned at nothing is wrong. A training has tried its rate itself, and a copy costs
    as many steps again: it is trained only where that training, or the size of its steps, is odd.
    """
    if not any(rate > 0 for rate in experiment.courses.rates) or _goes_calmly(experiment):
        return []
    found = [] if experiment.symptoms.has_learned else _on_batches_learnt(experiment)
    return found or _on_new_batches(experiment)


def _goes_calmly(experiment: Experiment) -> bool:
    """Return whether a training of which all is known has gone on in small steps without harm."""
    losses = _own_losses(experiment)
    if not losses or not all(map(math.isfinite, losses)):
        return False
    begun, now = median(losses[:5]), median(losses[-TRIAL_STEPS:])
    return now <= HARMFUL * begun and max(experiment.courses.first_steps) < BRISK


def _own_losses(experiment: Experiment) -> list[float]:
    """Return a training's losses from its first step on; none if they are not known, or few."""
    context = experiment.context
    if context.first_losses is None:
        return []
    losses = [*context.first_losses, *(context.losses or ())]
    return losses if len(losses) >= TRIAL_STEPS else []


def _on_batches_learnt(experiment: Experiment) -> list[Candidate]:
    """Compare training losses, which few batches are enough for."""
    courses = experiment.courses
    rates, steps = courses.rates, courses.affordable_steps
    last = max(len(experiment.batches), steps // 4)
    start = mean(courses.losses([0.0] * len(rates), True, len(experiment.batches)))
    here = courses.losses(rates, True, steps)
    after = mean(here[-last:])
    if not math.isfinite(start) or start <= 0 or after < LEAST * start or min(here) < 0:
        return []
    # what learns at its rate has one that is ten times too high at most
    for factor in CALMER[:1] if after < LEARNS * start else CALMER:
        calm = mean(courses.losses([rate * factor for rate in rates], True, steps)[-last:])
        # not <=: a loss that is no number any more is no better than any
        if calm < start and not after <= max(HARMFUL * calm, calm + LEAST * start):
            evidence = courses.rate_evidence(after, calm, start, steps)
            return [_lower(experiment, factor, evidence)]
    return []


def _on_new_batches(experiment: Experiment) -> list[Candidate]:
    """Compare losses on batches held out; what only learns its batches by heart is no fault."""
    if not experiment.judge.can_tell:
        return []
    worth = experiment.judge.worth(Remedy(rate=CALMER[0]))
    if not worth.is_harmful or worth.without.fit < worth.under.fit:
        return []
    return [_lower(experiment, CALMER[0], _evidence(experiment, worth))]


def _evidence(experiment: Experiment, worth: Worth) -> dict[str, Any]:
    numbers = worth.without.end, worth.under.end, worth.under.start, worth.steps
    return experiment.courses.rate_evidence(*numbers) | {"harm": worth.harm}


def _lower(experiment: Experiment, factor: float, evidence: Mapping[str, Any]) -> Candidate:
    rate = max(experiment.courses.rates) * factor
    remedy = f"Lower the learning rate, for example to {rate:.1g}."
    return Candidate(fraction=1.0, evidence=evidence, confirmed=True, remedy=remedy)


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
    """Train at the rate and at higher ones, or one the schedule left: only the latter must learn.

    A schedule's base rate counts, not where its warm-up stands; once it has gone to nothing while
    there was more to learn, it counts as well.
    """
    if not any(rate > 0 for rate in experiment.courses.rates):
        return []
    if has_stopped(experiment):
        return go_on(experiment)
    planned = collapsing(experiment)
    if planned:
        return follow_plan(experiment, planned)
    if max(experiment.courses.first_steps) < SLOW:
        return _at_usual_rate(experiment)
    if experiment.courses.first_steps[0] * experiment.courses.build_up >= WELL:
        return []
    return _at_higher_rates(experiment)


def _at_usual_rate(experiment: Experiment) -> list[Candidate]:
    """Train on at a rate that moves weights as far as is usual."""
    courses = experiment.courses
    rates, last = courses.rates, len(experiment.batches)
    factor = USUAL / max(*courses.first_steps, 1e-12)
    here = courses.losses(rates, False)
    higher = courses.losses([rate * factor for rate in rates], False)
    stays, falls = mean(here[-last:]), mean(higher[-last:])
    if not math.isfinite(stays):
        return []
    evidence = courses.rate_evidence(stays, falls, here[0], TRIAL_STEPS)
    return [_raise(experiment, factor, evidence, falls < stays)]


def _at_higher_rates(experiment: Experiment) -> list[Candidate]:
    """Train fresh copies at higher rates, and judge them on batches held out.

    Slow is not broken: a copy that learns most there is in the steps of a trial has a rate to
    learn at, and so has a program that has got by now where the higher rate would bring it.
    """
    judge, moved = experiment.judge, experiment.courses.first_steps[0]
    if not judge.can_tell:
        return []
    usual = USUAL / max(moved, 1e-12)
    for factor in (10.0, *((usual, 10 * usual) if usual > 10 else ())):
        worth = judge.worth(Remedy(rate=factor))
        if worth.without.end < SOON * worth.without.start:
            return []
        if worth.is_harmful and judge.reached >= HARMFUL * worth.under.end:
            return [_raise(experiment, factor, _evidence(experiment, worth), True)]
    return []


def _raise(
    experiment: Experiment, factor: float, evidence: Mapping[str, Any], confirmed: bool
) -> Candidate:
    rate = max(experiment.courses.rates) * factor
    remedy = f"Raise the learning rate, for example to {rate:.1g}."
    return Candidate(fraction=1.0, evidence=evidence, confirmed=confirmed, remedy=remedy)


LEARNING_RATE_TOO_LOW = Cause(
    name="learning_rate_too_low",
    meaning="steps too small to change the weights",
    confused_with="overclipped and vanishing: raising the rate helps only here.",
    rank=230,
    needs=(an_optimizer,),
    group="rates",
    find_by_trial=try_higher_rate,
)
