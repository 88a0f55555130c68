"""The record of a sweep, sweep.json: its jobs, how each ended, and where its run is."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.files import is_held, locked, write_json
from src.reporting import shape
from src.reporting.shape import read_record

MANIFEST = "sweep.json"


@dataclass
class Job:
    """One job of a sweep.

    Args:
        index: its place in the sweep, from 0.
        name: what it varies.
        varied: the overrides that it does not share with all others.
        overrides: what the command line says of it.
        fingerprint: digest of its composed config.
        status: waiting, running, finished, failed, killed or interrupted.
        reason: why it did not finish, or what else is to be said.
        folder: its run folder, relative to the sweep's.
        objective: its best validation loss.
        duration_s: seconds from start to end.
        started: when it was last started, seconds since the epoch.
        attempts: how often it was started.
        pid: the process it was last started in.
    """

    index: int
    name: str
    varied: list[str]
    overrides: list[str]
    fingerprint: str
    status: str = "waiting"
    reason: str | None = None
    folder: str | None = None
    objective: float | None = None
    duration_s: float | None = None
    started: float | None = None
    attempts: int = 0
    pid: int | None = None


@dataclass
class Plan:
    """A sweep: what was asked for, and its jobs.

    Args:
        command: the overrides as typed.
        asked: what makes it this sweep: its jobs' names; of a search, what is searched.
        fingerprint: digest of all that its results depend on.
        config: the first job's composed config, to say later what changed.
        total: how many jobs there will be.
        jobs: all jobs known so far; a search adds to them.
    """

    command: list[str]
    asked: list[str]
    fingerprint: str
    config: dict[str, Any]
    total: int
    jobs: list[Job] = field(default_factory=list)


class Manifest:
    """sweep.json in a sweep folder: read by anyone, changed by one process at a time.

    Args:
        folder: the sweep's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / MANIFEST

    @classmethod
    def create(cls, folder: Path, plan: Plan) -> "Manifest":
        """Write a new sweep's manifest."""
        manifest = cls(folder)
        manifest._write(plan)
        return manifest

    def read(self) -> Plan:
        """Return what the manifest says now.

        Raises:
            ValueError: there is none, or it cannot be read.
        """
        try:
            plain = read_record(self.file, shape.MANIFEST)
            return Plan(**{**plain, "jobs": [Job(**job) for job in plain["jobs"]]})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.file} is not a sweep's manifest: {error}") from None

    def update(self, index: int, **changes: Any) -> Plan:
        """Change fields of one job; return the whole plan."""
        with self._locked():
            plan = self.read()
            for name, value in changes.items():
                setattr(plan.jobs[index], name, value)
            self._write(plan)
        return plan

    def start(self, index: int) -> None:
        """Record that a job starts."""
        attempts = self.read().jobs[index].attempts + 1
        fresh = {"reason": None, "objective": None, "duration_s": None}
        begun = {"started": time.time(), "attempts": attempts, "pid": os.getpid()}
        self.update(index, status="running", **begun, **fresh)

    def end(self, index: int, status: str, **changes: Any) -> Plan:
        """Record how a job ended."""
        started = self.read().jobs[index].started or time.time()
        duration = round(time.time() - started, 2)
        return self.update(index, status=status, duration_s=duration, **changes)

    def add(self, job: Job) -> None:
        """Append a job: a search knows its jobs only batch by batch."""
        with self._locked():
            plan = self.read()
            plan.jobs.append(job)
            self._write(plan)

    def expect(self, total: int) -> None:
        """Record how many jobs there will be; a search may be given more trials."""
        with self._locked():
            plan = self.read()
            plan.total = total
            self._write(plan)

    def interrupt(self, reason: str) -> None:
        """Record that the jobs whose process is gone were cut short."""
        for job in self.read().jobs:
            # What a pool's end kills takes a moment to be gone.
            deadline = time.monotonic() + 2
            while job.status == "running" and time.monotonic() < deadline:
                if not self.is_alive(job.index):
                    self.end(job.index, "interrupted", reason=reason)
                    break
                time.sleep(0.05)

    def adopt(self) -> AbstractContextManager[None]:
        """Hold the sweep for this process.

        Raises:
            BlockingIOError: another process runs it.
        """
        return locked(self._lock("sweep"), wait=False)

    def own(self, index: int) -> AbstractContextManager[None]:
        """Hold one job for this process."""
        return locked(self._lock(f"job-{index}"))

    def is_alive(self, index: int) -> bool:
        """Say whether a process works on the job."""
        return is_held(self._lock(f"job-{index}"))

    def _lock(self, name: str) -> Path:
        (self.folder / ".locks").mkdir(exist_ok=True)
        return self.folder / ".locks" / name

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._lock("manifest"))

    def _write(self, plan: Plan) -> None:
        write_json(self.file, plan)


def find_sweep(parent: Path, asked: Sequence[str], fingerprint: str) -> Manifest:
    """Return the latest sweep below `parent` that was asked for in these words.

    Args:
        parent: the folder of all sweeps.
        asked: as in `Plan`.
        fingerprint: as in `Plan`; a sweep that has the same one comes before a later one.

    Raises:
        ValueError: there is none.
    """
    same = []
    for file in sorted(parent.glob(f"*/{MANIFEST}"), reverse=True):
        manifest = Manifest(file.parent)
        try:
            plan = manifest.read()
        except ValueError:
            continue  # damaged, or of another version: none to go on with
        if plan.asked == list(asked):
            if plan.fingerprint == fingerprint:
                return manifest
            same.append(manifest)
    if not same:
        raise ValueError(f"nothing to resume: no sweep in {parent} has these jobs")
    return same[0]


def difference(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """Say which keys of two configs differ, with their values.

    >>> difference({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b: 1 -> 3']
    """
    changes = []
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes += difference(old, new, f"{path}{key}.")
        elif old != new:
            changes.append(f"{path}{key}: {old} -> {new}")
    return changes
