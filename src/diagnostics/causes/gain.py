"""Causes of too much gain: weights far too large, and functions driven onto their flat part."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..isolation import redraw
from ..symptoms.function_calls import SQUASHING
from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Variant, Verdict, at_module, at_parameter
from .experiment import Experiment, Outcome
from .harm import AS_IS, Remedy
from .weights import REINITIALISE, is_matrix

LARGE = 4.0
"""rms(weight) * sqrt(fan_in) from which on a weight is too large; 0.6 to 1.5 is usual."""
SUSPECT = 1.5
"""The same, by itself and over that of a fresh weight, from which on fresh ones are tried."""
LITTLE = 0.1
"""Skill below which a model has learned nothing yet that could be undone."""
BETTER = 0.95
"""Loss after a short training with the weights lowered over that without, up to which it helps."""
FLAT_FROM = 2.0
"""Size of pre-activations from which on most of a sigmoid or tanh is flat."""
FLAT_SHARE, FLAT_GATES = 0.65, 0.5
"""Share of pre-activations that must be on the flat part of a sigmoid or tanh (0.6 is seen in
classifiers that train well), and of those of a recurrent layer's gates, which have to stay open."""


def weight_gain(weight: Tensor) -> float:
    """Return rms(weight) * sqrt(fan_in): how much a layer amplifies independent unit inputs.

    >>> weight_gain(torch.full((3, 4), 0.5))
    1.0
    """
    fan_in = weight[0].numel()
    return float(weight.detach().double().square().mean().sqrt()) * fan_in**0.5


def lower_gain(experiment: Experiment, candidate: Candidate, all_from: float = math.inf) -> Verdict:
    """Scale a module's weights down on a copy: gradient or loss must change.

    Args:
        experiment: The model and how to replay it.
        candidate: It names the module.
        all_from: Gain from which on the weights of every other module are scaled, too.
    """
    model = experiment.copy()
    _lower(model, candidate.module, all_from)
    return _compare(experiment.baseline, experiment.replay(model))


def _lower(model: nn.Module, name: str, all_from: float) -> None:
    """Bring the weights of a module, and of all with too large a gain, to half of unit gain."""
    with torch.no_grad():
        for module in model.modules():
            own = dict(module.named_parameters(recurse=False))
            gains = [weight_gain(p) for p in own.values() if p.dim() > 1]
            is_named = module is model.get_submodule(name)
            if gains and (is_named or max(gains) >= all_from):
                for parameter in own.values():
                    parameter.mul_(min(1.0, 0.5 / max(max(gains), 1e-12)))


def _compare(before: Outcome, after: Outcome) -> Verdict:
    """Return whether gradient or loss changed by more than a few per cent, with the numbers."""
    evidence = {"before": before.norm, "after": after.norm, "loss_before": before.loss}
    evidence["loss_after"] = after.loss
    if not math.isfinite(before.norm):
        return math.isfinite(after.norm) or None, evidence
    changed = abs(math.log10(max(after.norm, 1e-30) / max(before.norm, 1e-30))) > 0.05
    return changed or abs(after.loss - before.loss) > 0.05 * abs(before.loss), evidence


def find_large_init(symptoms: Symptoms) -> list[Candidate]:
    """Find weights several times larger than their fan-in allows.

    One layer that does no more than saturate the squashing function behind it is `saturated`.
    """
    found = []
    for parameter in symptoms.parameters.values():
        if not is_matrix(symptoms, parameter) or not torch.isfinite(parameter.weight).all():
            continue
        axis = symptoms.structure.matrices.get(parameter.name, 0)
        gain = weight_gain(parameter.weight.movedim(axis, 0))
        if parameter.local_name.startswith("weight_ih"):
            hidden = symptoms.parameters[parameter.name.replace("weight_ih", "weight_hh")].weight
            gain *= min(1.0, (hidden.shape[1] / parameter.weight.shape[1]) ** 0.5)
        if gain >= LARGE:
            evidence = {"gain": gain}
            found.append(
                at_parameter(
                    parameter,
                    fraction=1.0,
                    evidence=evidence,
                    benign=symptoms.has_learned,
                    remedy=REINITIALISE,
                )
            )
    saturated = {candidate.module for candidate in find_saturated(symptoms)}
    only_saturates = {candidate.module for candidate in found} <= saturated
    return [] if only_saturates else found


