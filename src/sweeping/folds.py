"""A walk-forward evaluation is a sweep over folds, and one run folder of what they forecast."""

from collections.abc import Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig

from src.config.compose import compose_job, own_part
from src.config.overrides import first_values, parse
from src.sweeping.manifest import Job, Manifest

FOLD = "evaluation.fold"


def with_folds(config_name: str, command: Sequence[str]) -> list[str]:
    """Return a multirun's overrides, those of a walk-forward evaluation with all its folds.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        command: the overrides as typed.

    Raises:
        ValueError: the data of the first job cannot be read.
    """
    try:
        typed = parse(command)
        first = compose_job(config_name, first_values(typed))
    except HydraException as error:
        raise ValueError(str(error)) from None
    if not walks(first) or any(o.key_or_group == FOLD for o in typed):
        return list(command)
    return [*command, f"{FOLD}={','.join(map(str, range(count_folds(own_part(first)))))}"]


def walks(config: DictConfig) -> bool:
    """Say whether a config asks for a walk-forward evaluation."""
    return "refit_every" in (config.get("evaluation") or {})


def count_folds(config: DictConfig) -> int:
    """Return how many folds there are on a config's data."""
    from src.runs.build import build_datamodule

    first = config.copy()
    first.evaluation.fold = 0
    folds = build_datamodule(first).num_folds
    assert folds is not None
    return folds


def combine_folds(manifest: Manifest, configs: Sequence[DictConfig]) -> list[dict[str, Any]]:
    """Put together the runs of each model whose folds are all finished; return their reports.

    Args:
        manifest: of the sweep, in whose folder the new run folders lie.
        configs: of each job.
    """
    from src.runs.walk_forward import combine

    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in manifest.read().jobs:
        others = tuple(o for o in job.overrides if not o.startswith(f"{FOLD}="))
        groups.setdefault(others, []).append(job)
    reports = []
    for jobs in groups.values():
        if any(job.status != "finished" or job.folder is None for job in jobs):
            continue
        in_time = sorted(jobs, key=lambda job: configs[job.index].evaluation.fold)
        folds = [manifest.folder / str(job.folder) for job in in_time]
        varied = [o for o in jobs[0].varied if not o.startswith(f"{FOLD}=")]
        reports.append(combine(folds, manifest.folder, varied))
    return reports
