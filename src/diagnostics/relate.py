"""Order candidate causes: the root first, and its consequences below it or not at all."""

from collections.abc import Mapping, Sequence

from src.diagnostics.findings import MEANING, Finding
from src.diagnostics.rules.units import NO_GRADIENT, SILENCED

RANK = {cause: rank for rank, cause in enumerate(MEANING)}
"""Root causes come first in `MEANING`."""

WEIGHTS = frozenset({"zero_init", "symmetric_init", "large_init"})
CUT_OFF = "dead_unit without a cause of its own"
CUT_ROWS = "dead_unit whose layer hears from the loss: nothing else explains it"
BROKEN = "nonfinite that arose inside of the model"
UNITS = frozenset({"dead_unit", "saturated", CUT_OFF})
FLOW = frozenset({"vanishing", "exploding"})
RATES = frozenset({"learning_rate_too_high", "learning_rate_too_low"})
LOOP_ONLY = frozenset({"scaler_collapse", "not_optimized", "frozen", "unused", "masked"})
EVERYTHING = (frozenset(MEANING) | {CUT_OFF, BROKEN}) - LOOP_ONLY

EXPLAINS: Mapping[str, frozenset[str]] = {
    "nonfinite": EVERYTHING - {"nonfinite"},
    BROKEN: EVERYTHING - {BROKEN},
    "masked": UNITS | FLOW | {"nonfinite", BROKEN},
    "underflow": UNITS | FLOW | RATES,
    "degenerate_target": UNITS | FLOW | RATES | {"misscaled_target"},
    "loss_mismatch": UNITS | FLOW | RATES | {"unreachable_target"},
    "unreachable_target": UNITS | FLOW | RATES,
    "misscaled_target": UNITS | FLOW | RATES | {BROKEN, "overclipped", "large_init"},
    "misscaled_input": UNITS | FLOW | RATES | {BROKEN, "large_init"},
    "learning_rate_too_high": UNITS | FLOW | WEIGHTS | {BROKEN, "accumulating"},
    "accumulating": UNITS | FLOW | WEIGHTS | {BROKEN},
    "zero_init": UNITS | FLOW | RATES | {"symmetric_init"},
    "symmetric_init": UNITS | FLOW | {"large_init"},
    "large_init": UNITS | FLOW | {BROKEN, "learning_rate_too_low"},
    "dead_unit": FLOW | {"learning_rate_too_low", CUT_OFF},
    "saturated": FLOW | {"large_init", "learning_rate_too_low", CUT_OFF},
    "exploding": frozenset({"learning_rate_too_low", "vanishing"}),
    "vanishing": UNITS | {"learning_rate_too_low"},
    "overclipped": frozenset({"learning_rate_too_low"}),
    "unused": frozenset({"dead_unit"}),
}
"""Cause -> what it brings about by itself, and what is therefore no finding of its own."""


def relate(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Drop refuted and explained candidates and sort the rest, root cause first.

    Args:
        findings: Candidates after their proof.

    Returns:
        Alarms by rank, then by fraction; benign findings last.
    """
    kept = [f for f in findings if f.confirmed is not False]
    alarms = sorted((f for f in kept if not f.benign), key=_rank)
    roots: list[Finding] = []
    for finding in alarms:
        if not any(_kind(finding) in EXPLAINS.get(_kind(root), ()) for root in roots):
            roots.append(finding)
    benign = sorted((f for f in kept if f.benign), key=lambda f: RANK[f.cause])
    return (*roots, *benign)


def _kind(finding: Finding) -> str:
    """Return the cause, or the weaker form of it in which something else may be the root."""
    if finding.cause == "nonfinite" and not finding.evidence.get("from_data"):
        return BROKEN
    by_reason = {NO_GRADIENT: CUT_OFF, SILENCED: CUT_ROWS}
    return by_reason.get(str(finding.evidence.get("why")), finding.cause)


def _rank(finding: Finding) -> float:
    kind = _kind(finding)
    after = {BROKEN: "large_init", CUT_OFF: "vanishing", CUT_ROWS: "large_init"}.get(kind)
    return RANK[after] + 0.5 if after else RANK[kind]
