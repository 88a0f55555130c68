"""Causes that sit in the weights themselves: zero, all alike, or far too large."""

from collections.abc import Mapping

import torch
from torch import Tensor

from src.diagnostics.findings import Finding
from src.diagnostics.record import ParameterRecord, Record
from src.diagnostics.rules.units import find_saturated

LARGE = 4.0
"""rms(weight) * sqrt(fan_in) from which on a weight is too large; 0.6 to 1.5 is usual."""

ALIKE = 1e-3
"""Relative difference up to which rows are equal: training adds rounding to a perfect symmetry."""


def weight_gain(weight: Tensor) -> float:
    """Return rms(weight) * sqrt(fan_in): how much a layer amplifies independent unit inputs.

    >>> weight_gain(torch.full((3, 4), 0.5))
    1.0
    """
    fan_in = weight[0].numel()
    return float(weight.detach().double().square().mean().sqrt()) * fan_in**0.5


def rows_alike(weight: Tensor) -> bool:
    """Return whether all rows (units) of a weight are equal and not zero.

    >>> rows_alike(torch.full((3, 4), 0.1)), rows_alike(torch.eye(2))
    (True, False)
    """
    rows = weight.detach().reshape(len(weight), -1)
    size = rows.abs().max()
    return len(rows) > 1 and bool(size > 0 and (rows - rows[0]).abs().max() <= ALIKE * size)


def find_zero_init(record: Record) -> list[Finding]:
    """Find weights that are all zero and stop a gradient: their own or that of layers before."""
    zero = [p for p in record.parameters.values() if _matters(record, p) and not p.weight.any()]
    findings = [
        _finding("zero_init", p, {"own_gradient": p.norm}, _REINITIALISE)
        for p in zero
        if _is_norm(record, p) or _stops(record, p)
    ]
    for parameter in record.parameters.values():
        if parameter.local_name == "in_proj_weight" and parameter.weight.any():
            query, key, _ = parameter.weight.detach().chunk(3)
            if not query.any() and not key.any():
                evidence = {"zero_thirds": ["query", "key"], "own_gradient": parameter.norm}
                finding = _finding("zero_init", parameter, evidence, _REINITIALISE, 2 / 3)
                findings.append(finding)
    return findings


def find_symmetric_init(record: Record) -> list[Finding]:
    """Find weights whose rows are all equal, so that all units compute the same thing."""
    return [
        _finding(
            "symmetric_init",
            parameter,
            {
                "value": float(parameter.weight.detach().flatten()[0]),
                "units": len(parameter.weight),
            },
            _REINITIALISE,
        )
        for parameter in record.parameters.values()
        if _is_matrix(record, parameter) and rows_alike(parameter.weight)
    ]


def find_large_init(record: Record) -> list[Finding]:
    """Find weights several times larger than their fan-in allows.

    One layer that does no more than saturate the squashing function behind it is `saturated`.
    """
    findings = []
    for parameter in record.parameters.values():
        if not _is_matrix(record, parameter) or not torch.isfinite(parameter.weight).all():
            continue
        gain = weight_gain(parameter.weight)
        if parameter.local_name.startswith("weight_ih"):
            hidden = record.parameters[parameter.name.replace("weight_ih", "weight_hh")].weight
            gain *= min(1.0, (hidden.shape[1] / parameter.weight.shape[1]) ** 0.5)
        if gain >= LARGE:
            findings.append(_finding("large_init", parameter, {"gain": gain}, _REINITIALISE))
    saturated = {finding.module for finding in find_saturated(record)}
    only_saturates = {finding.module for finding in findings} <= saturated
    return [] if only_saturates else findings


_REINITIALISE = "Re-initialise the weight with the layer's default, reset_parameters()."


def _is_norm(record: Record, parameter: ParameterRecord) -> bool:
    module = record.modules.get(parameter.module)
    return module is not None and "Norm" in module.kind and parameter.local_name == "weight"


def _is_matrix(record: Record, parameter: ParameterRecord) -> bool:
    module = record.modules.get(parameter.module)
    layered = module is None or not module.kind.startswith("Embedding")
    return parameter.weight.dim() > 1 and layered and "weight" in parameter.local_name


def _matters(record: Record, parameter: ParameterRecord) -> bool:
    reached = parameter.missing < len(record.loss_values)
    return reached and (_is_norm(record, parameter) or _is_matrix(record, parameter))


def _stops(record: Record, parameter: ParameterRecord) -> bool:
    """Return whether a zero weight gets no gradient, or lets none through to earlier layers."""
    if parameter.zero_fraction == 1:
        return True
    module = record.modules.get(parameter.module)
    earlier = [m for m in record.called if module is not None and m.order < module.order]
    return any(m.connected and m.flow == 0 and record.own(m.name) for m in earlier)


def _finding(
    cause: str,
    parameter: ParameterRecord,
    evidence: Mapping[str, object],
    remedy: str,
    fraction: float = 1.0,
) -> Finding:
    return Finding(
        cause=cause,
        module=parameter.module,
        parameter=parameter.name,
        fraction=fraction,
        evidence=evidence,
        remedy=remedy,
    )
