"""Causes of scale: input features, or targets, far larger or smaller than the network expects."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..gradient import distinct_columns
from ..symptoms.function_calls import LOSSES, REGRESSION_LOSSES
from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Change, Experiment
from .harm import Remedy
from .inputs import at_features, columns_of, readers
from .needs import a_known_loss, a_reader_of_the_data
from .targets import rewritten_losses

FAR = 100.0
"""A feature this many times larger or smaller than the median feature is misscaled."""
HUGE, TINY = 1e3, 1e-4
"""A median feature size outside of these bounds is misscaled as a whole."""
LARGE_TARGET = 100.0
"""Root mean square of the targets, and of the error on them, that counts as unscaled."""
UNEVEN, LARGER = 6.0, 2.0
"""Factor between a feature's size and the median one, and spread of the targets, from which on it
is tried whether standardising helps."""
STANDARDISE_FEATURES = "Bring the features to one scale: standardise each by itself."
STANDARDISE_TARGETS = "Scale the targets to about unit variance and undo it after predicting."


def relative_sizes(sizes: Tensor, ratio: float = FAR) -> dict[int, float]:
    """Find the features whose size is far from that of the others.

    Args:
        sizes: (features,) sizes; those of size zero are left out.
        ratio: Smallest factor between a feature's size and the median size that is reported.

    Returns:
        Feature index -> its size divided by the median size.

    >>> relative_sizes(torch.tensor([1.0, 1.0, 2e4]))
    {2: 20000.0}
    """
    alive = sizes > 0
    if int(alive.sum()) < 2:
        return {}
    relative = sizes / sizes[alive].median()
    far = alive & ((relative >= ratio) | (relative <= 1 / ratio))
    return {int(j): float(relative[j]) for j in torch.nonzero(far).flatten()}


def find_misscaled_input(symptoms: Symptoms) -> list[Candidate]:
    """Find features far larger or smaller than the others, or all far from one."""
    found = []
    for module, stats in readers(symptoms):
        if module.kind.startswith("BatchNorm") or not (stats.sizes > 0).any():
            continue
        relative = relative_sizes(stats.sizes)
        median = float(stats.sizes[stats.sizes > 0].median())
        everywhere = not module.kind.endswith("Norm") and not TINY <= median <= HUGE
        columns = list(range(stats.features)) if everywhere else sorted(relative)
        if not columns:
            continue
        evidence = {
            "median_size": median,
            "largest_ratio": max(relative.values(), default=1.0),
            "smallest_ratio": min(relative.values(), default=1.0),
        }
        found.append(at_features(symptoms, module, columns, evidence, STANDARDISE_FEATURES))
    return found


def rescale_features(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Bring the features to unit size: gradient columns must come to one scale.

    Behind a normalisation over the features its outputs must come apart: it shrinks or equalises
    what is on another scale.
    """
    module = experiment.symptoms.modules[candidate.module]
    assert module.input is not None
    sizes = torch.where(module.input.sizes > 0, module.input.sizes, 1.0)

    rescale = _divider(sizes, module.input_axis)
    if len(candidate.indices) == module.input.features:
        return True, {"before": float(module.input.sizes.median()), "after": 1.0}
    normalises = "Norm" in module.kind
    judge = _output_directions if normalises else _gradient_spread
    before = judge(experiment, candidate)
    with experiment.input_changed(candidate.module, rescale):
        after = judge(experiment, candidate)
    evidence = {"before": before, "after": after}
    if normalises:
        return True if after > before else None, evidence
    return (after < 0.1 * before if math.isfinite(before + after) else None), evidence


def _divider(sizes: Tensor, axis: int) -> Change:
    return lambda x: (x.movedim(axis, -1) / sizes.to(x)).movedim(-1, axis)


def try_even_features(experiment: Experiment) -> list[Candidate]:
    """Train copies with features of uneven sizes as they are, and with all brought to one size."""
    if not experiment.judge.can_tell:
        return []
    found = []
    for module, stats in readers(experiment.symptoms):
        relative = relative_sizes(stats.sizes, UNEVEN)
        if module.kind.startswith("BatchNorm") or not relative:
            continue
        rescale = _divider(torch.where(stats.sizes > 0, stats.sizes, 1.0), module.input_axis)
        change = partial(change_input, module=module.name, change=rescale)
        worth = experiment.judge.worth(Remedy(change))
        if worth.is_harmful:
            ratios = {"largest_ratio": max(relative.values())}
            ratios |= {"smallest_ratio": min(relative.values()), **worth.evidence}
            place = experiment.symptoms, module, sorted(relative), ratios, STANDARDISE_FEATURES
            found.append(replace(at_features(*place), confirmed=True))
    return found


