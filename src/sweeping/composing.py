"""The configs of a multirun's jobs, composed no more often than they differ."""

import copy
import re
from collections.abc import Sequence

from omegaconf import DictConfig

from src.config.compose import compose_job, own_part

# `seed` is a plain key of conf/train.yaml: nothing but its value depends on it until the config is
# resolved. A test compares with jobs composed alone.
_SEED = re.compile(r"seed=(0|[1-9]\d*)")


def compose_jobs(
    config_name: str, common: Sequence[str], jobs: Sequence[Sequence[str]]
) -> list[DictConfig]:
    """Return every job's own config, composed and checked; jobs that differ in seed share the work.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        common: the overrides of all jobs, Hydra's own included.
        jobs: each job's overrides.

    Raises:
        ValueError: a job cannot be; the line says which and why.
    """
    known: dict[tuple[str, ...], DictConfig] = {}
    configs = []
    for job in jobs:
        seeds = [int(match[1]) for item in job if (match := _SEED.fullmatch(item))]
        key = tuple("seed" if _SEED.fullmatch(item) else item for item in job)
        if key not in known:
            known[key] = own_part(compose_job(config_name, [*common, *job]))
        config = known[key]
        if seeds and config.seed != seeds[-1]:
            config = copy.deepcopy(config)
            config.seed = seeds[-1]
        configs.append(config)
    return configs
