"""Causes that sit in the training loop: the learning rate, clearing and clipping of gradients."""

import math
from collections.abc import Sequence
from itertools import chain
from statistics import median
from typing import Any

from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import TRIAL_STEPS, Experiment

FAST, SLOW = 0.2, 1e-6
"""Median update-to-weight ratio of one step outside of which a learning rate is suspect."""
CALMER = (1e-2, 1e-4)
"""Factors on a suspiciously high rate in the trial to compare with, until one stays finite."""
RISES = 1.5
"""Factor between the losses at the rate and at the calmer one that says the rate is too high."""
LEFT = 1e-3
"""Clipping threshold over gradient norm, below which clipping leaves nothing."""
ACCUMULATED = 4.0
"""Gradient found on entry over a fresh one, from which on it was never cleared."""


def try_lower_rate(experiment: Experiment) -> list[Candidate]:
    """Train at the rate and at a fraction of it: only a rate too high makes the loss rise.

    A rate far too high destroys the weights it is judged on, and so does much else: whether it is
    too high is judged on a freshly initialised copy with an empty optimiser state.
    """
    rates = experiment.rates
    if not any(rate > 0 for rate in rates) or experiment.first_steps[0] <= FAST:
        return []
    here = experiment.train_copy(rates, True)
    last = max(len(experiment.batches), TRIAL_STEPS // 4)
    after = _mean(here[-last:])
    for factor in CALMER:
        calm = _mean(experiment.train_copy([rate * factor for rate in rates], True)[-last:])
        if math.isfinite(calm):
            break
    if not math.isfinite(calm) or after <= RISES * calm:
        return []
    return [
        Candidate(
            fraction=1.0,
            evidence=_rate_evidence(experiment, after, calm, here[0]),
            confirmed=True,
            remedy=f"Lower the learning rate, for example optimizer.lr={max(rates) * factor:.1g}.",
        )
    ]


def _rate_evidence(
    experiment: Experiment, before: float, after: float, at_start: float
) -> dict[str, Any]:
    fresh, present = experiment.first_steps
    return {
        "learning_rate": max(experiment.rates),
        "update_ratio": present,
        "update_ratio_fresh": fresh,
        "before": before,
        "after": after,
        "loss_at_start": at_start,
        "steps": TRIAL_STEPS,
    }


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)


LEARNING_RATE_TOO_HIGH = Cause(
    name="learning_rate_too_high",
    meaning="steps so large that the loss rises",
    rank=130,
    group="rates",
    find_by_trial=try_lower_rate,
    explains=("units", "flow", "weights", "nonfinite.inside", "accumulating"),
)


def try_higher_rate(experiment: Experiment) -> list[Candidate]:
    """Train at the rate and at one with a usual update ratio: only the latter must get anywhere.

    A schedule's base rate counts, not where its warm-up stands.
    """
    rates = experiment.rates
    if not any(rate > 0 for rate in rates) or max(experiment.first_steps) >= SLOW:
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
            evidence=_rate_evidence(experiment, stays, falls, here[0]),
            confirmed=falls < stays,
            remedy=f"Raise the learning rate, for example optimizer.lr={max(rates) * factor:.1g}.",
        )
    ]


LEARNING_RATE_TOO_LOW = Cause(
    name="learning_rate_too_low",
    meaning="steps too small to change the weights",
    rank=230,
    group="rates",
    find_by_trial=try_higher_rate,
)


def find_accumulating(symptoms: Symptoms) -> list[Candidate]:
    """Find gradients on entry several times larger than those of one pass over these batches.

    It takes half of the parameters: what no batch reaches any more keeps its old gradient, while
    fresh ones may have grown as large as the sum. Parameters in no optimiser group do not count:
    nobody clears them.
    """
    on_purpose = symptoms.context.accumulate_grad_batches or 1
    pairs = {
        p.name: (float(p.entry.double().norm()), p.norm * on_purpose)
        for p in symptoms.parameters.values()
        if p.entry is not None and p.entry.any() and p.grads and p.optimized is not False
    }
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
            remedy="Call optimizer.zero_grad() before every backward pass.",
        )
    ]


def relative_entry(entry: float, fresh: float) -> float:
    """Return the norm of a gradient on entry over that of a fresh one.

    >>> relative_entry(6.0, 2.0), relative_entry(1.0, 0.0)
    (3.0, inf)
    """
    return entry / fresh if fresh else float("inf")


def clear_and_compare(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Compare the gradients found on entry with those of the first batch from cleared ones."""
    fresh = experiment.baseline.grads
    ratios = [
        relative_entry(float(p.entry.double().norm()), float(fresh[name].double().norm()))
        for name, p in experiment.symptoms.parameters.items()
        if p.entry is not None and p.entry.any() and name in fresh
    ]
    before, after = candidate.evidence["gradient_on_entry"], experiment.baseline.norm
    return (median(ratios) > 1 if ratios else None), {"before": before, "after": after}


ACCUMULATING = Cause(
    name="accumulating",
    meaning="gradients that are never cleared",
    rank=140,
    find=find_accumulating,
    prove=clear_and_compare,
    explains=("units", "flow", "weights", "nonfinite.inside"),
)


def find_overclipped(symptoms: Symptoms) -> list[Candidate]:
    """Find clipping thresholds a thousand times below the gradient they clip."""
    context = symptoms.context
    norms = sorted(symptoms.grad_norms)
    norm = norms[len(norms) // 2] if norms else 0.0
    grads = chain.from_iterable(parameter.grads for parameter in symptoms.parameters.values())
    largest = max((float(grad.abs().max()) for grad in grads), default=0)
    for clip, size in ((context.clip_norm, norm), (context.clip_value, largest)):
        if clip is not None and 0 < clip < LEFT * size:
            return [
                Candidate(
                    fraction=1 - clip / size,
                    evidence={"clip": clip, "gradient": size, "left": clip / size},
                    remedy="Raise the threshold to the usual gradient norm:"
                    " trainer.gradient_clip_val=1.0.",
                )
            ]
    return []


def compare_clipping(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Compare the replayed gradient with what the clipping leaves of it."""
    clip, norm = candidate.evidence["clip"], experiment.baseline.norm
    return clip < norm, {"before": clip, "after": norm}


OVERCLIPPED = Cause(
    name="overclipped",
    meaning="clipping that leaves almost nothing of the gradient",
    rank=220,
    find=find_overclipped,
    prove=compare_clipping,
    explains=("learning_rate_too_low",),
)
