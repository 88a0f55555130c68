"""A diagnosis for other programs: SARIF for code hosts, and the findings that are known already."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .causes import CAUSES

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(diagnosis: Mapping[str, Any], known: Collection[str] = ()) -> dict[str, Any]:
    """Return a diagnosis in the Static Analysis Results Interchange Format, version 2.1.0.

    Causes are rules, modules and parameters are logical locations. A confirmed alarm is an error,
    one that was not put to the test a warning, what is benign a note.

    Args:
        diagnosis: As plain values.
        known: Identifiers of findings that a baseline holds.
    """
    rules = [
        {"id": name, "shortDescription": {"text": cause.meaning}} for name, cause in CAUSES.items()
    ]
    results = [_result(finding, known) for finding in diagnosis["findings"]]
    tool = {"driver": {"name": "whygrad", "rules": rules}}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": tool, "results": results}]}


def _result(finding: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    place = finding["parameter"] or finding["module"] or "model"
    level = "error" if finding["confirmed"] else "warning"
    meaning = CAUSES[finding["cause"]].meaning
    return {
        "ruleId": finding["cause"],
        "level": "note" if finding["benign"] else level,
        "message": {"text": f"{meaning}, at {place}. {finding['remedy']}".strip()},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": place, "kind": "member"}]}],
        "partialFingerprints": {"whygrad/v1": identity(finding)},
        "baselineState": "unchanged" if identity(finding) in known else "new",
        "properties": {"fraction": finding["fraction"], "evidence": finding["evidence"]},
    }


def read_baseline(path: Path) -> frozenset[str]:
    """Return the identifiers of known findings.

    Args:
        path: A file that `write_baseline` made.

    Raises:
        ValueError: It is none.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["known"]
        if not all(isinstance(name, str) for name in known):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path}: expected a baseline, {{"known": ["cause@place", ...]}}'
        ) from error
    return frozenset(known)


def write_baseline(path: Path, diagnosis: Mapping[str, Any]) -> None:
    """Write the identifiers of all alarms, so that only new ones are told from now on."""
    path.write_text(json.dumps({"known": sorted(alarms(diagnosis))}, indent=1) + "\n", "utf-8")


def alarms(diagnosis: Mapping[str, Any], known: Collection[str] = ()) -> list[str]:
    """Return the identifiers of the findings to act on that are not known."""
    found = [identity(finding) for finding in diagnosis["findings"] if not finding["benign"]]
    return [name for name in found if name not in known]


def identity(finding: Mapping[str, Any]) -> str:
    """Return what stays the same of a finding from one diagnosis to the next: `cause@place`."""
    return f"{finding['cause']}@{finding['parameter'] or finding['module'] or 'model'}"
