"""Causes that sit in time: a mask that hides the real steps."""

from collections.abc import Mapping

from src.diagnostics.findings import Finding
from src.diagnostics.record import MaskRecord, Record

INVERTED = 0.5
"""Share of real steps hidden, and of padding shown, from which on a mask is upside down."""
PADDING_SHARE = 1 - 1e-6
"""Share of the gradient that goes to padding, from which on the real steps are masked: they get
nothing, whereas a normalisation merely magnifies the gradient of padding, a vector of zeros."""


def find_masked(record: Record) -> list[Finding]:
    """Find masks that hide real steps and show padding, and gradients that go to padding alone."""
    inverted = [mask for mask in record.masks if _inverted(mask)]
    if inverted:
        mask = inverted[0]
        hidden = sum(mask.real_hidden) / len(mask.real_hidden)
        evidence = {
            "real_steps_hidden": hidden,
            "padding_hidden": sum(mask.padding_hidden) / len(mask.padding_hidden),
            "function": mask.function,
            "masks": len(inverted),
        }
        return [_finding(mask.caller, hidden, evidence)]
    flow = record.padding_flow
    share = sum(flow) / len(flow) if flow else 0.0
    if share >= PADDING_SHARE:
        first = next((m.name for m in record.called if m.from_data), "")
        return [_finding(first, share, {"gradient_to_padding": share})]
    return []


def _inverted(mask: MaskRecord) -> bool:
    real = sum(mask.real_hidden) / len(mask.real_hidden)
    padding = sum(mask.padding_hidden) / len(mask.padding_hidden)
    return real > INVERTED and padding < 1 - INVERTED


def _finding(module: str, share: float, evidence: Mapping[str, object]) -> Finding:
    return Finding(
        cause="masked",
        module=module,
        fraction=share,
        evidence=evidence,
        remedy="Invert the mask: key_padding_mask is True where a step is to be ignored.",
    )
