"""Judge a learning rate by what a few steps on a copy do to the weights and to the loss."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from src.diagnostics.findings import Finding
from src.diagnostics.isolation import seeded
from src.diagnostics.ratios import update_ratio
from src.diagnostics.record import Record
from src.diagnostics.workbench import Workbench

FAST, SLOW = 0.2, 1e-6
"""Median update-to-weight ratio of one step outside of which a learning rate is suspect."""
STEPS = 16
"""Steps of a simulated training."""
CALMER = (1e-2, 1e-4)
"""Factors on a suspiciously high rate in the simulation to compare with, until one stays finite."""
RISES = 1.5
"""Factor between the losses at the rate and at the calmer one that says the rate is too high."""


def judge_learning_rate(bench: Workbench, record: Record) -> list[Finding]:
    """Take one step on a copy and, if it is suspiciously large or small, train a little.

    A rate far too high destroys the weights it is judged on, and so does much else: whether it is
    too high is judged on a freshly initialised copy with an empty optimiser state.

    Args:
        bench: The model, its batches and optimisers.
        record: The symptoms; a schedule's base rate counts, not where its warm-up stands.

    Returns:
        At most one finding.
    """
    rates = current_rates(bench.optimizers, record.context.base_lr)
    if not rates or max(rates) <= 0:
        return []
    try:
        fresh, present = _first_step(bench, rates, True), _first_step(bench, rates, False)
        evidence: dict[str, Any] = {
            "learning_rate": max(rates),
            "update_ratio": present,
            "update_ratio_fresh": fresh,
        }
        if fresh > FAST:
            return _too_high(bench, rates, evidence)
        if max(fresh, present) < SLOW:
            return _too_low(bench, rates, evidence)
    except Exception:  # no copy can be trained, so nothing is said about the rate
        return []
    return []


def current_rates(
    optimizers: Sequence[torch.optim.Optimizer], base_lr: float | None = None
) -> list[float]:
    """Return the learning rate of every group, as it is once its warm-up is over."""
    return [
        max(float(group["lr"]), float(group.get("initial_lr", 0.0)), base_lr or 0.0)
        for optimizer in optimizers
        for group in optimizer.param_groups
    ]


def copy_for_trial(
    bench: Workbench, rates: Sequence[float], fresh: bool
) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    """Copy model and optimisers, at the given rates.

    Args:
        bench: What to copy.
        rates: Learning rate per group, over all optimisers.
        fresh: Whether to draw all weights afresh and to forget the optimisers' state.
    """
    model, optimizers = bench.copy_all()
    if fresh:
        with seeded(0):
            for module in model.modules():
                reset = getattr(
                    module, "reset_parameters", getattr(module, "_reset_parameters", None)
                )
                if callable(reset):
                    reset()
        for optimizer in optimizers:
            optimizer.state.clear()
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    return model, optimizers


def train_copy(bench: Workbench, rates: Sequence[float], fresh: bool) -> list[float]:
    """Train a copy for a few steps and return the loss before each of them."""
    model, optimizers = copy_for_trial(bench, rates, fresh)
    return [
        bench.step(model, optimizers, batch=step % len(bench.batches)).loss for step in range(STEPS)
    ]


def _first_step(bench: Workbench, rates: Sequence[float], fresh: bool) -> float:
    """Return the median update-to-weight ratio of one step; 0 if nothing can move."""
    model, optimizers = copy_for_trial(bench, rates, fresh)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    grads = bench.step(model, optimizers).grads
    held = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    ratios = [
        update_ratio(before[name], parameter)
        for name, parameter in model.named_parameters()
        if parameter.dim() > 1 and id(parameter) in held and name in grads
        if before[name].any() and bool(grads[name].any())
    ]
    finite = [ratio for ratio in ratios if math.isfinite(ratio)]
    return float(torch.tensor(finite).median()) if finite else 0.0


def _too_high(bench: Workbench, rates: Sequence[float], evidence: dict[str, Any]) -> list[Finding]:
    """Train at the rate and at a fraction of it: only a rate too high makes the loss rise."""
    here = train_copy(bench, rates, True)
    last = max(len(bench.batches), STEPS // 4)
    after = _mean(here[-last:])
    for factor in CALMER:
        calm = _mean(train_copy(bench, [rate * factor for rate in rates], True)[-last:])
        if math.isfinite(calm):
            break
    if not math.isfinite(calm) or after <= RISES * calm:
        return []
    return [
        Finding(
            cause="learning_rate_too_high",
            fraction=1.0,
            evidence={
                **evidence,
                "before": after,
                "after": calm,
                "loss_at_start": here[0],
                "steps": STEPS,
            },
            confirmed=True,
            remedy=f"Lower the learning rate, for example optimizer.lr={max(rates) * factor:.1g}.",
        )
    ]


def _too_low(bench: Workbench, rates: Sequence[float], evidence: dict[str, Any]) -> list[Finding]:
    """Train at the rate and at one with a usual update ratio: only the latter must get anywhere."""
    factor = 1e-3 / max(evidence["update_ratio"], evidence["update_ratio_fresh"], 1e-12)
    here = train_copy(bench, rates, False)
    higher = train_copy(bench, [rate * factor for rate in rates], False)
    last = len(bench.batches)
    stays, falls = _mean(here[-last:]), _mean(higher[-last:])
    evidence |= {"before": stays, "after": falls, "loss_at_start": here[0], "steps": STEPS}
    if not math.isfinite(stays):
        return []
    return [
        Finding(
            cause="learning_rate_too_low",
            fraction=1.0,
            evidence=evidence,
            confirmed=falls < stays,
            remedy=f"Raise the learning rate, for example optimizer.lr={max(rates) * factor:.1g}.",
        )
    ]


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)
