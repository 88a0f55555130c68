"""Causes that sit in the weights themselves: all zero, or units that are all alike."""

from typing import Any

import torch
from torch import Tensor, nn

from ..symptoms.symptoms import ParameterSymptoms, Symptoms
from .cause import Candidate, Cause, Verdict, at_parameter
from .experiment import Experiment, Outcome

ALIKE = 1e-3
"""Relative difference up to which rows are equal: training adds rounding to a perfect symmetry."""
REINITIALISE = "Re-initialise the weight with the layer's default, reset_parameters()."


def is_matrix(symptoms: Symptoms, parameter: ParameterSymptoms) -> bool:
    """Return whether a parameter is multiplied with activations, by what is done with it.

    Where no call was seen (a layer that calls nothing known, one that was not called), its name and
    its module have to tell.
    """
    module = symptoms.modules.get(parameter.module)
    kind = "" if module is None else module.kind
    if parameter.weight.dim() < 2 or kind.startswith("Embedding"):
        return False
    if symptoms.structure.matrices:
        return parameter.name in symptoms.structure.matrices
    return "Norm" not in kind and "weight" in parameter.local_name


def _redrawn(experiment: Experiment, candidate: Candidate) -> Outcome:
    """Replay a copy with the weights of the candidate's module drawn afresh."""
    model = experiment.copy()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rpartition(".")[0] == candidate.module and parameter.dim() > 1:
                _draw(parameter)
            elif name == candidate.parameter:
                parameter.fill_(1.0)
    return experiment.replay(model)


def _draw(parameter: nn.Parameter) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(parameter.shape, generator=generator)
    parameter.copy_(drawn.to(parameter) / parameter[0].numel() ** 0.5)


def find_zero_init(symptoms: Symptoms) -> list[Candidate]:
    """Find weights that are all zero and stop a gradient: their own or that of layers before."""
    zero = [p for p in symptoms.parameters.values() if _matters(symptoms, p) and not p.weight.any()]
    found = [
        _zero(parameter, 1.0, own_gradient=parameter.norm)
        for parameter in zero
        if _is_norm(symptoms, parameter) or _stops(symptoms, parameter)
    ]
    for parameter in symptoms.parameters.values():
        if parameter.local_name == "in_proj_weight" and parameter.weight.any():
            query, key, _ = parameter.weight.detach().chunk(3)
            if not query.any() and not key.any():
                thirds = ["query", "key"]
                found.append(
                    _zero(parameter, 2 / 3, zero_thirds=thirds, own_gradient=parameter.norm)
                )
    return found


def _zero(parameter: ParameterSymptoms, fraction: float, **evidence: Any) -> Candidate:
    return at_parameter(parameter, fraction=fraction, evidence=evidence, remedy=REINITIALISE)


def _is_norm(symptoms: Symptoms, parameter: ParameterSymptoms) -> bool:
    module = symptoms.modules.get(parameter.module)
    return module is not None and "Norm" in module.kind and parameter.local_name == "weight"


def _matters(symptoms: Symptoms, parameter: ParameterSymptoms) -> bool:
    reached = parameter.missing < len(symptoms.loss_values)
    return reached and (_is_norm(symptoms, parameter) or is_matrix(symptoms, parameter))


def _stops(symptoms: Symptoms, parameter: ParameterSymptoms) -> bool:
    """Return whether a zero weight gets no gradient, or lets none through to earlier layers."""
    if parameter.zero_fraction == 1:
        return True
    module = symptoms.modules.get(parameter.module)
    earlier = [m for m in symptoms.called if module is not None and m.order < module.order]
    return any(m.connected and m.flow == 0 and symptoms.own(m.name) for m in earlier)


def redraw_zeros(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Draw the weights afresh on a copy: zero entries of gradients must come alive."""
    before = _zeros(experiment.baseline.grads)
    after = _zeros(_redrawn(experiment, candidate).grads)
    return after < before, {"before": before, "after": after}


def _zeros(grads: dict[str, Tensor]) -> int:
    return sum(int((grad == 0).sum()) for grad in grads.values())


ZERO_INIT = Cause(
    name="zero_init",
    meaning="weights that are all zero and let nothing through",
    confused_with="dead_unit: there the weights are there and nothing comes in.",
    rank=150,
    group="weights",
    find=find_zero_init,
    prove=redraw_zeros,
    explains=("units", "flow", "rates", "symmetric_init"),
)


def find_symmetric_init(symptoms: Symptoms) -> list[Candidate]:
    """Find weights whose rows are all equal, so that all units compute the same thing."""
    return [
        at_parameter(
            parameter,
            fraction=1.0,
            evidence={
                "value": float(parameter.weight.detach().flatten()[0]),
                "units": len(parameter.weight),
            },
            remedy=REINITIALISE,
        )
        for parameter in symptoms.parameters.values()
        if is_matrix(symptoms, parameter) and rows_alike(parameter.weight)
    ]


def rows_alike(weight: Tensor) -> bool:
    """Return whether all rows (units) of a weight are equal and not zero.

    >>> rows_alike(torch.full((3, 4), 0.1)), rows_alike(torch.eye(2))
    (True, False)
    """
    rows = weight.detach().reshape(len(weight), -1)
    size = rows.abs().max()
    return len(rows) > 1 and bool(size > 0 and (rows - rows[0]).abs().max() <= ALIKE * size)


def redraw_copies(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Draw the weights afresh on a copy: the rows of their gradient must come apart."""
    name = str(candidate.parameter)
    before = _distinct_rows(experiment.baseline.grads[name])
    after = _distinct_rows(_redrawn(experiment, candidate).grads[name])
    return (after > 1 if after else None), {"before": before, "after": after}


def _distinct_rows(grad: Tensor) -> int:
    rows = grad.flatten(1).double()
    size = rows.abs().max()
    if size == 0:
        return 0
    return len(torch.unique((rows / size * 1e5).round(), dim=0))


SYMMETRIC_INIT = Cause(
    name="symmetric_init",
    meaning="units with identical weights that can never differ",
    confused_with="duplicate_input, which makes columns alike; this makes rows alike.",
    rank=160,
    group="weights",
    find=find_symmetric_init,
    prove=redraw_copies,
    explains=("units", "flow", "large_init"),
)
