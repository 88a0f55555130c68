"""The cause that sits in the weight decay: a pull to zero that no gradient withstands."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import torch

from ..isolation import redraw
from .cause import Candidate, Cause
from .experiment import Experiment
from .harm import Remedy
from .needs import weight_decay

PULLS = 0.1
"""Pull of the decay over the push of the gradient, at fresh weights, from which on the decay is
suspected. A decay of 0.1 has 0.01 under AdamW, whose push is one."""
LOWER = (
    "Lower weight_decay, to 0.01 say: it pulls the weights to zero faster than gradients push"
    " them away."
)


def try_without_decay(experiment: Experiment) -> list[Candidate]:
    """Train fresh copies with the weight decay of the program, and without any."""
    if not experiment.symptoms.decays or not experiment.judge.can_tell:
        return []
    pull = _pull(experiment)
    if pull < PULLS:
        return []
    worth = experiment.judge.worth(Remedy(decays=False))
    if not worth.is_harmful:
        return []
    decay = max(float(group.get("weight_decay", 0.0)) for _, group in _groups(experiment))
    evidence = {"weight_decay": decay, "pull": pull, **worth.evidence}
    return [Candidate(fraction=1.0, evidence=evidence, confirmed=True, remedy=LOWER)]


def _groups(experiment: Experiment) -> Iterator[tuple[torch.optim.Optimizer, Mapping[str, Any]]]:
    for optimizer in experiment.optimizers:
        for group in optimizer.param_groups:
            yield optimizer, group


def _pull(experiment: Experiment) -> float:
    """Return the median over fresh weight matrices of the decay's pull over the gradient's push.

    What is added to a gradient is compared with that. What acts on the weights themselves is
    compared with the step of Adam, which is about one rate for each entry.
    """
    fresh = experiment.copy()
    redraw(fresh)
    weights, grads = dict(fresh.named_parameters()), experiment.replay(fresh).grads
    names = {parameter: name for name, parameter in experiment.model.named_parameters()}
    pulls = []
    for optimizer, group in _groups(experiment):
        apart = group.get("decoupled_weight_decay", isinstance(optimizer, torch.optim.AdamW))
        for name in (names[p] for p in group["params"] if p in names and p.dim() > 1):
            size = float(weights[name].detach().double().square().mean().sqrt())
            grad = grads.get(name)
            if grad is not None and (push := float(grad.double().square().mean().sqrt())) > 0:
                pulls.append(
                    float(group.get("weight_decay", 0.0)) * size / (1.0 if apart else push)
                )
    return median(pulls) if pulls else 0.0


WEIGHT_DECAY_TOO_STRONG = Cause(
    name="weight_decay_too_strong",
    meaning="weight decay that pulls the weights to zero",
    confused_with=(
        "learning_rate_too_low and vanishing: without the decay the same rate and layers learn."
    ),
    rank=126,
    needs=(weight_decay,),
    group="rates",
    find_by_trial=try_without_decay,
    explains=("units", "flow", "weights", "rates", "collapse"),
)
