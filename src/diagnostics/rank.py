"""Order findings: the root cause first, and its consequences below it or not at all."""

from collections.abc import Sequence

from .causes import CAUSES, Standing
from .findings import Finding


def rank(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Drop refuted and explained findings and sort the rest, root cause first.

    Args:
        findings: Findings after their proof.

    Returns:
        Alarms by rank; benign findings last.
    """
    kept = [finding for finding in findings if finding.confirmed is not False]
    alarms = sorted((f for f in kept if not f.benign), key=lambda f: _standing(f).rank)
    roots: list[Finding] = []
    for finding in alarms:
        if not any(_standing(root).brings_about(_standing(finding)) for root in roots):
            roots.append(finding)
    known = [root for root in roots if not CAUSES[root.cause].leftover]
    roots = known or roots
    benign = sorted((f for f in kept if f.benign), key=lambda f: CAUSES[f.cause].rank)
    return (*roots, *benign)


def _standing(finding: Finding) -> Standing:
    return CAUSES[finding.cause].standing(finding)
