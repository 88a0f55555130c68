"""Causes in operations without a value: roots and logarithms at zero, softmaxes over nothing."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..symptoms.symptoms import Symptoms
from .cause import ANYTHING, Candidate, Cause, Verdict, at_module
from .experiment import Experiment, RewrittenCalls
from .needs import look

TINY = 1e-6
AT_ZERO = {
    "Sqrt": "Add a small number under the root, sqrt(x + 1e-8): its slope at 0 is infinite.",
    "Pow": "Add a small number to the base: the slope of the power at 0 is infinite.",
    "Log": "Take log(x + 1e-8), log1p or a loss on logits: the slope of log at 0 is infinite.",
    "LinalgVectorNorm": "Add a small number under the root of the norm: it has no slope at 0.",
    "Norm": "Add a small number under the root of the norm: it has no slope at 0.",
    "Std": "Add a small number to the variance: the standard deviation has no slope at 0.",
    "Div": "Keep the denominator away from 0, also where where() hides the result.",
    "Reciprocal": "Keep the argument away from 0.",
    "Rsqrt": "Add a small number under the root.",
    "Acos": "Keep the argument inside of (-1, 1).",
    "Asin": "Keep the argument inside of (-1, 1).",
    "Atan2": "Keep both arguments away from 0 at once.",
    "Exp": "Subtract the largest exponent first, as logsumexp does.",
    "Mul": "A factor is infinite where the gradient is zero: choose the finite values before.",
    "CdistBackward": "Add a small number: the distance has no slope at 0.",
}
"""Operation -> what to do about the NaN it makes on the way back."""


def find_nonfinite_gradient(symptoms: Symptoms) -> list[Candidate]:
    """Find the operation at which a finite gradient stops being finite."""
    node = symptoms.structure.nonfinite
    if node is None or symptoms.structure.masked is not None:
        return []
    call = node.call
    function = call.function if call and call.function else node.kind.lower()
    evidence = {
        "operation": node.kind.lower(),
        "function": function,
        "nonfinite": node.nonfinite,
        "entries": node.entries,
        "line": call.line if call else "",
    }
    remedy = AT_ZERO.get(node.kind, "Keep its argument away from where it has no slope.")
    return [
        at_module(
            symptoms,
            call.module if call else "",
            fraction=node.nonfinite / max(node.entries, 1),
            evidence=evidence,
            remedy=f"{node.kind.lower()} makes the NaN on the way back. {remedy}",
        )
    ]


def keep_from_zero(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Keep the argument of the operation away from zero: gradients must become finite."""
    function = candidate.evidence["function"]

    def shift(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        return torch.where(value.abs() < TINY, value + TINY, value)

    def rewrite(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if name.strip("_") != function:
            return NotImplemented
        return func(*(shift(a) for a in args), **kwargs)

    return _finite_with(experiment, rewrite)


def _finite_with(experiment: Experiment, rewrite: Callable[..., Any]) -> Verdict:
    """Return whether the odd batch's gradient is finite with a call rewritten."""
    structure = experiment.symptoms.structure
    model, batch = structure.fresh or experiment.model, structure.odd_batch
    before = experiment.replay(model, batch=batch).norm
    after = experiment.replay(model, mode=RewrittenCalls(rewrite), batch=batch).norm
    return math.isfinite(after) or None, {"before": before, "after": after}


NONFINITE_GRADIENT = Cause(
    name="nonfinite_gradient",
    meaning="an operation that turns a finite gradient into NaN or infinity",
    confused_with=(
        "nonfinite, where the values themselves are no numbers, and exploding, which gets "
        "there slowly."
    ),
    rank=8,
    needs=(look("finiteness"),),
    find=find_nonfinite_gradient,
    prove=keep_from_zero,
    explains=(ANYTHING,),
)


def find_fully_masked(symptoms: Symptoms) -> list[Candidate]:
    """Find attention rows in which every key is masked."""
    masked = symptoms.structure.masked
    if masked is None:
        return []
    evidence = {
        "rows": masked.rows,
        "of": masked.of,
        "function": masked.function,
        "line": masked.line,
    }
    return [
        at_module(
            symptoms,
            masked.module,
            fraction=masked.rows / masked.of,
            evidence=evidence,
            remedy=f"{masked.rows} of {masked.of} rows have every key masked, and a softmax over"
            " nothing is NaN: leave these samples out, or show them one key.",
        )
    ]


def show_a_key(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Unmask the rows that hide everything: loss and gradients must become finite."""

    def unmasked(mask: Any, hides: bool) -> Any:
        if not isinstance(mask, Tensor):
            return mask
        hidden = (mask if hides else ~mask) if mask.dtype == torch.bool else torch.isneginf(mask)
        rows = hidden.all(-1, keepdim=True)
        shown = torch.tensor(not hides) if mask.dtype == torch.bool else torch.tensor(0.0)
        return torch.where(rows, shown.to(mask), mask)

    def rewrite(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if name == "multi_head_attention_forward":
            keys = ("key_padding_mask", "attn_mask")
            return func(*args, **{**kwargs, **{k: unmasked(kwargs.get(k), True) for k in keys}})
        if name == "scaled_dot_product_attention":
            return func(*args, **{**kwargs, "attn_mask": unmasked(kwargs.get("attn_mask"), False)})
        if name == "softmax":
            return func(unmasked(args[0], True), *args[1:], **kwargs)
        return NotImplemented

    return _finite_with(experiment, rewrite)


FULLY_MASKED = Cause(
    name="fully_masked",
    meaning="attention rows in which every key is masked",
    confused_with="nonfinite: the data is fine, it is the softmax over nothing that is not.",
    rank=7,
    find=find_fully_masked,
    prove=show_a_key,
    explains=(ANYTHING,),
)
