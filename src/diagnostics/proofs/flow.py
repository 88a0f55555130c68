"""Interventions on the flow between layers and steps: straighten slopes, forget early steps."""

from typing import Any

import torch
from torch import Tensor

from src.diagnostics.findings import Finding
from src.diagnostics.observe import SQUASHING
from src.diagnostics.proofs.rewrite import Rewrite
from src.diagnostics.record import Record
from src.diagnostics.rules.initial import weight_gain
from src.diagnostics.workbench import Workbench

FORGOTTEN = 1e-3
"""Relative change of the loss when forgotten steps are blanked, up to which they do not matter."""


def straighten(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Give squashing functions slope one and weights unit gain: early gradients must come back."""
    if "steps_reached" in finding.evidence:
        return forget_early_steps(bench, record, finding)
    model = bench.copy()
    with torch.no_grad():
        for parameter in model.parameters():
            gain = weight_gain(parameter) if parameter.dim() > 1 else 1.0
            parameter.div_(gain if 0 < gain < 1 else 1.0)

    def slope_one(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        if name not in SQUASHING or not isinstance(args[0], Tensor):
            return NotImplemented
        return func(args[0]).detach() + args[0] - args[0].detach()

    name = str(finding.parameter)
    before = float(bench.baseline.grads[name].double().norm())
    after = float(bench.replay(model, mode=Rewrite(slope_one)).grads[name].double().norm())
    return after > 10 * before, {"before": before, "after": after}


def forget_early_steps(bench: Workbench, record: Record, finding: Finding) -> Any:
    """Blank all steps before those reached: the loss must hardly change."""
    rnn = bench.model.get_submodule(finding.module)
    time = 1 if getattr(rnn, "batch_first", False) else 0
    kept = int(finding.evidence["steps_reached"])

    def blank(x: Tensor) -> Tensor:
        early, late = x.split([x.shape[time] - kept, kept], dim=time)
        return torch.cat([torch.zeros_like(early), late], dim=time)

    before = bench.baseline.loss
    with bench.input_changed(finding.module, blank):
        after = bench.replay().loss
    return abs(after - before) <= FORGOTTEN * abs(before), {"before": before, "after": after}
