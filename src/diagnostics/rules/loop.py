"""Causes that sit in the training loop: scaling, clipping, clearing."""

from itertools import pairwise
from statistics import median

from src.diagnostics.findings import Finding
from src.diagnostics.record import Record

OVERCLIPPED = 1e-3
"""Clipping threshold over gradient norm, below which clipping leaves nothing."""
ACCUMULATED = 4.0
"""Gradient found on entry over a fresh one, from which on it was never cleared."""
COLLAPSED = 1.0
"""A gradient scaler starts at 65,536 and has collapsed below 1."""


def find_scaler_collapse(record: Record) -> list[Finding]:
    """Find a gradient scaler that keeps halving."""
    scales = [float(scale) for scale in record.context.loss_scales or ()]
    now = record.context.loss_scale if record.context.loss_scale is not None else None
    now = scales[-1] if now is None and scales else now
    halvings = sum(later < earlier for earlier, later in pairwise(scales))
    falling = halvings >= 4 and halvings >= 0.5 * (len(scales) - 1)
    if now is None or not (now < COLLAPSED or falling):
        return []
    return [
        Finding(
            cause="scaler_collapse",
            fraction=1.0,
            evidence={"loss_scale": now, "halvings": halvings},
            remedy="Find what overflows in half precision, or use trainer.precision=bf16-mixed.",
        )
    ]


def find_overclipped(record: Record) -> list[Finding]:
    """Find clipping thresholds a thousand times below the gradient they clip."""
    context = record.context
    norms = sorted(record.grad_norms)
    norm = norms[len(norms) // 2] if norms else 0.0
    largest = max(
        (float(g.abs().max()) for p in record.parameters.values() for g in p.grads), default=0
    )
    found = [
        (clip, size)
        for clip, size in ((context.clip_norm, norm), (context.clip_value, largest))
        if clip is not None and clip > 0 and clip < OVERCLIPPED * size
    ]
    if not found:
        return []
    clip, size = found[0]
    return [
        Finding(
            cause="overclipped",
            fraction=1 - clip / size,
            evidence={"clip": clip, "gradient": size, "left": clip / size},
            remedy="Raise the threshold to the usual gradient norm: trainer.gradient_clip_val=1.0.",
        )
    ]


def find_accumulating(record: Record) -> list[Finding]:
    """Find gradients on entry several times larger than those of one pass over these batches.

    It takes half of the parameters: what no batch reaches any more keeps its old gradient, while
    fresh ones may have grown as large as the sum. Parameters in no optimiser group do not count:
    nobody clears them.
    """
    on_purpose = record.context.accumulate_grad_batches or 1
    pairs = {
        p.name: (float(p.entry.double().norm()), p.norm * on_purpose)
        for p in record.parameters.values()
        if p.entry is not None and p.entry.any() and p.grads and p.optimized is not False
    }
    ratio = median(relative_entry(*pair) for pair in pairs.values()) if pairs else 0.0
    if not ratio >= ACCUMULATED:
        return []
    return [
        Finding(
            cause="accumulating",
            fraction=1 - 1 / ratio,
            evidence={
                "gradient_on_entry": sum(entry for entry, _ in pairs.values()),
                "fresh_gradient": sum(fresh for _, fresh in pairs.values()),
                "ratio": ratio,
            },
            remedy="Call optimizer.zero_grad() before every backward pass.",
        )
    ]


def relative_entry(entry: float, fresh: float) -> float:
    """Return the norm of a gradient on entry over that of a fresh one.

    >>> relative_entry(6.0, 2.0), relative_entry(1.0, 0.0)
    (3.0, inf)
    """
    return entry / fresh if fresh else float("inf")
