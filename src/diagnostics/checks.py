"""What was looked at: each cause found, ruled out, or not to be looked for, and why."""

from collections.abc import Collection, Iterator, Mapping

from .causes import CAUSES, Cause
from .findings import Check, Finding
from .symptoms.symptoms import Symptoms


def list_checks(
    symptoms: Symptoms,
    proved: Collection[Finding],
    told: Collection[Finding],
    failures: Mapping[str, str],
) -> tuple[Check, ...]:
    """Say of every cause what came of looking for it.

    Args:
        symptoms: Of the replay.
        proved: All candidates after their proof.
        told: Those that became findings.
        failures: Cause -> why it could not be looked for.

    Returns:
        One check for each cause, roots before consequences.
    """
    checks = []
    for cause in CAUSES.values():
        own = [finding for finding in proved if finding.cause == cause.name]
        outcome, why = _outcome(own, told)
        if not own and (missing := failures.get(cause.name) or _missing(cause, symptoms)):
            outcome, why = "not applicable", missing
        checks.append(Check(cause=cause.name, outcome=outcome, why=why))
    return tuple(checks)


def _outcome(own: Collection[Finding], told: Collection[Finding]) -> tuple[str, str]:
    roots = {finding.id: finding.cause for finding in told if not finding.benign}
    benign = {finding.id for finding in told if finding.benign}
    shown = [finding for finding in own if finding.id in roots]
    if shown:
        return "failed", f"at {_places(shown)}"
    refuted = [finding for finding in own if finding.confirmed is False]
    if refuted:
        return "passed", f"suspected at {_places(refuted)}, and refuted by an intervention"
    explained = [finding for finding in own if finding.id not in benign and not finding.benign]
    if explained:
        return (
            "failed",
            f"at {_places(explained)}, as comes of {', '.join(dict.fromkeys(roots.values()))}",
        )
    return "passed", f"at {_places(own)}, where there is nothing to repair" if own else ""


def _places(findings: Collection[Finding]) -> str:
    names = list(dict.fromkeys(finding.location for finding in findings))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _missing(cause: Cause, symptoms: Symptoms) -> str:
    return next((missing for need in cause.needs if (missing := need(symptoms))), "")


def summary(checks: Collection[Check]) -> Iterator[str]:
    """Yield one line for each outcome, with the causes and why where something is to say.

    >>> print(*summary([Check(cause="dead_input", outcome="passed")]), sep="; ")
    passed: dead_input
    """
    for outcome in ("failed", "passed", "not applicable"):
        told = [
            f"{check.cause} ({check.why})" if check.why else check.cause
            for check in checks
            if check.outcome == outcome
        ]
        if told:
            yield f"{outcome}: {', '.join(told)}"
