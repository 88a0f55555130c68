"""Causes that sit between the output and the target: range, content, and the choice of the loss."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..symptoms.calls import Negative
from ..symptoms.function_calls import LOSSES, REGRESSION_LOSSES
from ..symptoms.symptoms import LossSymptoms, Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Experiment, RewrittenCalls
from .needs import a_known_loss

RANGES = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "relu": (0.0, float("inf")),
    "softplus": (0.0, float("inf")),
    "exp": (0.0, float("inf")),
    "abs": (0.0, float("inf")),
    "logsoftmax": (-float("inf"), 0.0),
    "logsigmoid": (-float("inf"), 0.0),
}
"""Output activation -> the closed range of its values."""
OUTSIDE = 0.02
"""Share of targets outside the range from which on they count as unreachable."""
BOUNDED = frozenset({"sigmoid", "softmax", "tanh", "relu", "softplus", "hardtanh", "hardsigmoid"})
REMOVABLE = BOUNDED | {"exp", "abs"}
"""Output activations whose calls carry the same name, so that one can be left out."""


def outside_share(target: Tensor, low: float, high: float) -> float:
    """Return the share of targets outside [low, high].

    >>> outside_share(torch.tensor([-1.0, 0.5, 2.0, 1.0]), 0.0, 1.0)
    0.5
    """
    return float(((target < low - 1e-6) | (target > high + 1e-6)).double().mean())


def rewritten_losses(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> RewrittenCalls:
    """Change what every loss function compares."""

    def rewrite(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if name not in LOSSES:
            return NotImplemented
        preds = args[0] if args else kwargs["input"]
        target = args[1] if len(args) > 1 else kwargs["target"]
        rest = {k: v for k, v in kwargs.items() if k not in ("input", "target")}
        return func(*change(preds, target), *args[2:], **rest)

    return RewrittenCalls(rewrite)


def find_degenerate_target(symptoms: Symptoms) -> list[Candidate]:
    """Find targets that are all equal over enough of them to say so."""
    found = []
    for loss in symptoms.losses:
        target = loss.target.double()
        enough = 8 if loss.target.is_floating_point() and loss.function in REGRESSION_LOSSES else 64
        if target.numel() < enough or not torch.isfinite(target).all():
            continue
        spread = float(target.max() - target.min())
        if spread > 1e-7 * float(target.abs().max()):
            continue
        found.append(
            Candidate(
                module=loss.producer,
                fraction=1.0,
                evidence={"value": float(target[0]), "targets": target.numel()},
                remedy="Check how the target is computed: every value is the same.",
            )
        )
    return found


def predict_the_constant(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Put the constant in place of the output: the regression loss must become zero."""
    constant = candidate.evidence["value"]
    before = experiment.baseline.loss

    def change(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if not target.is_floating_point():
            certain = torch.full_like(preds, -50.0)
            certain.select(min(1, preds.dim() - 1), int(constant)).fill_(50.0)
            return certain + 0 * preds, target
        return torch.full_like(preds, constant) + 0 * preds, target

    after = experiment.replay(mode=rewritten_losses(change)).loss
    if after == before:
        return None, {"before": before, "after": after}
    return abs(after) <= 1e-6 * max(abs(before), 1e-12), {"before": before, "after": after}


DEGENERATE_TARGET = Cause(
    name="degenerate_target",
    meaning="all targets are equal, there is nothing to learn",
    confused_with="constant_output: there the model cannot vary, here the targets do not.",
    rank=50,
    needs=(a_known_loss,),
    find=find_degenerate_target,
    prove=predict_the_constant,
    explains=("units", "flow", "rates", "misscaled_target"),
)


def find_loss_mismatch(symptoms: Symptoms) -> list[Candidate]:
    """Find a loss fed with something it does not expect."""
    return _by_structure(symptoms) or [
        Candidate(
            module=loss.producer,
            fraction=1.0,
            evidence={"loss": loss.function, "activation": loss.activation, "why": why[0]},
            remedy=why[1],
        )
        for loss in symptoms.losses
        if (why := _mismatch(loss)) is not None
    ]


def _by_structure(symptoms: Symptoms) -> list[Candidate]:
    """Find class labels under a loss that takes them for numbers, and losses below zero."""
    labels, negative = symptoms.structure.labels, symptoms.structure.negative
    if labels is not None:
        why = f"class labels 0 to {labels.classes - 1} under {labels.function}"
        remedy = f"Use cross_entropy with {labels.classes} outputs, one per class."
        evidence: dict[str, Any] = {
            "loss": labels.function,
            "classes": labels.classes,
            "outputs": list(labels.outputs),
            "line": labels.line,
        }
    elif negative is not None:
        why = f"a loss of {negative.value:.3g} although {negative.function} is never negative"
        remedy = _positive(negative)
        evidence = {"loss": negative.function, "value": negative.value, "line": negative.line}
    else:
        return []
    module = symptoms.losses[-1].producer if symptoms.losses else ""
    evidence |= {"why": why, "activation": None}
    return [Candidate(module=module, fraction=1.0, evidence=evidence, remedy=remedy)]


def _positive(negative: Negative) -> str:
    if negative.sign:
        return "Turn the sign of the loss: an optimiser minimises."
    if negative.function == "nll_loss":
        return "Give nll_loss log-probabilities (log_softmax), or use cross_entropy on raw outputs."
    if negative.function.startswith("binary_cross_entropy"):
        return "Binary cross entropy takes targets in [0, 1]: use a regression loss for others."
    return f"Look at what {negative.function} is given: it cannot be negative."


def _mismatch(loss: LossSymptoms) -> tuple[str, str] | None:
    """Return what does not fit and what to do, or None."""
    name, preds, target = loss.function, loss.preds.double(), loss.target
    classes = preds.shape[1]
    if name == "cross_entropy" and classes == 1:
        return "a softmax over one class is always 1", "Use a regression loss or more outputs."
    if name == "cross_entropy" and target.is_floating_point():
        sums = target[: target.numel() // classes * classes].reshape(-1, classes).sum(1)
        if float((sums - 1).abs().median()) > 0.05:
            return "targets are no probabilities", "Use a regression loss such as mse_loss."
    if name in ("cross_entropy", "binary_cross_entropy_with_logits"):
        sums = preds.sum(1)
        twice = classes > 1 and bool(((sums - 1).abs() < 1e-3).all() and (preds >= 0).all())
        if loss.activation in BOUNDED or twice:
            return (
                f"{name} applies its own normalisation to the output of a {loss.activation}",
                f"Pass the raw outputs of the last layer to {name}.",
            )
    if name.startswith("binary_cross_entropy") and outside_share(target.double(), 0, 1) > OUTSIDE:
        return "targets are no probabilities", "Use a regression loss such as mse_loss."
    if name == "nll_loss" and float(preds.logsumexp(1).abs().median()) > 1e-3:
        if loss.activation == "logsoftmax":
            why = "a log_softmax over another dimension than the classes"
            return why, "Take the log_softmax over dim 1, the classes, or use cross_entropy."
        return "nll_loss expects log-probabilities", "Use cross_entropy, or add a log_softmax."
    if name in REGRESSION_LOSSES and loss.activation == "softmax" and classes == 1:
        return "a softmax over one output is always 1", "Remove the softmax."
    return None


def remove_output_activation(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Replay without the output activation: outputs must then leave its range, gradients grow."""
    activation = candidate.evidence.get("activation")
    losses = experiment.symptoms.losses
    loss = next(loss for loss in losses if loss.producer == candidate.module)
    if activation not in REMOVABLE or loss.activation != activation:
        return True if "why" in candidate.evidence else None, {}
    calls = {"seen": 0}

    def count(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        calls["seen"] += name == activation
        return NotImplemented

    before = experiment.replay(mode=RewrittenCalls(count))
    last = calls["seen"]
    calls["seen"] = 0

    def skip(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        count(name, func, args, kwargs)
        return args[0] * 1 if name == activation and calls["seen"] == last else NotImplemented

    after = experiment.replay(mode=RewrittenCalls(skip))
    evidence = {"before": before.norm, "after": after.norm}
    floor = candidate.evidence.get("lowest_reachable_mse")
    return bool(floor or after.norm != before.norm), evidence


LOSS_MISMATCH = Cause(
    name="loss_mismatch",
    meaning="the output activation and the loss do not go together",
    confused_with="unreachable_target, where the loss is the right one and the range is not.",
    rank=60,
    needs=(a_known_loss,),
    find=find_loss_mismatch,
    prove=remove_output_activation,
    explains=("units", "flow", "rates", "unreachable_target"),
)


def find_unreachable_target(symptoms: Symptoms) -> list[Candidate]:
    """Find an output activation whose range leaves out part of the targets."""
    found = []
    for loss in symptoms.losses:
        if loss.function not in REGRESSION_LOSSES or loss.activation not in RANGES:
            continue
        if loss.activation == "softmax" and loss.preds.shape[1] == 1:
            continue
        low, high = RANGES[loss.activation]
        target = loss.target.double()
        share = outside_share(target, low, high)
        if share < OUTSIDE:
            continue
        found.append(
            Candidate(
                module=loss.producer,
                fraction=share,
                evidence={
                    "activation": loss.activation,
                    "lowest_reachable_mse": float(
                        (target - target.clamp(low, high)).square().mean()
                    ),
                    "target_min": float(target.min()),
                    "target_max": float(target.max()),
                },
                remedy=f"Remove the {loss.activation} after the last layer, or scale the targets"
                " into its range.",
            )
        )
    return found


UNREACHABLE_TARGET = Cause(
    name="unreachable_target",
    meaning="the output activation cannot reach the targets",
    confused_with="misscaled_target: larger weights reach those, none reaches these.",
    rank=70,
    needs=(a_known_loss,),
    find=find_unreachable_target,
    prove=remove_output_activation,
    explains=("units", "flow", "rates"),
)
