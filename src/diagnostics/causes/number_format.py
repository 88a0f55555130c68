"""Causes that sit in the number format: NaN and infinity, underflow, a collapsing loss scale."""

import math
from itertools import pairwise

import torch
from torch import Tensor

from ..symptoms.symptoms import ModuleSymptoms, Symptoms
from .cause import (
    ANYTHING,
    Candidate,
    Cause,
    Variant,
    Verdict,
    at_module,
    at_parameter,
)
from .experiment import Experiment
from .needs import half_precision, loss_scales

SCATTERED = 0.1
"""Share of zero gradient entries, in half precision, from which on underflow is suspected."""
COLLAPSED = 1.0
"""A gradient scaler starts at 65,536 and has collapsed below 1."""
LOSS_SCALE = 2.0**16
HALF_MAX = torch.finfo(torch.float16).max


def find_nonfinite(symptoms: Symptoms) -> list[Candidate]:
    """Find the earliest NaN or infinity: a weight, an input of a module, or an output."""
    for parameter in symptoms.parameters.values():
        bad = ~torch.isfinite(parameter.weight.detach())
        if bad.any():
            return [
                at_parameter(
                    parameter,
                    fraction=float(bad.double().mean()),
                    evidence={"where": "parameter", "entries": int(bad.sum())},
                    remedy="Go back to an earlier checkpoint and lower the learning rate.",
                )
            ]
    for module in symptoms.called:
        candidate = _first_nonfinite(symptoms, module)
        if candidate is not None:
            return [candidate]
    if not torch.isfinite(torch.tensor(symptoms.loss_values)).all():
        remedy = "Check the targets and the loss for NaN, division by zero and overflow."
        return [Candidate(evidence={"where": "loss"}, remedy=remedy, fraction=1.0)]
    return []


def _first_nonfinite(symptoms: Symptoms, module: ModuleSymptoms) -> Candidate | None:
    for side, bad in (("input", module.bad_input), ("output", module.bad_output)):
        if bad is None:
            continue
        if side == "input" and not symptoms.own(module.name):
            return None
        columns = torch.nonzero(bad).flatten().tolist()
        return at_module(
            symptoms,
            module.name,
            fraction=len(columns) / len(bad),
            indices=symptoms.name_features(columns, len(bad)),
            evidence={
                "where": side,
                "from_data": module.from_data and side == "input",
                "entries": int(bad.sum()),
                "columns": columns,
            },
            remedy="Remove or fill the non-finite values in these features before training."
            if module.from_data
            else "Look for a division, a logarithm or an overflow in the module before this one.",
        )
    return None


def replace_nonfinite(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Replace what is not finite by zero: loss and gradients must become finite.

    If they do not, there is a second source, and the first is one all the same.
    """

    def change(x: Tensor) -> Tensor:
        return torch.nan_to_num(x, 0.0, 0.0, 0.0)

    where, losses = candidate.evidence["where"], experiment.symptoms.loss_values
    index = next((i for i, v in enumerate(losses) if not math.isfinite(v)), 0)
    before = experiment.replay(batch=index).loss
    if where == "parameter":
        model = experiment.copy()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(change(parameter))
        after = experiment.replay(model, batch=index).loss
    elif where == "loss":
        return None, {}
    else:
        changed = experiment.input_changed if where == "input" else experiment.output_changed
        with changed(candidate.module, change):
            after = experiment.replay(batch=index).loss
    return math.isfinite(after) or None, {"before": before, "after": after}


NONFINITE = Cause(
    name="nonfinite",
    meaning="values that are NaN or infinite",
    confused_with="nonfinite_gradient, where all values are fine until the backward pass.",
    rank=10,
    find=find_nonfinite,
    prove=replace_nonfinite,
    explains=(ANYTHING,),
    variants=(
        Variant(
            name="nonfinite.inside",  # it arose inside of the model
            rank=172,
            explains=(ANYTHING,),
            applies=lambda candidate: not candidate.evidence.get("from_data"),
        ),
    ),
    sign="nonfinite",
    remedy_by_sign="Lower the learning rate, clip the gradients, and look for NaN in the data.",
)


def find_scaler_collapse(symptoms: Symptoms) -> list[Candidate]:
    """Find a gradient scaler that keeps halving."""
    scales = [float(scale) for scale in symptoms.context.loss_scales or ()]
    now = symptoms.context.loss_scale if symptoms.context.loss_scale is not None else None
    now = scales[-1] if now is None and scales else now
    halvings = sum(later < earlier for earlier, later in pairwise(scales))
    falling = halvings >= 4 and halvings >= 0.5 * (len(scales) - 1)
    if now is None or not (now < COLLAPSED or falling):
        return []
    return [
        Candidate(
            fraction=1.0,
            evidence={"loss_scale": now, "halvings": halvings},
            remedy="Find what overflows in half precision, or use bfloat16 in its place.",
        )
    ]


def find_overflow(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Look for gradients beyond half precision in the replay; none proves nothing."""
    grads = experiment.baseline.grads.values()
    largest = max((float(g.abs().max()) for g in grads), default=0.0)
    return (None if largest < HALF_MAX else True), {"largest_gradient": largest}


SCALER_COLLAPSE = Cause(
    name="scaler_collapse",
    meaning="the loss scale keeps falling, so steps are skipped",
    confused_with=(
        "exploding: the scaler halves its scale because some operation overflows, at any scale."
    ),
    rank=20,
    needs=(loss_scales,),
    find=find_scaler_collapse,
    prove=find_overflow,
    independent=True,
)


def find_underflow(symptoms: Symptoms) -> list[Candidate]:
    """Suspect underflow where half precision comes with many zero gradient entries."""
    total = sum(p.weight.numel() for p in symptoms.parameters.values() if p.grads)
    zeros = sum(int(p.is_zero.sum()) for p in symptoms.parameters.values() if p.is_zero is not None)
    half = symptoms.half or str(symptoms.context.precision or "").startswith("16")
    if not total or not half or zeros < SCATTERED * total:
        return []
    worst = max((p for p in symptoms.parameters.values() if p.grads), key=lambda p: p.zero_fraction)
    return [
        Candidate(
            fraction=zeros / total,
            evidence={"zero_entries": zeros, "entries": total, "worst_parameter": worst.name},
            remedy="Use bfloat16, or float16 with a gradient scaler.",
        )
    ]


def scale_loss(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Multiply the loss by 65,536: entries lost to underflow must come back."""
    zeros = []
    for scale in (1.0, LOSS_SCALE):
        grads = experiment.replay(loss_scale=scale).grads.values()
        zeros.append(sum(int((grad == 0).sum()) for grad in grads))
    return zeros[1] < 0.8 * zeros[0], {"before": zeros[0], "after": zeros[1]}


UNDERFLOW = Cause(
    name="underflow",
    meaning="gradients too small for the number format become zero",
    confused_with="vanishing, which stays in float32.",
    rank=40,
    needs=(half_precision,),
    find=find_underflow,
    prove=scale_loss,
    explains=("units", "flow", "rates"),
)
