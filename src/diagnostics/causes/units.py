"""Causes that sit in a layer's units: dead ones, and ones that are cut off from the loss."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..symptoms.function_calls import DEAD_BELOW
from ..symptoms.stats import FeatureStats
from ..symptoms.symptoms import ActivationSymptoms, ModuleSymptoms, Symptoms
from .cause import Candidate, Cause, Variant, Verdict, at_module
from .experiment import Experiment

DEAD_SHARE = 0.5
"""Share of a layer's units that must be dead: a few always are, in a healthy rectified net."""
ALL_BUT_ALL = 0.9
"""Share of dead units that is a fault whatever the others do."""
MIN_ROWS = 8
NO_GRADIENT = "no gradient back"
SILENCED = "no gradient of its weights"
REVIVE = (
    "Re-initialise these units with a bias near 0 and lower the learning rate, "
    "or use a leaky activation."
)
BEHIND = "Look at what is done with the layer's output: something there silences these units."


def find_dead_unit(symptoms: Symptoms) -> list[Candidate]:
    """Find units that never fire, or never hear from the loss."""
    return _mostly_dead(symptoms) + _blocked(symptoms)


def _mostly_dead(symptoms: Symptoms) -> list[Candidate]:
    """Find layers where at least half of the units never fire, or never hear from the loss."""
    found = [
        candidate
        for activation in symptoms.activations
        if (candidate := _never_fires(symptoms, activation)) is not None
    ]
    named = {candidate.module for candidate in found}
    for module in symptoms.called:
        flow = module.grad_output
        if flow is None or module.name in named or flow.rows < MIN_ROWS or flow.features < 4:
            continue
        for mask, why in ((flow.dead, NO_GRADIENT), (_silent_rows(symptoms, module), SILENCED)):
            dead = torch.nonzero(mask).flatten().tolist()
            if DEAD_SHARE * flow.features <= len(dead) < flow.features:
                evidence = {"dead_units": len(dead), "units": flow.features, "why": why}
                found.append(_dead_unit(symptoms, module.name, dead, flow.features, evidence))
                break
    return found


def _silent_rows(symptoms: Symptoms, module: ModuleSymptoms) -> Tensor:
    """Return the rows of a linear layer's weight that get no gradient (R,), bool; else False.

    Whatever silences a unit may do so between the layer and the place its output is seen at.
    """
    weight = symptoms.weight(module.name)
    if not module.kind.startswith("Linear") or weight is None or weight.is_zero is None:
        return torch.tensor(False)
    return weight.is_zero.flatten(1).all(1)


def _never_fires(symptoms: Symptoms, activation: ActivationSymptoms) -> Candidate | None:
    stats = activation.preactivation
    if activation.function not in DEAD_BELOW or stats.rows < MIN_ROWS:
        return None
    never = (stats.maximum <= DEAD_BELOW[activation.function]) & (stats.nonfinite == 0)
    dead = torch.nonzero(never).flatten().tolist()
    if len(dead) < DEAD_SHARE * stats.features or _inputs_collapsed(stats, len(dead)):
        return None
    evidence = {
        "dead_units": len(dead),
        "units": stats.features,
        "largest_preactivation": float(stats.maximum[dead].max()),
        "activation": activation.function,
        "caller": activation.caller,
        "why": "pre-activation never positive",
    }
    place = activation.producer or activation.caller
    return _dead_unit(symptoms, place, dead, stats.features, evidence)


def _inputs_collapsed(stats: FeatureStats, dead: int) -> bool:
    """Return whether the units that are not dead are always on: then the inputs hardly vary."""
    always_on = int((stats.minimum > 0).sum())
    return dead < ALL_BUT_ALL * stats.features and always_on > 0.5 * (stats.features - dead)


