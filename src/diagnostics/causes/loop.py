"""Causes that sit in the training loop: gradients clipped to nothing, a loss that does not fall."""

from itertools import chain

from ..measuring.trend import falls, trend
from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Experiment
from .harm import Remedy
from .needs import clipping, first_losses

LEFT = 1e-3
"""Clipping threshold over gradient norm, below which clipping leaves nothing."""
RAISE = "Raise the threshold to the usual norm of the gradient, 1 say."
ENOUGH = 100
"""Losses from which on a training that gets anywhere shows it."""


def find_overclipped(symptoms: Symptoms) -> list[Candidate]:
    """Find clipping thresholds a thousand times below the gradient they clip."""
    context = symptoms.context
    norms = sorted(symptoms.grad_norms)
    norm = norms[len(norms) // 2] if norms else 0.0
    entry = largest_entry(symptoms)
    for clip, size in ((context.clip_norm, norm), (context.clip_value, entry)):
        if clip is not None and 0 < clip < LEFT * size:
            return [
                Candidate(
                    fraction=1 - clip / size,
                    evidence={"clip": clip, "gradient": size, "left": clip / size},
                    remedy=RAISE,
                )
            ]
    return []


def largest_entry(symptoms: Symptoms) -> float:
    """Return the largest entry of any gradient."""
    grads = chain.from_iterable(parameter.grads for parameter in symptoms.parameters.values())
    return max((float(grad.abs().max()) for grad in grads), default=0.0)


def compare_clipping(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Compare the replayed gradient with what the clipping leaves of it."""
    clip, norm = candidate.evidence["clip"], experiment.baseline.norm
    return clip < norm, {"before": clip, "after": norm}


def try_unclipped(experiment: Experiment) -> list[Candidate]:
    """Train copies with a clipping that takes something away, and without it."""
    context, symptoms = experiment.context, experiment.symptoms
    clip, size = context.clip_norm, max(symptoms.grad_norms, default=0.0)
    if clip is None:
        clip, size = context.clip_value or 0.0, largest_entry(symptoms)
    if not 0 < clip < size or not experiment.judge.can_tell:
        return []
    worth = experiment.judge.worth(Remedy(clips=False))
    if not worth.is_harmful:
        return []
    evidence = {"clip": clip, "gradient": size, "left": clip / size, **worth.evidence}
    lost = 1 - clip / size
    return [Candidate(fraction=lost, evidence=evidence, confirmed=True, remedy=RAISE)]


OVERCLIPPED = Cause(
    name="overclipped",
    meaning="clipping that leaves almost nothing of the gradient",
    confused_with="learning_rate_too_low: the same small steps, for another reason.",
    rank=220,
    needs=(clipping,),
    find=find_overclipped,
    find_by_trial=try_unclipped,
    prove=compare_clipping,
    explains=("learning_rate_too_low",),
)


def find_not_learning(symptoms: Symptoms) -> list[Candidate]:
    """Find a loss that has not fallen since the training began, by a test for a trend."""
    context = symptoms.context
    if context.first_losses is None or symptoms.has_learned:
        return []
    losses = [*context.first_losses, *(context.losses or ())]
    if len(losses) < ENOUGH or falls(losses):
        return []
    part = len(losses) // 4
    evidence = {
        "losses": len(losses),
        "at_first": sum(losses[:part]) / part,
        "at_last": sum(losses[-part:]) / part,
        "trend": trend(losses),
    }
    return [Candidate(fraction=1.0, evidence=evidence, remedy=TRY)]


TRY = (
    "Ask what_would_help(model, batches, loss_fn, optimizer): it trains copies for a short while,"
    " each under one repair, and tells whether the program or its data is at fault."
)
NOT_LEARNING = Cause(
    name="not_learning",
    meaning="a loss that does not fall, for no cause that is known here",
    confused_with="A model that has learned all there is: its loss has fallen before.",
    rank=265,
    needs=(first_losses,),
    find=find_not_learning,
    leftover=True,
)
