"""Causes that sit in the number format: NaN, infinity, and gradients too small to be held."""

import torch

from src.diagnostics.findings import Finding
from src.diagnostics.record import ModuleRecord, Record

SCATTERED = 0.1
"""Share of zero gradient entries, in half precision, from which on underflow is suspected."""


def find_nonfinite(record: Record) -> list[Finding]:
    """Find the earliest NaN or infinity: a weight, an input of a module, or an output."""
    for parameter in record.parameters.values():
        bad = ~torch.isfinite(parameter.weight.detach())
        if bad.any():
            return [
                Finding(
                    cause="nonfinite",
                    module=parameter.module,
                    parameter=parameter.name,
                    fraction=float(bad.double().mean()),
                    evidence={"where": "parameter", "entries": int(bad.sum())},
                    remedy="Go back to an earlier checkpoint and lower the learning rate"
                    " (optimizer.lr=...).",
                )
            ]
    for module in record.called:
        finding = _first_nonfinite(record, module)
        if finding is not None:
            return [finding]
    if not torch.isfinite(torch.tensor(record.loss_values)).all():
        remedy = "Check the targets and the loss for NaN, division by zero and overflow."
        return [Finding(cause="nonfinite", evidence={"where": "loss"}, remedy=remedy, fraction=1.0)]
    return []


def _first_nonfinite(record: Record, module: ModuleRecord) -> Finding | None:
    for side, bad in (("input", module.bad_input), ("output", module.bad_output)):
        if bad is None:
            continue
        if side == "input" and not record.own(module.name):
            return None
        columns = torch.nonzero(bad).flatten().tolist()
        weight = record.weight(module.name)
        return Finding(
            cause="nonfinite",
            module=module.name,
            parameter=weight.name if weight else None,
            fraction=len(columns) / len(bad),
            indices=record.name_features(columns, len(bad)),
            evidence={
                "where": side,
                "from_data": module.from_data and side == "input",
                "entries": int(bad.sum()),
                "columns": columns,
            },
            remedy="Remove or fill the non-finite values in these features before training."
            if module.from_data
            else "Look for a division, a logarithm or an overflow in the module before this one.",
        )
    return None


def find_underflow(record: Record) -> list[Finding]:
    """Suspect underflow where half precision comes with many zero gradient entries."""
    total = sum(p.weight.numel() for p in record.parameters.values() if p.grads)
    zeros = sum(int(p.is_zero.sum()) for p in record.parameters.values() if p.is_zero is not None)
    half = record.half or str(record.context.precision or "").startswith("16")
    if not total or not half or zeros < SCATTERED * total:
        return []
    worst = max((p for p in record.parameters.values() if p.grads), key=lambda p: p.zero_fraction)
    return [
        Finding(
            cause="underflow",
            module="",
            parameter=None,
            fraction=zeros / total,
            evidence={"zero_entries": zeros, "entries": total, "worst_parameter": worst.name},
            remedy="Use trainer.precision=bf16-mixed, or 16-mixed with its gradient scaler.",
        )
    ]
