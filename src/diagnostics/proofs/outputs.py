"""Interventions between output and target: swap the activation, scale, unmask, and replay."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from src.diagnostics.batches import padding_steps
from src.diagnostics.findings import Finding
from src.diagnostics.masks import hidden_steps, steps_hidden
from src.diagnostics.observe import LOSSES
from src.diagnostics.proofs.rewrite import Rewrite
from src.diagnostics.record import Record
from src.diagnostics.workbench import Workbench

OUTPUTS = frozenset(
    ["sigmoid", "tanh", "relu", "softmax", "softplus", "hardtanh", "hardsigmoid", "exp", "abs"]
)


def rewrite_losses(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Rewrite:
    """Change what every loss function compares."""

    def rewrite(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if name not in LOSSES:
            return NotImplemented
        preds = args[0] if args else kwargs["input"]
        target = args[1] if len(args) > 1 else kwargs["target"]
        rest = {k: v for k, v in kwargs.items() if k not in ("input", "target")}
        return func(*change(preds, target), *args[2:], **rest)

    return Rewrite(rewrite)


def remove_output_activation(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Replay without the output activation: outputs must then leave its range, gradients grow."""
    activation = finding.evidence.get("activation")
    loss = next(l for l in record.losses if l.producer == finding.module)  # noqa: E741
    if activation not in OUTPUTS or loss.activation != activation:
        return True if "why" in finding.evidence else None, {}
    calls = {"seen": 0}

    def count(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        calls["seen"] += name == activation
        return NotImplemented

    before = bench.replay(mode=Rewrite(count))
    last = calls["seen"]
    calls["seen"] = 0

    def skip(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        count(name, func, args, kwargs)
        return args[0] * 1 if name == activation and calls["seen"] == last else NotImplemented

    after = bench.replay(mode=Rewrite(skip))
    evidence = {"before": before.norm, "after": after.norm}
    floor = finding.evidence.get("lowest_reachable_mse")
    return bool(floor or after.norm != before.norm), evidence


def rescale_targets(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Divide targets and outputs by the targets' size: the gradient must fall with them."""
    size = finding.evidence["target_rms"]
    before = bench.baseline.norm
    after = bench.replay(
        mode=rewrite_losses(lambda preds, target: (preds / size, target / size))
    ).norm
    told = after != before and math.isfinite(before)
    return (after < 0.1 * before if told else None), {"before": before, "after": after}


def predict_the_constant(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Put the constant in place of the output: the regression loss must become zero."""
    constant = finding.evidence["value"]
    before = bench.baseline.loss

    def change(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if not target.is_floating_point():
            certain = torch.full_like(preds, -50.0)
            certain.select(min(1, preds.dim() - 1), int(constant)).fill_(50.0)
            return certain + 0 * preds, target
        return torch.full_like(preds, constant) + 0 * preds, target

    after = bench.replay(mode=rewrite_losses(change)).loss
    if after == before:
        return None, {"before": before, "after": after}
    return abs(after) <= 1e-6 * max(abs(before), 1e-12), {"before": before, "after": after}


def unmask(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Invert the masks over time: the loss must depend on the real steps again."""
    shapes = {tuple(m.shape) for m in _masks(bench)}

    def flip(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        masks = hidden_steps(name, args, kwargs)
        if not masks or not any(tuple(mask.shape) in shapes for mask in masks):
            return NotImplemented
        if name == "masked_fill":
            return func(args[0], ~args[1], *args[2:], **kwargs)
        if name == "multi_head_attention_forward":
            mask = kwargs["key_padding_mask"]
            if mask.dtype == torch.bool:
                return func(*args, **{**kwargs, "key_padding_mask": ~mask})
            flipped = torch.where(mask < -1e4, 0.0, float("-inf")).to(mask)
            return func(*args, **{**kwargs, "key_padding_mask": flipped})
        if name == "mul":
            switched = [(1 - a.float()).to(a) if _is_mask(a, shapes) else a for a in args[:2]]
            return func(*switched, **kwargs)
        return NotImplemented

    before, after = bench.baseline, bench.replay(mode=Rewrite(flip))
    evidence = {"before": before.loss, "after": after.loss}
    return after.loss == after.loss and after.loss != before.loss, evidence


def _is_mask(value: Any, shapes: set[tuple[int, ...]]) -> bool:
    return (
        isinstance(value, Tensor)
        and not value.requires_grad
        and tuple(value.shape) in shapes
        and bool(((value == 0) | (value == 1)).all())
    )


def _masks(bench: Workbench) -> list[Tensor]:
    """List the masks over time that a replay uses."""
    padding, found = padding_steps(bench.batches[0], bench.model), []

    def look(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        for mask in hidden_steps(name, args, kwargs):
            if padding is not None and steps_hidden(mask, padding.shape) is not None:
                found.append(mask)
        return NotImplemented

    bench.replay(mode=Rewrite(look))
    return found
