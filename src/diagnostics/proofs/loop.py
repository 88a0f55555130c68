"""Interventions on the training loop: scale the loss, clear, unclip, thaw, and compare."""

from statistics import median
from typing import Any

import torch

from src.diagnostics.findings import Finding
from src.diagnostics.record import Record
from src.diagnostics.rules.loop import relative_entry
from src.diagnostics.workbench import Workbench

LOSS_SCALE = 2.0**16
HALF_MAX = torch.finfo(torch.float16).max


def scale_loss(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Multiply the loss by 65,536: entries lost to underflow must come back."""
    zeros = []
    for scale in (1.0, LOSS_SCALE):
        grads = bench.replay(loss_scale=scale).grads.values()
        zeros.append(sum(int((grad == 0).sum()) for grad in grads))
    return zeros[1] < 0.8 * zeros[0], {"before": zeros[0], "after": zeros[1]}


def find_overflow(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Look for gradients beyond half precision in the replay; none proves nothing."""
    largest = max((float(g.abs().max()) for g in bench.baseline.grads.values()), default=0.0)
    return (None if largest < HALF_MAX else True), {"largest_gradient": largest}


def clear_and_compare(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Compare the gradients found on entry with those of the first batch from cleared ones."""
    fresh = bench.baseline.grads
    ratios = [
        relative_entry(float(p.entry.double().norm()), float(fresh[name].double().norm()))
        for name, p in record.parameters.items()
        if p.entry is not None and p.entry.any() and name in fresh
    ]
    evidence = {"before": finding.evidence["gradient_on_entry"], "after": bench.baseline.norm}
    return (median(ratios) > 1 if ratios else None), evidence


def compare_clipping(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Compare the replayed gradient with what the clipping leaves of it."""
    norm = bench.baseline.norm
    return finding.evidence["clip"] < norm, {"before": finding.evidence["clip"], "after": norm}


def require_gradient(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Thaw the parameters on a copy: they must get a gradient."""
    model = bench.copy()
    names = finding.evidence["parameters"]
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.requires_grad_(True)
    grads = bench.replay(model).grads
    after = sum(float(grads[name].double().norm()) for name in names if name in grads)
    return after > 0, {"before": 0.0, "after": after}


def train_left_out(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Take one optimiser step on a copy: the parameters must stay where they were."""
    model, optimizers = bench.copy_all()
    names = finding.evidence["parameters"]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    bench.step(model, optimizers)
    moved = {n: not torch.equal(p, before[n]) for n, p in model.named_parameters()}
    others = sum(value for name, value in moved.items() if name not in names)
    return not any(moved[n] for n in names), {"before": len(names), "after": others}
