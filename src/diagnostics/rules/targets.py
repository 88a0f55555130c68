"""Causes that sit between the output and the target: range, scale, and the choice of the loss."""

import torch
from torch import Tensor

from src.diagnostics.findings import Finding
from src.diagnostics.observe import REGRESSION_LOSSES
from src.diagnostics.record import LossRecord, Record

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
LARGE_TARGET = 100.0
"""Root mean square of the targets, and of the error on them, that counts as unscaled."""
BOUNDED = frozenset({"sigmoid", "softmax", "tanh", "relu", "softplus", "hardtanh", "hardsigmoid"})


def outside_share(target: Tensor, low: float, high: float) -> float:
    """Return the share of targets outside [low, high].

    >>> outside_share(torch.tensor([-1.0, 0.5, 2.0, 1.0]), 0.0, 1.0)
    0.5
    """
    return float(((target < low - 1e-6) | (target > high + 1e-6)).double().mean())


def find_unreachable_target(record: Record) -> list[Finding]:
    """Find an output activation whose range leaves out part of the targets."""
    findings = []
    for loss in record.losses:
        if loss.function not in REGRESSION_LOSSES or loss.activation not in RANGES:
            continue
        if loss.activation == "softmax" and loss.preds.shape[1] == 1:
            continue
        low, high = RANGES[loss.activation]
        share = outside_share(loss.target.double(), low, high)
        if share < OUTSIDE:
            continue
        target = loss.target.double()
        floor = float((target - target.clamp(low, high)).square().mean())
        findings.append(
            Finding(
                cause="unreachable_target",
                module=loss.producer,
                fraction=share,
                evidence={
                    "activation": loss.activation,
                    "lowest_reachable_mse": floor,
                    "target_min": float(target.min()),
                    "target_max": float(target.max()),
                },
                remedy=f"Remove the {loss.activation} after the last layer, or scale the targets"
                " into its range.",
            )
        )
    return findings


def find_loss_mismatch(record: Record) -> list[Finding]:
    """Find a loss fed with something it does not expect."""
    findings = []
    for loss in record.losses:
        why = _mismatch(loss)
        if why:
            findings.append(
                Finding(
                    cause="loss_mismatch",
                    module=loss.producer,
                    fraction=1.0,
                    evidence={"loss": loss.function, "activation": loss.activation, "why": why[0]},
                    remedy=why[1],
                )
            )
    return findings


def _mismatch(loss: LossRecord) -> tuple[str, str] | None:
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
        return "nll_loss expects log-probabilities", "Use cross_entropy, or add a log_softmax."
    if name in REGRESSION_LOSSES and loss.activation == "softmax" and classes == 1:
        return "a softmax over one output is always 1", "Remove the softmax."
    return None


def find_misscaled_target(record: Record) -> list[Finding]:
    """Find regression targets hundreds of times larger than one, and missed by as much."""
    findings = []
    for loss in record.losses:
        if loss.function not in REGRESSION_LOSSES or not torch.isfinite(loss.target).all():
            continue
        size = float(loss.target.double().square().mean().sqrt())
        shown = torch.nan_to_num(loss.preds.double(), posinf=0.0, neginf=0.0)
        output = float(shown.square().mean().sqrt())
        error = _error(shown.flatten(), loss.target.double())
        if size < LARGE_TARGET or error < LARGE_TARGET:
            continue
        findings.append(
            Finding(
                cause="misscaled_target",
                module=loss.producer,
                fraction=1.0,
                evidence={"target_rms": size, "output_rms": output, "error_rms": error},
                remedy="Scale the targets to about unit variance and undo it after predicting.",
            )
        )
    return findings


def _error(preds: Tensor, target: Tensor) -> float:
    """Return the root mean square error; the size of the targets if they do not match in number."""
    difference = target - preds if len(preds) == len(target) else target
    return float(difference.square().mean().sqrt())


def find_degenerate_target(record: Record) -> list[Finding]:
    """Find targets that are all equal over enough of them to say so."""
    findings = []
    for loss in record.losses:
        target = loss.target.double()
        enough = 8 if loss.target.is_floating_point() and loss.function in REGRESSION_LOSSES else 64
        if target.numel() < enough or not torch.isfinite(target).all():
            continue
        spread = float(target.max() - target.min())
        if spread > 1e-7 * float(target.abs().max()):
            continue
        findings.append(
            Finding(
                cause="degenerate_target",
                module=loss.producer,
                fraction=1.0,
                evidence={"value": float(target[0]), "targets": target.numel()},
                remedy="Check how the target is computed: every value is the same.",
            )
        )
    return findings