def change_input(model: nn.Module, module: str, change: Change) -> None:
    """Apply a function to the first tensor that enters a module of a copy, from now on."""

    def hook(_: nn.Module, args: Any) -> Any:
        return (change(args[0]), *args[1:]) if args and isinstance(args[0], Tensor) else None

    model.get_submodule(module).register_forward_pre_hook(hook)


def _gradient_spread(experiment: Experiment, candidate: Candidate) -> float:
    """Return the largest factor between a suspected gradient column and the median one."""
    columns = columns_of(experiment.replay().grads, candidate)
    norms = (columns if columns.dim() > 1 else columns[None]).norm(dim=0)
    if not norms.any():
        return float("inf")
    ratios = norms[candidate.evidence["columns"]] / norms[norms > 0].median()
    ratios = ratios[ratios > 0]
    return float(torch.maximum(ratios, 1 / ratios).max()) if len(ratios) else float("inf")


def _output_directions(experiment: Experiment, candidate: Candidate) -> int:
    """Count the outputs of a module that differ by more than a per cent of their size."""
    seen: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        seen.append(output.detach().flatten(0, -2))
        return output

    with experiment.output_changed(candidate.module, keep):
        experiment.replay()
    varying = seen[0] - seen[0].mean(0)
    large = varying.norm(dim=0) > 1e-2 * varying.norm(dim=0).median()
    return distinct_columns(varying * large, tolerance=1e-2)


MISSCALED_INPUT = Cause(
    name="misscaled_input",
    meaning="input features on scales far apart",
    confused_with="large_init and saturated, which follow from it.",
    rank=120,
    needs=(a_reader_of_the_data,),
    find=find_misscaled_input,
    find_by_trial=try_even_features,
    prove=rescale_features,
    explains=("units", "flow", "rates", "nonfinite.inside", "large_init"),
)


def find_misscaled_target(symptoms: Symptoms) -> list[Candidate]:
    """Find regression targets hundreds of times larger than one, and missed by as much."""
    found = []
    for loss in symptoms.losses:
        if loss.function not in REGRESSION_LOSSES or not torch.isfinite(loss.target).all():
            continue
        size = float(loss.target.double().square().mean().sqrt())
        shown = torch.nan_to_num(loss.preds.double(), posinf=0.0, neginf=0.0)
        error = _error(shown.flatten(), loss.target.double())
        if size < LARGE_TARGET or error < LARGE_TARGET:
            continue
        output = float(shown.square().mean().sqrt())
        found.append(
            Candidate(
                module=loss.producer,
                fraction=1.0,
                evidence={"target_rms": size, "output_rms": output, "error_rms": error},
                remedy=STANDARDISE_TARGETS,
            )
        )
    return found


def _error(preds: Tensor, target: Tensor) -> float:
    """Return the root mean square error; the size of the targets if they do not match in number."""
    difference = target - preds if len(preds) == len(target) else target
    return float(difference.square().mean().sqrt())


def rescale_targets(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Divide targets and outputs by the targets' size: the gradient must fall with them."""
    size, before = candidate.evidence["target_rms"], experiment.baseline.norm
    scaled = rewritten_losses(lambda preds, target: (preds / size, target / size))
    after = experiment.replay(mode=scaled).norm
    told = after != before and math.isfinite(before)
    return (after < 0.1 * before if told else None), {"before": before, "after": after}


def try_unit_targets(experiment: Experiment) -> list[Candidate]:
    """Train copies on targets that are somewhat large, and on the same standardised."""
    losses = experiment.symptoms.losses
    if len(losses) != 1 or losses[0].function not in REGRESSION_LOSSES & LOSSES:
        return []
    target = losses[0].target.double()
    mean, spread = float(target.mean()), float(target.std())
    size = float(target.square().mean().sqrt())
    if not LARGER <= spread < math.inf or not experiment.judge.can_tell:
        return []

    def unit(x: Tensor) -> Tensor:
        return (x - mean) / spread

    learnt = partial(rewritten_losses, lambda preds, target: (preds, unit(target)))
    judged = partial(rewritten_losses, lambda preds, target: (unit(preds), unit(target)))
    worth = experiment.judge.worth(Remedy(mode=learnt), Remedy(judged=judged))
    if not worth.is_harmful:
        return []
    evidence = {"target_rms": size, "target_mean": mean, "target_std": spread, **worth.evidence}
    return [
        Candidate(
            module=losses[0].producer,
            fraction=1.0,
            evidence=evidence,
            confirmed=True,
            remedy=STANDARDISE_TARGETS,
        )
    ]


MISSCALED_TARGET = Cause(
    name="misscaled_target",
    meaning="the targets are far larger than the network's outputs",
    confused_with="learning_rate_too_low: more steps would get there, far too late.",
    rank=80,
    needs=(a_known_loss,),
    find=find_misscaled_target,
    find_by_trial=try_unit_targets,
    prove=rescale_targets,
    explains=("units", "flow", "rates", "nonfinite.inside", "overclipped", "large_init"),
)
