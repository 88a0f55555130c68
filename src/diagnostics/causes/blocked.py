"""Causes that stop the flow: operations without a gradient, normalisations of a single entry."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..symptoms.backward import Block
from ..symptoms.playback import play
from ..symptoms.samples import change_tensors, is_same, outputs_of, sample_axes
from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Variant, Verdict, at_module
from .experiment import Experiment, RewrittenCalls
from .needs import look

CASTS = ("float", "double", "half", "bfloat16", "to", "type")
"""Changes of a number's format, which let a gradient through."""
INSTEAD = {
    "Round": "round after training, or use a straight-through estimator",
    "Floor": "floor after training, or use a straight-through estimator",
    "Ceil": "round up after training, or use a straight-through estimator",
    "Trunc": "truncate after training, or use a straight-through estimator",
    "Sign": "use tanh, or a straight-through estimator",
    "Heaviside": "use a sigmoid",
    "Clamp": "clamp after training, or use a sigmoid scaled to the range",
    "ClampMin": "use softplus",
    "ClampMax": "clamp after training",
    "Hardtanh": "use tanh",
    "Mul": "the factor is zero everywhere: look where it comes from",
    "Where": "the condition picks the other side everywhere",
    "MaskedFill": "the mask covers everything: look whether it is inverted",
    "Remainder": "take the remainder after training",
}
"""Operation -> what to do instead."""
ACTIVATIONS = frozenset(
    [
        "Relu",
        "Threshold",
        "Hardswish",
        "Hardsigmoid",
        "Elu",
        "Gelu",
        "Silu",
        "Mish",
        "Softplus",
        "LeakyRelu",
        "Sigmoid",
        "Tanh",
    ]
)
"""What may be dead or saturated: then units are, and the operation is not to blame."""
ELSEWHERE = frozenset(
    [
        "Addmm",
        "Mm",
        "Bmm",
        "Baddbmm",
        "Convolution",
        "Conv",
        "Softmax",
        "LogSoftmax",
        "Embedding",
        "NativeLayerNorm",
        "NativeGroupNorm",
        "NativeBatchNorm",
        "CudnnBatchNorm",
        "FusedRmsNorm",
        "Linear",
        "Select",
        "Index",
        "Slice",
        "NllLoss",
        "ScaledDotProductFlashAttentionForCpu",
        "ScaledDotProductEfficientAttention",
        "MseLoss",
        "SmoothL1Loss",
        "L1Loss",
    ]
)
"""What passes nothing for reasons of weights, sizes or losses, which have causes of their own."""


def find_zero_gradient(symptoms: Symptoms) -> list[Candidate]:
    """Find the operations behind which no gradient is left, or say that there is none at all.

    A loss of exactly zero, as of a hinge that is met by all samples, has none and needs none.
    """
    if all(abs(loss) < 1e-12 for loss in symptoms.loss_values):
        return []
    blocks = [b for b in symptoms.structure.blocks if _counts(b, symptoms)]
    found = [_passes_nothing(symptoms, block) for block in blocks]
    if not found and _all_zero(symptoms):
        found.append(
            Candidate(
                fraction=1.0,
                evidence={"operation": "", "why": "everything"},
                remedy="Every gradient is exactly zero: look at what is done before the loss.",
            )
        )
    return found


def _counts(block: Block, symptoms: Symptoms) -> bool:
    if block.gated or block.kind in ELSEWHERE or not set(block.silent) <= _silent(symptoms):
        return False
    return block.everything or block.kind not in ACTIVATIONS


def _silent(symptoms: Symptoms) -> set[str]:
    """Return the parameters whose gradient is zero in every replayed batch."""
    return {p.name for p in symptoms.parameters.values() if not p.grads or p.zero_fraction == 1}


def _all_zero(symptoms: Symptoms) -> bool:
    heard = [p for p in symptoms.parameters.values() if p.grads]
    return bool(heard) and all(p.zero_fraction == 1 for p in heard)


