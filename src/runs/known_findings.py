"""Findings of a diagnosis against those that are known, for a check that runs again and again."""

from pathlib import Path
from typing import Any

from src.diagnostics.output import alarms, identity, read_baseline, to_sarif, write_baseline
from src.files import write_json

FRESH = "conf/diagnose.yaml"
"""Where the parts of a fresh model are named."""


def without_known(
    result: dict[str, Any], baseline: str | None = None, sarif: str | None = None
) -> dict[str, Any]:
    """Take the findings that a baseline holds out of a result, and write what was asked for.

    Args:
        result: holds the `diagnosis` as plain values.
        baseline: file of known findings; where there is none, all present ones are written to it.
        sarif: file to write the findings to.

    Returns:
        The result with the new findings, and the identifiers of the `known` ones.

    Raises:
        ValueError: the baseline is none.
        OSError: a file cannot be written.
    """
    diagnosis, path = result["diagnosis"], Path(baseline) if baseline else None
    known = read_baseline(path) if path and path.exists() else frozenset[str]()
    if sarif:
        write_json(Path(sarif), to_sarif(diagnosis, known, _source(str(result.get("subject", "")))))
    if path and not path.exists():
        write_baseline(path, diagnosis)
    findings = [f for f in diagnosis["findings"] if f["benign"] or identity(f) not in known]
    repeated = sorted(known.intersection(alarms(diagnosis)))
    return {**result, "diagnosis": {**diagnosis, "findings": findings}, "known": repeated}


def _source(subject: str) -> str:
    """Return the file that stands for a run, or for a fresh model, in the repository."""
    path = Path(subject).resolve()
    if not subject or not path.exists() or not path.is_relative_to(Path.cwd()):
        return FRESH
    return (path / "report.json" if path.is_dir() else path).relative_to(Path.cwd()).as_posix()
