"""Finds run folders, and says of each whether its run ended, lives or died."""

import glob
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

REPORT = "report.json"
MANIFEST = "sweep.json"
SILENT_S = 30 * 60
_EVENTS = re.compile(r"events\.out\.tfevents\.\d+\.(?P<host>.+)\.(?P<pid>\d+)\.\d+$")

Paths = str | Path | Iterable[str | Path]


def find_reports(paths: Paths) -> list[tuple[Path, dict[str, Any]]]:
    """Return every run below the paths with what its report says, each once, in order.

    Args:
        paths: run folders, folders above them, sweep folders with a manifest, or globs of these.

    Returns:
        Run folder and report. A report that cannot be read has the status "unreadable"; a sweep's
        job without a run folder has the sweep's folder and the manifest's status and reason.

    Raises:
        ValueError: nothing matches a path.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    found: dict[Any, tuple[Path, dict[str, Any]]] = {}
    for path in paths:
        for run, report in (item for match in _matches(path) for item in _reports_of(match)):
            # A job that never got a folder of its own is known by its name in the sweep's.
            job = None if (run / REPORT).is_file() else report["run"]
            found.setdefault((run.resolve(), job), (run, report))
    return list(found.values())


def _matches(path: str | Path) -> list[Path]:
    if Path(path).exists():
        return [Path(path)]
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    if not matches:
        raise ValueError(f"no such folder: {path}")
    return matches


def _reports_of(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if folder.name == REPORT:
        folder = folder.parent
    if (folder / REPORT).is_file():
        yield folder, _read(folder)
    elif (folder / MANIFEST).is_file():
        yield from _jobs(folder)
    else:
        for file in sorted(folder.rglob(REPORT)):
            yield file.parent, _read(file.parent)


def _jobs(sweep: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Follow a sweep's manifest to the runs of its jobs."""
    try:
        jobs = json.loads((sweep / MANIFEST).read_text())["jobs"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{sweep / MANIFEST} cannot be read: {error}") from None
    for job in jobs:
        ended = {key: job.get(key) for key in ("status", "reason")}
        run = Path(os.path.normpath(sweep / job["folder"])) if job.get("folder") else None
        if run is None or not (run / REPORT).is_file():
            yield sweep, {"run": job.get("name"), "experiment": sweep.name} | ended
            continue
        report = _read(run)
        # Who was killed cannot write it down; the sweep can.
        is_open = report["status"] in ("running", "dead") and ended["status"] != "running"
        yield run, report | ended if is_open else report


def _read(run: Path) -> dict[str, Any]:
    name = {"run": run.name, "experiment": run.parent.name}
    try:
        report = json.loads((run / REPORT).read_text())
    except (OSError, ValueError) as error:
        return name | {"status": "unreadable", "reason": f"{REPORT}: {error}"}
    if not isinstance(report, Mapping):
        return name | {"status": "unreadable", "reason": f"{REPORT} holds no report"}
    report = name | dict(report)
    if report.get("status") == "running":
        reason = death(run)
        report |= {"status": "dead", "reason": reason} if reason else {}
    return report


def death(run: Path, now: float | None = None) -> str | None:
    """Say what shows that a run which calls itself running is dead; None if it may be alive.

    Args:
        run: the run folder.
        now: seconds since the epoch; None for the present.
    """
    files = [file for file in run.rglob("*") if file.is_file()]
    for match in filter(None, (_EVENTS.search(file.name) for file in files)):
        if match["host"] == socket.gethostname() and not _is_process(int(match["pid"])):
            return f"its process {match['pid']} is gone"
    silent = (now or time.time()) - max(file.stat().st_mtime for file in files)
    return f"nothing written for {silent / 3600:.1f} h" if silent > SILENT_S else None


def _is_process(pid: int) -> bool:
    """Say whether a process lives; where asking might end it, say yes."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
