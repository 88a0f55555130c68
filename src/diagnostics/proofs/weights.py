"""Interventions on a copy's weights: re-initialise, lower the gain, raise units, shift entries."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from src.diagnostics.findings import Finding
from src.diagnostics.record import Record
from src.diagnostics.rules.initial import LARGE, weight_gain
from src.diagnostics.workbench import Replay, Workbench

ROUNDING = 1e-5
"""Relative change of a loss that is put down to rounding."""


def reinitialise(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Draw the weights afresh on a copy: gradients must come alive, units must come apart."""
    before = bench.baseline
    model = bench.copy()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rpartition(".")[0] == finding.module and parameter.dim() > 1:
                _draw(parameter)
            elif name == finding.parameter:
                parameter.fill_(1.0)
    after = bench.replay(model)
    if finding.cause == "zero_init":
        counts = _zeros(before.grads), _zeros(after.grads)
        return counts[1] < counts[0], {"before": counts[0], "after": counts[1]}
    name = str(finding.parameter)
    ranks = _distinct_rows(before.grads[name]), _distinct_rows(after.grads[name])
    evidence = {"before": ranks[0], "after": ranks[1]}
    return (ranks[1] > 1 if ranks[1] else None), evidence


def lower_gain(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Scale weights (all that are too large) or pre-activations to unit size and compare."""
    before = bench.baseline
    size = finding.evidence.get("preactivation_size")
    if size is not None:
        with bench.output_changed(finding.module, lambda output: output / size):
            return _compare(before, bench.replay())
    model = bench.copy()
    with torch.no_grad():
        for module in model.modules():
            own = dict(module.named_parameters(recurse=False))
            gains = [weight_gain(p) for p in own.values() if p.dim() > 1]
            is_named = module is model.get_submodule(finding.module)
            if gains and (is_named or (finding.cause == "large_init" and max(gains) >= LARGE)):
                for parameter in own.values():
                    parameter.mul_(min(1.0, 0.5 / max(max(gains), 1e-12)))
    return _compare(before, bench.replay(model))


def _compare(before: Replay, after: Replay) -> Any:
    """Return whether gradient or loss changed by more than a few per cent, with the numbers."""
    evidence = {"before": before.norm, "after": after.norm, "loss_before": before.loss}
    evidence["loss_after"] = after.loss
    if not math.isfinite(before.norm):
        return math.isfinite(after.norm) or None, evidence
    changed = abs(math.log10(max(after.norm, 1e-30) / max(before.norm, 1e-30))) > 0.05
    return changed or abs(after.loss - before.loss) > 0.05 * abs(before.loss), evidence


def raise_units(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Shift dead units above zero: the rows of their gradient must come alive."""
    name, units = finding.parameter, [int(unit) for unit in finding.indices]
    if name is None:
        return None, {}
    if "largest_preactivation" not in finding.evidence:
        return _connect_units(bench, name, units)
    stats = next(
        a.preactivation for a in record.activations if finding.module in (a.producer, a.caller)
    )
    shift = torch.zeros(stats.features)
    mean = stats.total / max(stats.rows, 1)
    shift[units] = -mean[units].float() + stats.sizes[units].clamp(max=1.0).float()
    axis = 1 if "Conv" in record.modules[finding.module].kind else -1

    def change(output: Tensor) -> Tensor:
        return (output.movedim(axis, -1) + shift.to(output)).movedim(-1, axis)

    before = bench.baseline.grads[name]
    with bench.output_changed(finding.module, change):
        after = bench.replay().grads[name]
    dead = [int((g.flatten(1) == 0).all(1)[units].sum()) for g in (before, after)]
    return dead[1] < dead[0], {"before": dead[0], "after": dead[1]}


def _connect_units(bench: Workbench, name: str, units: list[int]) -> Any:
    """Fill the zero outgoing weights of units on a copy: their gradient rows must come alive."""
    model = bench.copy()
    weights = dict(model.named_parameters())
    size = len(weights[name])
    filled = 0
    with torch.no_grad():
        for weight in weights.values():
            if weight.dim() < 2 or weight.shape[1] != size or weight[:, units].any():
                continue
            weight[:, units] = 1.0 / size**0.5
            filled += 1
    if not filled:
        return None, {}
    before, after = bench.baseline.grads[name], bench.replay(model).grads[name]
    dead = [int((g.flatten(1) == 0).all(1)[units].sum()) for g in (before, after)]
    return dead[1] < dead[0], {"before": dead[0], "after": dead[1], "zero_outgoing_weights": filled}


def change_weights(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Draw unused weights afresh on a copy: the loss must not change at all."""
    before = bench.baseline.loss
    model = bench.copy()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in finding.evidence["parameters"]:
                parameter.add_(torch.ones_like(parameter))
    after = bench.replay(model).loss
    if finding.evidence.get("called"):
        return True, {"before": before, "after": after}
    return after == before, {"before": before, "after": after}


def shift_entries(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Shift entries with no gradient by one on a copy: the loss must not change beyond rounding."""
    before = bench.baseline.loss
    model = bench.copy()
    with torch.no_grad():
        parameter = dict(model.named_parameters())[str(finding.parameter)]
        parameter.view(-1)[list(finding.indices)] += 1.0
    after = bench.loss(model)
    same = abs(after - before) <= ROUNDING * max(abs(before), 1e-12)
    return same, {"before": before, "after": after}


def _draw(parameter: nn.Parameter) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(parameter.shape, generator=generator)
    parameter.copy_(drawn.to(parameter) / parameter[0].numel() ** 0.5)


def _zeros(grads: dict[str, Tensor]) -> int:
    return sum(int((grad == 0).sum()) for grad in grads.values())


def _distinct_rows(grad: Tensor) -> int:
    rows = grad.flatten(1).double()
    size = rows.abs().max()
    if size == 0:
        return 0
    return len(torch.unique((rows / size * 1e5).round(), dim=0))
