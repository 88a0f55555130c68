"""A diagnosis for other programs: SARIF for code hosts, and the findings that are known already."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .causes import CAUSES
from .explain import explain

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(
    diagnosis: Mapping[str, Any], known: Collection[str] = (), source: str = "model"
) -> dict[str, Any]:
    """Return a diagnosis in the Static Analysis Results Interchange Format, version 2.1.0.

    Causes are rules, modules and parameters are logical locations; the physical one, without which
    code hosts refuse a result, is the line that a finding knows, else `source`. A confirmed alarm
    is an error, one that was not put to the test a warning, what is benign a note.

    Args:
        diagnosis: As plain values.
        known: Identifiers of findings that a baseline holds.
        source: Path of the file to show findings in, relative to the repository.
    """
    rules = [
        {
            "id": name,
            "shortDescription": {"text": cause.meaning},
            "fullDescription": {"text": f"{cause.meaning[:1].upper()}{cause.meaning[1:]}."},
            "help": {"text": explain(name)},
        }
        for name, cause in CAUSES.items()
    ]
    results = [_result(finding, known, source) for finding in diagnosis["findings"]]
    tool = {"driver": {"name": "whygrad", "rules": rules}}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": tool, "results": results}]}


def _result(finding: Mapping[str, Any], known: Collection[str], source: str) -> dict[str, Any]:
    place = finding["parameter"] or finding["module"] or "model"
    level = "error" if finding["confirmed"] else "warning"
    meaning = CAUSES[finding["cause"]].meaning
    return {
        "ruleId": finding["cause"],
        "level": "note" if finding["benign"] else level,
        "message": {"text": f"{meaning}, at {place}. {finding['remedy']}".strip()},
        "locations": [
            {
                "physicalLocation": _physical(str(finding["evidence"].get("line", "")), source),
                "logicalLocations": [{"fullyQualifiedName": place, "kind": "member"}],
            }
        ],
        "partialFingerprints": {"whygrad/v1": identity(finding)},
        "baselineState": "unchanged" if identity(finding) in known else "new",
        "properties": {"fraction": finding["fraction"], "evidence": finding["evidence"]},
    }


def _physical(line: str, source: str) -> dict[str, Any]:
    """Return file and line of a finding, which has them as `file.py:12: the code`."""
    known = re.match(r"([^:]+\.py):(\d+):", line)
    path, number = (known[1], int(known[2])) if known else (source, 1)
    return {"artifactLocation": {"uri": quote(path)}, "region": {"startLine": number}}


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
