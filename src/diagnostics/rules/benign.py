"""Zero gradients with nothing to repair: rows not visited, and zeros by construction."""

from collections.abc import Iterator

import torch

from src.diagnostics.findings import Finding
from src.diagnostics.record import ParameterRecord, Record

NEGLIGIBLE = 1e-4
"""A gradient this much smaller than its neighbours' is zero up to rounding."""


def find_sparse_rows(record: Record) -> list[Finding]:
    """Find embedding rows that no token visited, and experts that no sample was routed to."""
    findings = []
    for parameter in record.parameters.values():
        module = record.modules.get(parameter.module)
        if module is not None and module.kind.startswith("Embedding"):
            if parameter.is_zero is None:
                continue
            rows = torch.nonzero(parameter.is_zero.flatten(1).all(1)).flatten().tolist()
            if rows and len(rows) < len(parameter.weight):
                findings.append(_sparse(parameter, rows, "rows of the vocabulary not visited"))
        elif record.routed and module is not None and _silent(record, parameter):
            findings.append(_sparse(parameter, [], "expert not routed to"))
    return findings


def _silent(record: Record, parameter: ParameterRecord) -> bool:
    return parameter.missing == len(record.loss_values) or parameter.zero_fraction == 1


def _sparse(parameter: ParameterRecord, rows: list[int], why: str) -> Finding:
    return Finding(
        cause="sparse_rows",
        module=parameter.module,
        parameter=parameter.name,
        fraction=len(rows) / len(parameter.weight) if rows else 1.0,
        indices=tuple(rows),
        evidence={"why": why},
        benign=True,
        remedy="Nothing to repair: these rows wait for data that visits them.",
    )


def find_structural(record: Record) -> list[Finding]:
    """Find vectors, or thirds of an attention bias, whose gradient is zero up to rounding.

    A softmax does not change when all its scores shift, so the key third of an attention's
    `in_proj_bias` gets no gradient, nor does a bias in front of a normalisation or a softmax.
    """
    return [
        Finding(
            cause="structural",
            module=parameter.module,
            parameter=parameter.name,
            fraction=len(entries) / parameter.weight.numel(),
            indices=tuple(entries),
            evidence={"gradient_norm": own, "neighbours_norm": others},
            benign=True,
            remedy="Nothing to repair: the true gradient is zero.",
        )
        for parameter, entries, own, others in _negligible(record)
    ]


def _negligible(record: Record) -> Iterator[tuple[ParameterRecord, list[int], float, float]]:
    """Yield vectors whose gradient is negligible beside the matrix or thirds they belong to."""
    for parameter in record.parameters.values():
        if parameter.weight.dim() != 1 or not parameter.grads:
            continue
        size = torch.stack(parameter.grads).double().square().mean(0).sqrt()
        if parameter.local_name == "in_proj_bias":
            query, key, value = size.chunk(3)
            own, others = float(key.norm()), max(float(query.norm()), float(value.norm()))
            width = len(key)
            entries = list(range(width, 2 * width))
        else:
            matrix = record.weight(parameter.module)
            if matrix is None or not matrix.grads or "bias" not in parameter.local_name:
                continue
            own, others = float(size.norm()), matrix.norm
            entries = list(range(len(size)))
        if own < NEGLIGIBLE * others:
            yield parameter, entries, own, others
