"""Zero gradients with nothing to repair: rows not visited, and zeros by construction."""

from collections.abc import Iterator

import torch

from ..symptoms.symptoms import ParameterSymptoms, Symptoms
from .cause import Candidate, Cause, Verdict, at_parameter
from .experiment import Experiment

NEGLIGIBLE = 1e-4
"""A gradient this much smaller than its neighbours' is zero up to rounding; in half precision an
attention's keys have one that is smaller than the other thirds' by the step of its numbers."""
ROUNDING = 1e-5
"""Relative change of a loss that is put down to rounding; in half precision the step over AVERAGED.
"""
AVERAGED = 50


def find_sparse_rows(symptoms: Symptoms) -> list[Candidate]:
    """Find embedding rows that no token visited, and experts that no sample was routed to."""
    found = []
    for parameter in symptoms.parameters.values():
        module = symptoms.modules.get(parameter.module)
        if module is not None and module.kind.startswith("Embedding"):
            if parameter.is_zero is None:
                continue
            rows = torch.nonzero(parameter.is_zero.flatten(1).all(1)).flatten().tolist()
            if rows and len(rows) < len(parameter.weight):
                found.append(_sparse(parameter, rows, "rows of the vocabulary not visited"))
        elif symptoms.routed and module is not None and _silent(symptoms, parameter):
            found.append(_sparse(parameter, [], "expert not routed to"))
    return found


def _silent(symptoms: Symptoms, parameter: ParameterSymptoms) -> bool:
    return parameter.missing == len(symptoms.loss_values) or parameter.zero_fraction == 1


def _sparse(parameter: ParameterSymptoms, rows: list[int], why: str) -> Candidate:
    return at_parameter(
        parameter,
        fraction=len(rows) / len(parameter.weight) if rows else 1.0,
        indices=tuple(rows),
        evidence={"why": why},
        remedy="Nothing to repair: these rows wait for data that visits them.",
    )


SPARSE_ROWS = Cause(
    name="sparse_rows",
    meaning="rows that this data did not visit",
    confused_with="dead_unit: these rows wait for data that visits them.",
    rank=270,
    find=find_sparse_rows,
    benign=True,
)


def find_structural(symptoms: Symptoms) -> list[Candidate]:
    """Find vectors, or thirds of an attention bias, whose gradient is zero up to rounding.

    A softmax does not change when all its scores shift, so the key third of an attention's
    `in_proj_bias` gets no gradient, nor does a bias in front of a normalisation or a softmax.
    """
    return [
        at_parameter(
            parameter,
            fraction=len(entries) / parameter.weight.numel(),
            indices=tuple(entries),
            evidence={"gradient_norm": own, "neighbours_norm": others},
            remedy="Nothing to repair: the true gradient is zero.",
        )
        for parameter, entries, own, others in _negligible(symptoms)
    ]


def _negligible(symptoms: Symptoms) -> Iterator[tuple[ParameterSymptoms, list[int], float, float]]:
    """Yield vectors whose gradient is negligible beside the matrix or thirds they belong to."""
    for parameter in symptoms.parameters.values():
        if parameter.weight.dim() != 1 or not parameter.grads:
            continue
        limit = NEGLIGIBLE
        size = torch.stack(parameter.grads).double().square().mean(0).sqrt()
        if parameter.local_name == "in_proj_bias":
            query, key, value = size.chunk(3)
            own, others = float(key.norm()), max(float(query.norm()), float(value.norm()))
            width = len(key)
            entries = list(range(width, 2 * width))
            limit = max(limit, symptoms.rounding)
        else:
            matrix = symptoms.weight(parameter.module)
            if matrix is None or not matrix.grads or "bias" not in parameter.local_name:
                continue
            own, others = float(size.norm()), matrix.norm
            entries = list(range(len(size)))
        if own < limit * others:
            yield parameter, entries, own, others


def shift_entries(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Shift entries with no gradient by one on a copy: the loss must not change beyond rounding."""
    before = experiment.baseline.loss
    model = experiment.copy()
    with torch.no_grad():
        parameter = dict(model.named_parameters())[str(candidate.parameter)]
        parameter.view(-1)[list(candidate.indices)] += 1.0
    after = experiment.loss(model)
    rounding = max(ROUNDING, experiment.symptoms.rounding / AVERAGED)
    same = abs(after - before) <= rounding * max(abs(before), 1e-12)
    return same, {"before": before, "after": after}


STRUCTURAL = Cause(
    name="structural",
    meaning="a gradient that is zero by construction",
    confused_with="dead_unit: the true gradient is zero, whatever the data is.",
    rank=280,
    find=find_structural,
    prove=shift_entries,
    benign=True,
)
