"""The manifest a multirun begins with: a new one, or that of the sweep it resumes."""

import time
from pathlib import Path

from src.sweeping.manifest import Manifest, Plan, difference, find_sweep
from src.sweeping.plan import Sweep


def open_manifest(asked: Sweep) -> Manifest:
    """Return a new sweep's manifest, or the one to resume if it is of the same jobs.

    Raises:
        ValueError: there is nothing to resume, or it is another sweep now.
    """
    resume, folder = asked.settings.sweep.resume, Path(asked.settings.hydra.sweep.dir)
    if not resume:
        return Manifest.create(_new_folder(folder), asked.plan)
    if resume is True:
        manifest = find_sweep(folder.parent, asked.plan.asked, asked.plan.fingerprint)
    else:
        manifest = Manifest(Path(resume))
    before = manifest.read()
    if before.asked != asked.plan.asked:
        jobs = f"{len(before.asked)} then, {len(asked.plan.asked)} now"
        raise ValueError(f"cannot resume {manifest.folder}: it has other jobs ({jobs})")
    if before.fingerprint != asked.plan.fingerprint:
        changes = difference(before.config, asked.plan.config) or _changed_jobs(before, asked.plan)
        raise ValueError(f"cannot resume {manifest.folder}: the config changed: {changes[0]}")
    _wait_for_orphans(manifest)
    manifest.expect(asked.plan.total)
    return manifest


def _wait_for_orphans(manifest: Manifest) -> None:
    """Let the jobs of a killed sweep end: most notice soon that nobody waits for them.

    Raises:
        ValueError: one goes on, as submitit's do.
    """
    deadline = time.monotonic() + 20
    while alive := [job for job in manifest.read().jobs if manifest.is_alive(job.index)]:
        if time.monotonic() > deadline:
            facts = f"{alive[0].name} still runs, in process {alive[0].pid}"
            raise ValueError(f"cannot resume {manifest.folder} yet: {facts}")
        time.sleep(0.2)


def _changed_jobs(before: Plan, now: Plan) -> list[str]:
    """Say which jobs changed, where the first job's config is the same."""
    pairs = zip(before.jobs, now.jobs, strict=False)
    changed = [a.name for a, b in pairs if a.fingerprint != b.fingerprint]
    return changed or ["what the search draws from"]


def _new_folder(folder: Path) -> Path:
    """Make the folder, with a number if another sweep started in the same second."""
    number = 0
    while True:
        path = folder.with_name(f"{folder.name}-{number}") if number else folder
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