def lower_large_gains(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Scale all weights that are too large down on a copy: its gradients must change.

    Once a model has learned something it must learn better, too: a weight that has grown while it
    learned is large as well, and cutting it down undoes that.
    """
    changed, evidence = lower_gain(experiment, candidate, all_from=LARGE)
    is_fresh = experiment.symptoms.skill < LITTLE
    if not changed or is_fresh or not math.isfinite(experiment.baseline.norm):
        return changed, evidence
    here = experiment.courses.loss_after_steps(lambda model: None)
    lowered = experiment.courses.loss_after_steps(
        lambda model: _lower(model, candidate.module, LARGE)
    )
    evidence = {**evidence, "trained_before": here, "trained_after": lowered}
    return not lowered > BETTER * here, evidence


def try_usual_gains(experiment: Experiment) -> list[Candidate]:
    """Train fresh copies with weights as large as those found, and as large as they are drawn."""
    symptoms, fresh = experiment.symptoms, experiment.copy()
    if not experiment.judge.can_tell:
        return []
    redraw(fresh)
    drawn = dict(fresh.named_parameters())
    gains = {
        p.name: weight_gain(p.weight) / max(weight_gain(drawn[p.name]), 1e-12)
        for p in symptoms.parameters.values()
        if is_matrix(symptoms, p) and p.name in drawn and weight_gain(p.weight) >= SUSPECT
    }
    worst = max(gains, key=lambda name: gains[name], default="")
    if not worst or not SUSPECT <= gains[worst] < math.inf:
        return []
    worth = experiment.judge.worth(AS_IS, Remedy(partial(_enlarge, gains=gains)))
    if not worth.is_harmful:
        return []
    parameter = symptoms.parameters[worst]
    evidence = {"gain": weight_gain(parameter.weight), "over_usual": gains[worst]}
    evidence["goes_round"] = goes_round(symptoms, [n for n in gains if gains[n] >= SUSPECT])
    claims = {"fraction": 1.0, "confirmed": True, "remedy": REINITIALISE}
    return [at_parameter(parameter, evidence={**evidence, **worth.evidence}, **claims)]


def goes_round(symptoms: Symptoms, names: Sequence[str]) -> bool:
    """Return whether weights belong to one recurrent layer, and what recurs among them."""
    large = [symptoms.parameters[name] for name in names]
    recurs = any(parameter.local_name.startswith("weight_hh") for parameter in large)
    return recurs and len({parameter.module for parameter in large}) == 1


def _enlarge(model: nn.Module, gains: Mapping[str, float]) -> None:
    """Multiply weights by their gain over that of fresh ones."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(gains.get(name, 1.0))


LARGE_INIT = Cause(
    name="large_init",
    meaning="weights far larger than their fan-in allows",
    confused_with=(
        "learning_rate_too_high, and weights that have grown while they learned, which is no fault."
    ),
    rank=170,
    group="weights",
    find=find_large_init,
    find_by_trial=try_usual_gains,
    prove=lower_large_gains,
    explains=("units", "flow", "nonfinite.inside", "learning_rate_too_low"),
    variants=(
        Variant(
            name="large_init.recurrent",  # seen to explode or to be flat, it is called so
            rank=205,
            group="weights",
            explains=(
                "vanishing",
                "dead_unit.cut_off",
                "nonfinite.inside",
                "learning_rate_too_low",
            ),
            applies=lambda candidate: bool(candidate.evidence.get("goes_round")),
        ),
    ),
)


def find_saturated(symptoms: Symptoms) -> list[Candidate]:
    """Find sigmoids, tanhs and recurrent gates that work on their flat part."""
    found = []
    for activation in symptoms.activations:
        is_output = any(loss.producer == activation.caller for loss in symptoms.losses)
        if activation.function not in SQUASHING or is_output or activation.flat_share < FLAT_SHARE:
            continue
        stats = activation.preactivation
        size = float((stats.squares.sum() / max(1, stats.rows * stats.features)).sqrt())
        evidence = {
            "flat_share": activation.flat_share,
            "preactivation_size": size,
            "activation": activation.function,
            "caller": activation.caller,
        }
        place = activation.producer or activation.caller
        found.append(_saturated(symptoms, place, activation.flat_share, evidence))
    for module in symptoms.called:
        gates = {gate: share for gate, share in module.saturation.items() if "cell" not in gate}
        if not gates:
            continue
        layers = {gate.partition(".")[0] for gate in gates}
        worst = max(
            float(torch.tensor([s for g, s in gates.items() if g.startswith(layer + ".")]).median())
            for layer in layers
        )
        if worst >= FLAT_GATES:
            evidence = {"flat_share": worst, **gates}
            gated = _saturated(symptoms, module.name, worst, evidence)
            found.append(replace(gated, benign=symptoms.has_learned))  # gates close as it learns
    return found


def _saturated(
    symptoms: Symptoms, module: str, share: float, evidence: Mapping[str, object]
) -> Candidate:
    return at_module(
        symptoms,
        module,
        fraction=share,
        evidence=evidence,
        remedy="Scale the pre-activations down: normalise the inputs or"
        " re-initialise the weights with a smaller gain.",
    )


def scale_preactivations(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Scale pre-activations, or a recurrent layer's weights, to unit size: flow must change."""
    size = candidate.evidence.get("preactivation_size")
    if size is None:
        return lower_gain(experiment, candidate)
    before = experiment.baseline
    with experiment.output_changed(candidate.module, lambda output: output / size):
        confirmed, evidence = _compare(before, experiment.replay())
    return confirmed, {**evidence, "fresh_size": _fresh_size(experiment, candidate.module)}


def _fresh_size(experiment: Experiment, module: str) -> float:
    """Return the root mean square of what a module with fresh weights gives."""
    fresh, sizes = experiment.copy(), list[float]()
    redraw(fresh)

    def note(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes.append(float(output.detach().double().square().mean().sqrt()))

    fresh.get_submodule(module).register_forward_hook(note)
    experiment.loss(fresh)
    return max(sizes, default=0.0)


SATURATED = Cause(
    name="saturated",
    meaning="activations on their flat part",
    confused_with=(
        "vanishing, which it brings about; gates that are closed on purpose are not flat "
        "everywhere."
    ),
    rank=190,
    group="units",
    variants=(
        Variant(
            name="saturated.from_the_start",  # by no rate, then, which would only follow from it
            rank=128,
            group="units",
            explains=("flow", "rates", "large_init", "dead_unit.cut_off"),
            applies=lambda candidate: candidate.evidence.get("fresh_size", 0.0) >= FLAT_FROM,
        ),
    ),
    find=find_saturated,
    prove=scale_preactivations,
    explains=(
        *("flow", "large_init", "large_init.recurrent"),
        *("learning_rate_too_low", "dead_unit.cut_off"),
    ),
)
