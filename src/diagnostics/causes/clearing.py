"""The cause that sits between two steps: gradients that are never cleared."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import cast

from torch import Tensor

from ..symptoms.symptoms import ParameterSymptoms, Symptoms, TrainingContext
from .cause import Candidate, Cause, Variant, Verdict
from .courses import TRIAL_STEPS
from .experiment import Experiment
from .needs import earlier_gradients

ROUNDING = 1e-5
"""A gradient this much smaller than the largest one is zero up to rounding."""
ACCUMULATED = 4.0
"""Gradient found on entry over a fresh one, from which on it was never cleared."""
SAME = 1e-5
"""Relative difference up to which two norms of gradients are the same one."""
MOST = 0.5
"""Share of it that has to be of parameters that an optimiser clears: nobody clears the others."""
LOST = 10.0
"""Loss over that of the first step from which on a training is lost."""
FEW = 6
"""Recorded steps at least that copies are compared with."""
APART, ALIKE = 3.0, 2.0
"""Factors within which the first norm of a fresh copy must be that recorded, and within which the
norms after it must be at half of the steps for copies that clear nothing, not for those that do."""
CLEAR = "Call optimizer.zero_grad() before every backward pass."


def find_accumulating(symptoms: Symptoms) -> list[Candidate]:
    """Find gradients on entry that hold the step before as well, or are several times fresh ones.

    What a batch adds to a gradient that was not cleared is its own: without it, that of the step
    before is left, whose norm may be on record. Sizes alone are the weaker sign, as those of fresh
    gradients grow with the damage.
    """
    return _step_before(symptoms) or _several_times_fresh(symptoms)


def _step_before(symptoms: Symptoms) -> list[Candidate]:
    """Find what is left of the gradients on entry without those of batches, on record."""
    norms, clip = symptoms.context.grad_norms or (), symptoms.context.clip_norm
    if len(norms) < 2 or not norms[-2] > 0:
        return []
    recorded = min(norms[-2], clip) if clip else norms[-2]
    for batches in _of_one_step(symptoms):
        grads = [{p.name: p.grads[b] for p in _held(symptoms) if p.grads} for b in batches]
        left, to_clear = _left_on_entry(symptoms, grads)
        if to_clear > MOST * recorded and _is_same(left, recorded, norms[-1]):
            evidence = {"gradient_on_entry": norms[-1], "left": left, "step_before": recorded}
            return [
                Candidate(
                    fraction=min(1.0, left / norms[-1]),
                    evidence={**evidence, "batches": list(batches)},
                    remedy=CLEAR,
                )
            ]
    return []


def _held(symptoms: Symptoms) -> list[ParameterSymptoms]:
    return [p for p in symptoms.parameters.values() if p.entry is not None]


def _of_one_step(symptoms: Symptoms) -> list[range]:
    """Return the batches that may have made the last step; none where one reaches but a part."""
    count, batches = symptoms.context.accumulate_grad_batches or 1, len(symptoms.loss_values)
    if any(len(p.grads) not in (0, batches) for p in _held(symptoms)):
        return []
    return [range(first, first + count) for first in range(batches - count + 1)]


def _left_on_entry(
    symptoms: Symptoms, grads: Sequence[Mapping[str, Tensor]]
) -> tuple[float, float]:
    """Return the norm of what is left on entry without the mean gradient of some batches.

    Returns:
        That of all parameters, and of those that an optimiser clears.
    """
    square, to_clear = 0.0, 0.0
    for parameter in _held(symptoms):
        left = cast(Tensor, parameter.entry).double()
        for fresh in grads:
            if parameter.name in fresh:
                left = left - fresh[parameter.name].double() / len(grads)
        size = float(left.square().sum())
        square += size
        to_clear += 0.0 if parameter.optimized is False else size
    return square**0.5, to_clear**0.5


def _is_same(left: float, recorded: float, present: float) -> bool:
    return abs(left - recorded) <= SAME * max(recorded, present)


def _several_times_fresh(symptoms: Symptoms) -> list[Candidate]:
    """Find gradients on entry several times larger than those of one pass over these batches.

    It takes half of the parameters: what no batch reaches any more keeps its old gradient, while
    fresh ones may have grown as large as the sum. Parameters in no optimiser group do not count:
    nobody clears them. Nor do gradients that are rounding beside the others.
    """
    on_purpose = symptoms.context.accumulate_grad_batches or 1
    found = {
        p.name: (float(p.entry.double().norm()), p.norm * on_purpose)
        for p in symptoms.parameters.values()
        if p.entry is not None and p.entry.any() and p.grads and p.optimized is not False
    }
    largest = max((max(pair) for pair in found.values()), default=0.0)
    pairs = {name: pair for name, pair in found.items() if pair[0] > ROUNDING * largest}
    ratio = median(relative_entry(*pair) for pair in pairs.values()) if pairs else 0.0
    if not ratio >= ACCUMULATED:
        return []
    return [
        Candidate(
            fraction=1 - 1 / ratio,
            evidence={
                "gradient_on_entry": sum(entry for entry, _ in pairs.values()),
                "fresh_gradient": sum(fresh for _, fresh in pairs.values()),
                "ratio": ratio,
            },
            remedy=CLEAR,
        )
    ]


def relative_entry(entry: float, fresh: float) -> float:
    """Return the norm of a gradient on entry over that of a fresh one.

    >>> relative_entry(6.0, 2.0), relative_entry(1.0, 0.0)
    (3.0, inf)
    """
    return entry / fresh if fresh else float("inf")


def clear_and_compare(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Compare the gradients found on entry with those of the first batch from cleared ones.

    Where the step before was found in them, it must be found again in another replay.
    """
    numbers = candidate.evidence
    if "step_before" in numbers:
        again = [experiment.replay(batch=batch).grads for batch in numbers["batches"]]
        left, _ = _left_on_entry(experiment.symptoms, again)
        present = numbers["gradient_on_entry"]
        evidence = {"before": numbers["step_before"], "after": left}
        return _is_same(left, numbers["step_before"], present), evidence
    fresh = experiment.baseline.grads
    ratios = [
        relative_entry(float(p.entry.double().norm()), float(fresh[name].double().norm()))
        for name, p in experiment.symptoms.parameters.items()
        if p.entry is not None and p.entry.any() and name in fresh
    ]
    before, after = numbers["gradient_on_entry"], experiment.baseline.norm
    return (median(ratios) > 1 if ratios else None), {"before": before, "after": after}


