"""Interventions on the data: fill, perturb or re-scale the suspected features and replay."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from src.diagnostics.columns import distinct_columns
from src.diagnostics.findings import Finding
from src.diagnostics.record import Record
from src.diagnostics.workbench import Workbench


def fill_features(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Fill dead features with unit noise: their gradient columns must come alive."""
    before = _columns(bench.baseline.grads, finding)
    with _changed(bench, record, finding, lambda x, noise, _: noise):
        after = _columns(bench.replay().grads, finding)
    dead_before, dead_after = _dead(before, finding), _dead(after, finding)
    evidence = {"before": dead_before, "after": dead_after}
    if before.dim() < 2 or dead_before == 0:
        return None, evidence
    return dead_after < 0.1 * dead_before, evidence


def perturb_features(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Add noise to constant or copied features: the number of distinct columns must rise."""
    before = _columns(bench.baseline.grads, finding)
    with _changed(bench, record, finding, lambda x, noise, size: x + noise * size):
        after = _columns(bench.replay().grads, finding)
    if finding.cause == "constant_input":
        norms = float(before.norm()), float(after.norm())
        return norms[0] != norms[1], {"before": norms[0], "after": norms[1]}
    distinct = distinct_columns(before), distinct_columns(after)
    return distinct[1] > distinct[0], {"before": distinct[0], "after": distinct[1]}


def rescale_features(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Bring the features to unit size: gradient columns must come to one scale.

    Behind a normalisation over the features its outputs must come apart: it shrinks or equalises
    what is on another scale.
    """
    module = record.modules[finding.module]
    assert module.input is not None
    sizes = torch.where(module.input.sizes > 0, module.input.sizes, 1.0)

    def rescale(x: Tensor) -> Tensor:
        return (x.movedim(module.input_axis, -1) / sizes.to(x)).movedim(-1, module.input_axis)

    if len(finding.indices) == module.input.features:
        return True, {"before": float(module.input.sizes.median()), "after": 1.0}
    normalises = "Norm" in module.kind
    judge = _output_directions if normalises else _gradient_spread
    before = judge(bench, finding)
    with bench.input_changed(finding.module, rescale):
        after = judge(bench, finding)
    evidence = {"before": before, "after": after}
    if normalises:
        return True if after > before else None, evidence
    return (after < 0.1 * before if math.isfinite(before + after) else None), evidence


def replace_nonfinite(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Replace what is not finite by zero: loss and gradients must become finite."""
    change: Callable[[Tensor], Tensor] = lambda x: torch.nan_to_num(x, 0.0, 0.0, 0.0)  # noqa: E731
    where = finding.evidence["where"]
    index = next((i for i, v in enumerate(record.loss_values) if not math.isfinite(v)), 0)
    before = bench.replay(batch=index).loss
    if where == "parameter":
        model = bench.copy()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(change(parameter))
        after = bench.replay(model, batch=index).loss
    elif where == "loss":
        return None, {}
    else:
        changed = bench.input_changed if where == "input" else bench.output_changed
        with changed(finding.module, change):
            after = bench.replay(batch=index).loss
    return math.isfinite(after), {"before": before, "after": after}


def _columns(grads: dict[str, Tensor], finding: Finding) -> Tensor:
    grad = grads[str(finding.parameter)].double()
    if grad.dim() > 2:
        grad = grad.transpose(1, 2).reshape(-1, grad.shape[1])
    return grad


def _dead(grad: Tensor, finding: Finding) -> int:
    columns = grad if grad.dim() > 1 else grad[None]
    return int((columns == 0).all(0)[finding.evidence["columns"]].sum())


def _gradient_spread(bench: Workbench, finding: Finding) -> float:
    """Return the largest factor between a suspected gradient column and the median one."""
    columns = _columns(bench.replay().grads, finding)
    norms = (columns if columns.dim() > 1 else columns[None]).norm(dim=0)
    if not norms.any():
        return float("inf")
    ratios = norms[finding.evidence["columns"]] / norms[norms > 0].median()
    ratios = ratios[ratios > 0]
    return float(torch.maximum(ratios, 1 / ratios).max()) if len(ratios) else float("inf")


def _output_directions(bench: Workbench, finding: Finding) -> int:
    """Count the outputs of a module that differ by more than a per cent of their size."""
    seen: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        seen.append(output.detach().flatten(0, -2))
        return output

    with bench.output_changed(finding.module, keep):
        bench.replay()
    varying = seen[0] - seen[0].mean(0)
    large = varying.norm(dim=0) > 1e-2 * varying.norm(dim=0).median()
    return distinct_columns(varying * large, tolerance=1e-2)


def _changed(
    bench: Workbench,
    record: Record,
    finding: Finding,
    change: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Any:
    """Change the suspected features on their way into the module, the rest stays."""
    module = record.modules[finding.module]
    stats = module.input
    assert stats is not None
    columns = torch.tensor(finding.evidence["columns"])
    sizes = torch.where(stats.sizes > 0, stats.sizes, 1.0)[columns]
    generator = torch.Generator().manual_seed(0)

    def apply(x: Tensor) -> Tensor:
        moved = x.movedim(module.input_axis, -1).clone()
        chosen = moved[..., columns.to(x.device)]
        noise = torch.randn(chosen.shape, generator=generator).to(chosen)
        moved[..., columns.to(x.device)] = change(chosen, noise, sizes.to(chosen))
        return moved.movedim(-1, module.input_axis)

    return bench.input_changed(finding.module, apply)