def _blocked(symptoms: Symptoms) -> list[Candidate]:
    """Find where a gradient that arrives becomes exactly zero, whatever the reason."""
    flows = [m for m in symptoms.called if m.connected and symptoms.own(m.name)]
    alive = [m for m in flows if m.flow > 0]
    if not alive or symptoms.routed:
        return []
    silent = [m for m in flows if m.flow == 0 and m.order < alive[-1].order]
    single = tuple(s.module + "." for s in symptoms.structure.singles if s.by_design)
    silent = [m for m in silent if not m.name.startswith(single)]
    gates = (block for block in symptoms.structure.blocks if block.gated)
    waiting = {name for block in gates for name in block.silent}  # until the gate's first step
    silent = [m for m in silent if not {p.name for p in symptoms.own(m.name)} <= waiting]
    if not silent:
        return []
    place = silent[-1]
    units = place.units
    evidence = {"silent_modules": [m.name for m in silent], "why": NO_GRADIENT}
    return [_dead_unit(symptoms, place.name, list(range(units)), units, evidence)]


def _dead_unit(
    symptoms: Symptoms, module: str, dead: list[int], units: int, evidence: Mapping[str, object]
) -> Candidate:
    """Point at dead units; in a model that has learned all the same, some are no harm."""
    return at_module(
        symptoms,
        module,
        fraction=len(dead) / units,
        indices=tuple(dead),
        evidence=evidence,
        benign=symptoms.has_learned and len(dead) < ALL_BUT_ALL * units,
        remedy=BEHIND if evidence["why"] == SILENCED else REVIVE,
    )


def raise_units(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Shift dead units above zero: the rows of their gradient must come alive."""
    name, units = candidate.parameter, [int(unit) for unit in candidate.indices]
    if name is None:
        return None, {}
    if "largest_preactivation" not in candidate.evidence:
        return _connect_units(experiment, name, units)
    symptoms = experiment.symptoms
    stats = next(
        a.preactivation for a in symptoms.activations if candidate.module in (a.producer, a.caller)
    )
    shift = torch.zeros(stats.features)
    mean = stats.total / max(stats.rows, 1)
    shift[units] = -mean[units].float() + stats.sizes[units].clamp(max=1.0).float()
    axis = 1 if "Conv" in symptoms.modules[candidate.module].kind else -1

    def change(output: Tensor) -> Tensor:
        return (output.movedim(axis, -1) + shift.to(output)).movedim(-1, axis)

    before = _dead_rows(experiment.baseline.grads[name], units)
    with experiment.output_changed(candidate.module, change):
        after = _dead_rows(experiment.replay().grads[name], units)
    return after < before, {"before": before, "after": after}


def _connect_units(experiment: Experiment, name: str, units: list[int]) -> Verdict:
    """Fill the zero outgoing weights of units on a copy: their gradient rows must come alive."""
    model = experiment.copy()
    weights = dict(model.named_parameters())
    size = len(weights[name])
    filled = 0
    with torch.no_grad():
        for weight in weights.values():
            if weight.dim() < 2 or weight.shape[1] != size or weight[:, units].any():
                continue
            weight[:, units] = 1.0 / size**0.5
            filled += 1
    if not filled:
        return None, {}
    before = _dead_rows(experiment.baseline.grads[name], units)
    after = _dead_rows(experiment.replay(model).grads[name], units)
    return after < before, {"before": before, "after": after, "zero_outgoing_weights": filled}


def _dead_rows(grad: Tensor, units: list[int]) -> int:
    return int((grad.flatten(1) == 0).all(1)[units].sum())


DEAD_UNIT = Cause(
    name="dead_unit",
    meaning="units that nothing flows back into",
    confused_with=(
        "Ordinary sparsity: half of a layer's rectified units may be silent for a sample, few "
        "for all."
    ),
    rank=180,
    group="units",
    find=find_dead_unit,
    prove=raise_units,
    explains=("flow", "learning_rate_too_low", "dead_unit.cut_off"),
    variants=(
        Variant(
            name="dead_unit.cut_off",  # without a cause of its own
            rank=215,
            group="units",
            applies=lambda candidate: candidate.evidence.get("why") == NO_GRADIENT,
        ),
        Variant(
            name="dead_unit.silenced",  # the layer hears from the loss: nothing else explains it
            rank=174,
            independent=True,
            applies=lambda candidate: candidate.evidence.get("why") == SILENCED,
        ),
    ),
    sign="dead rows",
    remedy_by_sign="Lower the learning rate or use an activation that lets a gradient through.",
)