def _passes_nothing(symptoms: Symptoms, block: Block) -> Candidate:
    instead = INSTEAD.get(block.kind, "use an operation that lets a gradient through")
    behind = f", behind {block.before}" if block.before else ""
    name = block.function or block.kind.lower()
    evidence = {
        "operation": name,
        "caller": block.module,
        "why": "activation"
        if block.kind in ACTIVATIONS
        else "everything"
        if block.everything
        else "part",
        "silent_parameters": list(block.silent),
        "entries": block.entries,
        "line": block.line,
    }
    return at_module(
        symptoms,
        block.before or block.module,
        fraction=1.0,
        evidence=evidence,
        remedy=f"{name}{behind} passes no gradient: {instead}.",
    )


def pass_straight_through(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Let the gradient pass the operation unchanged: parameters behind it must hear of the loss."""
    function = candidate.evidence["operation"]
    if not function:
        return None, {}
    calls = {"changed": 0}

    def straight(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if name.strip("_") != function or not args or not isinstance(args[0], Tensor):
            return NotImplemented
        result = func(*args, **kwargs)
        if not isinstance(result, Tensor) or result.shape != args[0].shape:
            return NotImplemented
        calls["changed"] += 1
        return result.detach() + args[0] - args[0].detach()

    names = candidate.evidence["silent_parameters"]
    before = _heard(experiment.baseline.grads, names)
    after = _heard(experiment.replay(mode=RewrittenCalls(straight)).grads, names)
    evidence = {"before": before, "after": after}
    is_cast = candidate.evidence["operation"] in CASTS  # blocks nothing, but may round it away
    if not calls["changed"] or (not after and not is_cast and _all_zero(experiment.symptoms)):
        return None, evidence  # behind it something else blocks as well: the symptom stays
    return after > before, evidence


def _heard(grads: Mapping[str, Tensor], names: list[str]) -> int:
    return sum(bool(grads[name].any()) for name in names if name in grads)


ZERO_GRADIENT = Cause(
    name="zero_gradient",
    meaning="an operation that passes no gradient back",
    confused_with=(
        "dead_unit and vanishing, where a part or a remainder of the gradient still flows."
    ),
    rank=19,
    needs=(look("flow"),),
    find=find_zero_gradient,
    prove=pass_straight_through,
    explains=("units", "flow", "rates", "collapse", "unreachable_target"),
    variants=(
        Variant(
            name="zero_gradient.activation",  # its units are dead, for a reason of their own
            rank=216,
            group="units",
            applies=lambda candidate: candidate.evidence.get("why") == "activation",
        ),
    ),
)


def find_degenerate_norm(symptoms: Symptoms) -> list[Candidate]:
    """Find softmaxes, attentions and normalisations over a single entry."""
    found = []
    for single in symptoms.structure.singles:
        shape, name = list(single.shape), single.function
        if "attention" in name:
            remedy = "Attention over one key returns its value whatever queries and keys say: give"
            remedy += " it the sequence, one token per step."
        elif "softmax" in name:
            remedy = f"{name} over dim {single.dim} of {shape}, of size 1, is 1 always: take the"
            remedy += " dimension that holds what is to be compared."
        else:
            remedy = f"{name} over a single entry of {shape} returns its bias whatever comes in:"
            remedy += " normalise over more entries, or leave it out."
        evidence = {"function": name, "shape": shape, "dim": single.dim, "size": 1}
        module = single.module
        found.append(
            at_module(
                symptoms,
                module,
                fraction=1.0,
                evidence={**evidence, "line": single.line},
                benign=single.by_design,
                remedy="Nothing to repair: there is one of a kind." if single.by_design else remedy,
            )
        )
    return found


def leave_norm_out(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Pass what goes in on unchanged: gradients must come alive; scores of one key do nothing."""
    function, shape = candidate.evidence["function"], tuple(candidate.evidence["shape"])
    if "attention" in function:
        return True, {}

    def skip(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if name.strip("_") != function or tuple(args[0].shape) != shape:
            return NotImplemented
        return args[0] * 1.0

    before, after = experiment.baseline, experiment.replay(mode=RewrittenCalls(skip))
    evidence = {"before": before.norm, "after": after.norm}
    return after.norm != before.norm, evidence


DEGENERATE_NORM = Cause(
    name="degenerate_norm",
    meaning="a softmax or a normalisation over a dimension of size one",
    confused_with=(
        "zero_gradient in general; here it is the size of one that makes the operation constant."
    ),
    rank=13,
    needs=(look("singles"),),
    find=find_degenerate_norm,
    prove=leave_norm_out,
    explains=("units", "flow", "rates", "weights", "collapse", "zero_gradient", "ignored_input"),
)


def find_collapsed_input(symptoms: Symptoms) -> list[Candidate]:
    """Find a module that the data reach, but always as the same numbers."""
    collapsed = symptoms.structure.collapsed
    if collapsed is None:
        return []
    evidence = {
        "size": collapsed.value,
        "function": collapsed.function,
        "caller": collapsed.place,
        "line": collapsed.line,
    }
    return [
        at_module(
            symptoms,
            collapsed.module,
            fraction=1.0,
            evidence=evidence,
            remedy=f"{collapsed.function} makes all samples and steps the same before this module:"
            f" look at `{collapsed.line}`.",
        )
    ]


def vary_input(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Add noise to what enters the module: the loss must follow."""
    generator = torch.Generator().manual_seed(0)
    size = candidate.evidence["size"]

    def change(x: Tensor) -> Tensor:
        return x + size * torch.randn(x.shape, generator=generator).to(x)

    before = experiment.baseline.loss
    with experiment.input_changed(candidate.module, change):
        after = experiment.replay().loss
    return after != before or None, {"before": before, "after": after}


COLLAPSED_INPUT = Cause(
    name="collapsed_input",
    meaning="a module whose input is the same at every step and in every sample",
    confused_with="dead_input: the data varies, what is made of it on the way does not.",
    rank=217,
    needs=(look("collapse"),),
    group="collapse",
    find=find_collapsed_input,
    prove=vary_input,
    explains=("constant_output", "learning_rate_too_low", "dead_unit.cut_off"),
)


def find_constant_output(symptoms: Symptoms) -> list[Candidate]:
    """Find an output that is the same for all samples, though no weight before it is zero."""
    constant = symptoms.structure.constant
    if constant is None:
        return []
    last = [symptoms.weight(m.name) for m in symptoms.called]
    if any(p is not None and not p.weight.any() for p in last):  # a head that starts at zero
        return []
    return [
        Candidate(
            module=constant.module,
            fraction=1.0,
            evidence={
                "shape": list(constant.shape),
                "spread": constant.spread,
                "value": constant.value,
            },
            remedy="Follow one sample through the model: somewhere all of them become the same.",
        )
    ]


def exchange_samples(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Put other samples in a sample's place: its output must not have stayed, and does."""
    batch, model, loss_fn = experiment.batches[0], experiment.model, experiment.loss_fn
    count, axes = sample_axes(batch) or (0, [])

    def roll(position: int, tensor: Tensor) -> Tensor:
        axis = axes[position]
        return tensor if axis is None else tensor.roll(1, axis)

    plays = [play(model, b, loss_fn, functions=False) for b in (batch, change_tensors(batch, roll))]
    before, after = (outputs_of(p, count)[-1].outputs[0].detach() for p in plays)
    change = float((after - before).abs().max())
    return is_same(before, after), {"before": float(before.abs().max()), "after": change}


CONSTANT_OUTPUT = Cause(
    name="constant_output",
    meaning="an output that is the same for all samples",
    confused_with="degenerate_target: there it is the targets that do not vary.",
    rank=218,
    needs=(look("output"),),
    group="collapse",
    find=find_constant_output,
    prove=exchange_samples,
)
