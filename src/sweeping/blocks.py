"""A multirun that is a union of factorials: each block of `sweep.blocks` is one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from src.config.compose import suggest
from src.config.overrides import expand, line, parse


@dataclass(frozen=True)
class Wanted:
    """A job before it is composed.

    Args:
        overrides: what the command line would say of it.
        varied: the keys that tell it from the other jobs.
    """

    overrides: list[str]
    varied: set[str]


def chosen_blocks(settings: DictConfig) -> dict[str, list[Override]]:
    """Return the blocks to run, each as parsed overrides; none where the sweep has no blocks.

    A preset that builds on another leaves one of its blocks out by setting it to null.

    Args:
        settings: the config's `sweep`, with `blocks` and `only`.

    Raises:
        ValueError: a block is not from keys to values, or `only` names one that is not there.
    """
    plain: Any = OmegaConf.to_container(settings)
    blocks, only = plain["blocks"] or {}, plain["only"]
    if not isinstance(blocks, dict):
        raise ValueError(f"sweep.blocks maps names to blocks, got {blocks!r}")
    blocks = {name: block for name, block in blocks.items() if block is not None}
    names = list(blocks) if only is None else _named(only, list(blocks))
    return {name: _parsed(name, block) for name, block in blocks.items() if name in names}


def union(
    blocks: Mapping[str, Sequence[Override]],
    params: Sequence[Override],
    typed: Sequence[Override],
    zipped: bool | Sequence[str] = False,
) -> list[Wanted]:
    """Return the jobs of all blocks, block by block; two may ask for the same job.

    Args:
        blocks: as `chosen_blocks` returns them.
        params: what the blocks have in common; a block that names the same key wins.
        typed: what the command line says of all jobs; it wins over both.
        zipped: which keys are paired within each block, as in `expand`.

    Raises:
        ValueError: a block's values cannot be listed or paired.
    """
    jobs = []
    for name, block in blocks.items():
        try:
            jobs += factorial(block, params, typed, zipped)
        except (HydraException, ValueError) as error:
            raise ValueError(f"sweep.blocks.{name}: {error}") from None
    return jobs


def factorial(
    block: Sequence[Override],
    params: Sequence[Override],
    typed: Sequence[Override],
    zipped: bool | Sequence[str] = False,
) -> list[Wanted]:
    """Return the jobs of one block; arguments as in `union`.

    >>> factorial(parse(["norm=none"]), parse(["seed=0,1"]), [])[1].overrides
    ['norm=none', 'seed=1']
    """
    own = {o.key_or_group for o in block}
    common = [o for o in params if o.key_or_group not in own]
    overrides = parse([line(o) for o in [*block, *common, *typed]])
    # What is typed with one value is the same in all blocks: no job's name needs it.
    several = {o.key_or_group for o in overrides if o.is_sweep_override()}
    varied = several | (own - {o.key_or_group for o in typed})
    return [Wanted(job, varied) for job in expand(overrides, zipped)]


def _named(only: Any, known: Sequence[str]) -> list[str]:
    names = [only] if isinstance(only, str) else only
    if not isinstance(names, list):
        raise ValueError(f"sweep.only is a list of block names, got {only!r}")
    if not known:
        raise ValueError("sweep.only: this sweep has no blocks, see sweep.blocks")
    if not names:
        raise ValueError(f"sweep.only is empty; choose from {', '.join(sorted(known))}")
    for name in names:
        if name not in known:
            raise ValueError(f"sweep.only: no block {name}; {suggest(str(name), known)}")
    return names


def _parsed(name: str, block: Any) -> list[Override]:
    if not isinstance(block, dict):
        raise ValueError(f"sweep.blocks.{name} maps keys to values, got {block!r}")
    for key, value in block.items():
        if str(key).lstrip("+~").split("/")[0].split(".")[0] in ("hydra", "sweep"):
            raise ValueError(f"sweep.blocks.{name}: {key} is one for all jobs, not for a block")
        if isinstance(value, dict):
            inner = next(iter(value), "key")
            dotted = f"a dotted key, such as {key}.{inner}"
            raise ValueError(f"sweep.blocks.{name}: {key}: got {value!r}; write {dotted}")
    try:
        return parse([f"{k}={'null' if v is None else v}" for k, v in block.items()])
    except HydraException as error:
        raise ValueError(f"sweep.blocks.{name}: {error}") from None
