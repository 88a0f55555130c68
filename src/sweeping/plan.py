"""What a multirun is going to do: every job composed, checked and named before the first starts.

Its manifest is a new one, or that of the sweep it resumes.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from src.config.compose import check_override, compose_job
from src.config.overrides import first_values, is_hydra, line, parse
from src.files import files_at
from src.sweeping.blocks import Wanted, chosen_blocks, factorial, union
from src.sweeping.composing import compose_jobs, digest_of, naming
from src.sweeping.manifest import Job, Manifest, Plan, difference, find_sweep


@dataclass
class Sweep:
    """A multirun before it starts.

    Args:
        plan: what its manifest will say.
        configs: the composed config of every job, one for those that differ in the seed only, with
            the seed of the first of them; of a search, of the first job.
        settings: the first job's config with Hydra's part, for what is the same in all jobs.
        hydra: the overrides of Hydra itself.
        overrides: what the sweeper is given: what all blocks have in common.
        swept: the keys with several values.
        how: the `sweep.key=value` items, which change no job.
        is_search: whether a sweeper decides on later jobs from the results of earlier ones.
    """

    plan: Plan
    configs: list[DictConfig]
    settings: DictConfig
    hydra: list[str]
    overrides: list[str]
    swept: list[str]
    how: list[str]
    is_search: bool


def plan_sweep(config_name: str, command: Sequence[str]) -> Sweep:
    """Compose every job that a command line asks for.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        command: the overrides as typed, Hydra's own included.

    Raises:
        ValueError: a job cannot be; the line says which and why.
    """
    try:
        typed = parse(command)
        hydra = [line(o) for o in typed if is_hydra(o)]
        own = [o for o in typed if not is_hydra(o)]
        how = [line(o) for o in own if _is_setting(o)]
        with naming([], first_values([o for o in own if o.is_sweep_override()])):
            first = compose_job(config_name, [*hydra, *first_values(own)])
        params = parse([f"{k}={v}" for k, v in (first.hydra.sweeper.params or {}).items()])
        for override in [*params, *own]:
            check_override(override)
            if override in params and is_hydra(override):
                raise ValueError(f"hydra.sweeper.params: {line(override)} is one for all jobs")
        typed = [o for o in own if not _is_setting(o)]
        overrides = parse([line(o) for o in [*params, *typed]])
        is_search = "BasicSweeper" not in first.hydra.sweeper._target_
        blocks = chosen_blocks(first.sweep)
        if is_search and blocks:
            raise ValueError("sweep.blocks lists jobs, a search draws its own: choose one of them")
        if is_search:
            wanted = [Wanted(first_values(overrides), set())]
        else:
            wanted = _listed(blocks, params, typed, first.sweep.zip)
    except HydraException as error:
        raise ValueError(str(error)) from None
    common = [*hydra, *how]
    settings = compose_job(config_name, [*common, *wanted[0].overrides])
    configs, values = compose_jobs(config_name, common, [job.overrides for job in wanted])
    swept = [o for o in overrides if o.is_sweep_override()]
    if is_search:
        plan = _plan_search(command, settings, values[0], swept)
    else:
        plan, kept = _plan_jobs(command, wanted, values, unique=bool(blocks))
        configs = [configs[i] for i in kept]
    keys = [o.key_or_group for o in swept]
    lines = [line(o) for o in overrides]
    return Sweep(plan, configs, settings, hydra, lines, keys, how, is_search)


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


def new_job(index: int, overrides: Sequence[str], swept: Collection[str], digest: str) -> Job:
    """Return a job that waits, named by what it varies.

    >>> new_job(0, ["pooling=mean", "seed=1", "trainer.max_epochs=2"], ["pooling", "seed"], "").name
    'pooling=mean seed=1'
    """
    varied = [o for o in overrides if o.lstrip("+").split("=")[0].split("@")[0] in swept]
    return Job(index, " ".join(varied) or "the only job", varied, list(overrides), digest)


def content_of(file: Path) -> str:
    """Return a digest of what a file holds."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def fingerprint(values: Mapping[str, Any], content: Callable[[Path], str] = content_of) -> str:
    """Return a digest of what a job's result depends on, the files of its prices included.

    Args:
        values: as of `plain`.
        content: as `content_of`.
    """
    data = values.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    contents = [content(file) for file in (files_at(path) if path else ()) if file.is_file()]
    return digest_of([values, *contents] if contents else values)


def _listed(
    blocks: Mapping[str, Sequence[Override]],
    params: Sequence[Override],
    typed: Sequence[Override],
    zipped: bool | ListConfig,
) -> list[Wanted]:
    """Return the jobs of a multirun that is no search: one factorial, or the blocks' union."""
    paired = zipped if isinstance(zipped, bool) else list(zipped)
    if blocks:
        return union(blocks, params, typed, paired)
    return factorial([], params, typed, paired)


def _plan_jobs(
    command: Sequence[str],
    wanted: Sequence[Wanted],
    values: Sequence[dict[str, Any]],
    unique: bool,
) -> tuple[Plan, list[int]]:
    """Return the plan and which jobs are in it: where `unique`, of equal ones only the first."""
    content = cache(content_of)  # of a file that all jobs share, once
    digests = [fingerprint(job, content) for job in values]
    kept = [i for i, digest in enumerate(digests) if not unique or digests.index(digest) == i]
    jobs = [
        new_job(index, wanted[i].overrides, wanted[i].varied, digests[i])
        for index, i in enumerate(kept)
    ]
    whole = digest_of([job.fingerprint for job in jobs])
    names = [job.name for job in jobs]
    return Plan(list(command), names, whole, values[0], len(jobs), jobs), kept


def _plan_search(
    command: Sequence[str],
    settings: DictConfig,
    first: dict[str, Any],
    space: Sequence[Override],
) -> Plan:
    asked = [line(override) for override in space]
    sampling = OmegaConf.to_container(settings.hydra.sweeper.get("sampler", {}), resolve=True)
    whole = digest_of([fingerprint(first), sampling])
    trials = settings.hydra.sweeper.get("n_trials", 0)
    return Plan(list(command), asked, whole, first, trials)


def _is_setting(override: Override) -> bool:
    """Say whether an override tells how the sweep goes, and refuse several values for that."""
    if not override.key_or_group.startswith("sweep."):
        return False
    if override.is_sweep_override():
        raise ValueError(f"{override.key_or_group} has several values; it is one for all jobs")
    return True


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