def try_clearing(experiment: Experiment) -> list[Candidate]:
    """Train fresh copies that clear and do not: to the latter a lost training's norms must belong.

    Where nothing is finite any more no gradient tells where it came from; the recorded norms do.
    """
    context = experiment.context
    recorded = list(context.grad_norms or ())[:TRIAL_STEPS]
    if not _held(experiment.symptoms) or not _is_known_and_lost(context) or len(recorded) < FEW:
        return []
    cleared, losses = _course(experiment, True, len(recorded))
    learns = losses[-1] < losses[0]  # at this rate, from such weights
    if not learns or not cleared[0] / APART < recorded[0] < cleared[0] * APART:
        return []
    summed, _ = _course(experiment, False, len(recorded))
    ours, others = unlikeness(recorded, summed), unlikeness(recorded, cleared)
    if not ours < math.log(ALIKE) < others:
        return []
    evidence = {
        "unlike_uncleared": math.exp(ours),
        "unlike_cleared": math.exp(others),
        "steps": len(recorded),
    }
    return [Candidate(fraction=1.0, evidence=evidence, confirmed=True, remedy=CLEAR)]


def _is_known_and_lost(context: TrainingContext) -> bool:
    """Return whether all steps of a training are on record, and it has only made things worse."""
    norms, losses = context.grad_norms or (), context.losses or ()
    if context.step is None or len(losses) != len(norms) or not 0 <= len(norms) - context.step <= 1:
        return False
    return not losses[-1] <= LOST * losses[0]  # also where it is no number


def _course(experiment: Experiment, clears: bool, steps: int) -> tuple[list[float], list[float]]:
    """Train a fresh copy and return gradient norms and losses of its steps."""
    model, optimizers = experiment.courses.copy_for(experiment.courses.rates, fresh=True)
    norms, losses = [], []
    for step in range(steps):
        batch = step % len(experiment.batches)
        taken = experiment.step(model, optimizers, batch, clears=clears)
        norms.append(taken.norm)
        losses.append(taken.loss)
    return norms, losses


def unlikeness(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how far two series of norms are apart, each relative to its start.

    Returns:
        Median of |log of their ratio| over the steps after the first in which both are finite.

    >>> round(unlikeness([1.0, 2.0, 8.0], [3.0, 6.0, 12.0]), 3)
    0.347
    """
    pairs = [(a / one[0], b / other[0]) for a, b in zip(one, other, strict=True) if a > 0 and b > 0]
    apart = [abs(math.log(a / b)) for a, b in pairs[1:] if math.isfinite(a) and math.isfinite(b)]
    return median(apart) if apart else math.inf


ACCUMULATING = Cause(
    name="accumulating",
    meaning="gradients that are never cleared",
    confused_with=(
        "exploding, where a single backward pass is already large, and accumulation on purpose."
    ),
    rank=140,
    needs=(earlier_gradients,),
    find=find_accumulating,
    find_by_trial=try_clearing,
    prove=clear_and_compare,
    explains=("units", "flow", "weights", "nonfinite.inside"),
    variants=(
        Variant(
            name="accumulating.shown",  # by an identity, which nothing else brings about
            rank=125,
            independent=True,
            explains=("units", "flow", "weights", "rates", "nonfinite.inside", "collapse"),
            applies=lambda candidate: (
                not {"step_before", "unlike_cleared"}.isdisjoint(candidate.evidence)
            ),
        ),
    ),
)
