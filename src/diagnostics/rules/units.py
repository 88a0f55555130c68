"""Causes that sit in a layer's units: dead, saturated, or cut off from the loss."""

from collections.abc import Mapping

import torch
from torch import Tensor

from src.diagnostics.findings import Finding
from src.diagnostics.observe import DEAD_BELOW, SQUASHING
from src.diagnostics.record import ActivationRecord, ModuleRecord, Record
from src.diagnostics.stats import FeatureStats

DEAD_SHARE = 0.5
"""Share of a layer's units that must be dead: a few always are, in a healthy rectified net."""
ALL_BUT_ALL = 0.9
"""Share of dead units that is a fault whatever the others do."""
FLAT_SHARE, FLAT_GATES = 0.65, 0.5
"""Share of pre-activations that must be on the flat part of a sigmoid or tanh (0.6 is seen in
classifiers that train well), and of those of a recurrent layer's gates, which have to stay open."""
MIN_ROWS = 8
NO_GRADIENT = "no gradient back"
SILENCED = "no gradient of its weights"
REVIVE = (
    "Re-initialise these units with a bias near 0 and lower the learning rate (optimizer.lr=...), "
    "or use a leaky activation."
)
BEHIND = "Look at what is done with the layer's output: something there silences these units."


def find_dead_unit(record: Record) -> list[Finding]:
    """Find layers where at least half of the units never fire, or never hear from the loss."""
    findings = [
        finding
        for activation in record.activations
        if (finding := _never_fires(record, activation)) is not None
    ]
    named = {finding.module for finding in findings}
    for module in record.called:
        flow = module.grad_output
        if flow is None or module.name in named or flow.rows < MIN_ROWS or flow.features < 4:
            continue
        for mask, why in ((flow.dead, NO_GRADIENT), (_silent_rows(record, module), SILENCED)):
            dead = torch.nonzero(mask).flatten().tolist()
            if DEAD_SHARE * flow.features <= len(dead) < flow.features:
                evidence = {"dead_units": len(dead), "units": flow.features, "why": why}
                findings.append(_dead_unit(record, module.name, dead, flow.features, evidence))
                break
    return findings


def _silent_rows(record: Record, module: ModuleRecord) -> Tensor:
    """Return the rows of a linear layer's weight that get no gradient (R,), bool; else False.

    Whatever silences a unit may do so between the layer and the place its output is seen at.
    """
    weight = record.weight(module.name)
    if not module.kind.startswith("Linear") or weight is None or weight.is_zero is None:
        return torch.tensor(False)
    return weight.is_zero.flatten(1).all(1)


def _never_fires(record: Record, activation: ActivationRecord) -> Finding | None:
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
    return _dead_unit(record, place, dead, stats.features, evidence)


def _inputs_collapsed(stats: FeatureStats, dead: int) -> bool:
    """Return whether the units that are not dead are always on: then the inputs hardly vary."""
    always_on = int((stats.minimum > 0).sum())
    return dead < ALL_BUT_ALL * stats.features and always_on > 0.5 * (stats.features - dead)


def _dead_unit(
    record: Record, module: str, dead: list[int], units: int, evidence: Mapping[str, object]
) -> Finding:
    weight = record.weight(module)
    return Finding(
        cause="dead_unit",
        module=module,
        parameter=weight.name if weight else None,
        fraction=len(dead) / units,
        indices=tuple(dead),
        evidence=evidence,
        remedy=BEHIND if evidence["why"] == SILENCED else REVIVE,
    )


def find_saturated(record: Record) -> list[Finding]:
    """Find sigmoids, tanhs and recurrent gates that work on their flat part."""
    findings = []
    for activation in record.activations:
        is_output = any(loss.producer == activation.caller for loss in record.losses)
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
        findings.append(_saturated(record, place, activation.flat_share, evidence))
    for module in record.called:
        gates = {gate: share for gate, share in module.saturation.items() if "cell" not in gate}
        if not gates:
            continue
        layers = {gate.partition(".")[0] for gate in gates}
        worst = max(
            float(torch.tensor([s for g, s in gates.items() if g.startswith(layer + ".")]).median())
            for layer in layers
        )
        if worst >= FLAT_GATES:
            findings.append(_saturated(record, module.name, worst, {"flat_share": worst, **gates}))
    return findings


def _saturated(
    record: Record, module: str, share: float, evidence: Mapping[str, object]
) -> Finding:
    weight = record.weight(module)
    return Finding(
        cause="saturated",
        module=module,
        parameter=weight.name if weight else None,
        fraction=share,
        evidence=evidence,
        remedy="Scale the pre-activations down: normalise the inputs (norm=feature) or"
        " re-initialise the weights with a smaller gain.",
    )


def find_blocked(record: Record) -> list[Finding]:
    """Find where a gradient that arrives becomes exactly zero and no rule says why."""
    flows = [m for m in record.called if m.connected and record.own(m.name)]
    alive = [m for m in flows if m.flow > 0]
    if not alive or record.routed:
        return []
    silent = [m for m in flows if m.flow == 0 and m.order < alive[-1].order]
    if not silent:
        return []
    place = silent[-1]
    units = place.units
    evidence = {"silent_modules": [m.name for m in silent], "why": NO_GRADIENT}
    return [_dead_unit(record, place.name, list(range(units)), units, evidence)]
