"""From the overrides of a command line to one list of overrides for each job."""

import itertools
from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse `key=value` items; of two for one key the later counts.

    Raises:
        HydraException: an item cannot be parsed.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return list({override.get_key_element(): override for override in parsed}.values())


def expand(overrides: Sequence[Override], zipped: bool | Sequence[str] = False) -> list[list[str]]:
    """Return the overrides of each job: all combinations, or paired values.

    Args:
        overrides: parsed `key=value` items, some with several values.
        zipped: True for the i-th values of all keys together; keys for the i-th values of these
            together, combined with all values of the others.

    Raises:
        ValueError: a key to be paired has one value, or paired keys have different numbers.

    >>> expand(parse(["a=1,2", "b=x,y", "c=0"]))
    [['a=1', 'b=x', 'c=0'], ['a=1', 'b=y', 'c=0'], ['a=2', 'b=x', 'c=0'], ['a=2', 'b=y', 'c=0']]
    >>> expand(parse(["a=1,2", "b=x,y", "c=0"]), zipped=True)
    [['a=1', 'b=x', 'c=0'], ['a=2', 'b=y', 'c=0']]
    """
    values = {o.key_or_group: BasicSweeper.split_arguments([o], None)[0] for o in overrides}
    swept = [o.key_or_group for o in overrides if o.is_sweep_override()]
    paired = swept if zipped is True else list(zipped or ())
    _check_pairs(paired, {key: len(values[key]) for key in swept})
    # One axis holds the paired keys, each other key is an axis of its own.
    axes = [[[(key, job[0]) for job in values[key]]] for key in values if key not in paired]
    if paired:
        axes.append([[(key, job[0]) for job in values[key]] for key in paired])
    rows = [list(zip(*columns, strict=True)) for columns in axes]
    jobs = [dict(itertools.chain(*cells)) for cells in itertools.product(*_in_order(rows, values))]
    return [[job[key] for key in values] for job in jobs]


def _in_order(rows: list[list[tuple]], values: dict) -> list[list[tuple]]:
    """Sort the axes by their first key's place on the command line: the last varies fastest."""
    places = list(values)
    return sorted(rows, key=lambda axis: places.index(axis[0][0][0]))


def _check_pairs(paired: Sequence[str], counts: dict[str, int]) -> None:
    for key in paired:
        if key not in counts:
            raise ValueError(f"sweep.zip: {key} has one value, or is not given at all")
    if len({counts[key] for key in paired}) > 1:
        shown = ", ".join(f"{key} has {counts[key]}" for key in paired)
        raise ValueError(f"sweep.zip pairs values one to one: {shown}")


def first_values(overrides: Sequence[Override]) -> list[str]:
    """Return the first job's overrides; of an interval, its lower end."""
    first = []
    for override in overrides:
        value = override.value()
        if isinstance(value, IntervalSweep):
            first.append(f"{override.get_key_element()}={value.start}")
        else:
            first.append(BasicSweeper.split_arguments([override], None)[0][0][0])
    return first


def is_hydra(override: Override) -> bool:
    """Say whether an override is about Hydra itself, such as its launcher."""
    return override.key_or_group.split("/")[0].split(".")[0] == "hydra"


def line(override: Override) -> str:
    """Return an override as it was typed."""
    assert override.input_line is not None
    return override.input_line


def refuse_several_values(overrides: Sequence[str]) -> None:
    """Refuse a line that asks for several jobs where one is run.

    Raises:
        ValueError: an item has several values, or cannot be parsed.
    """
    try:
        sweeps = [o.key_or_group for o in parse(overrides) if o.is_sweep_override()]
    except HydraException as error:
        raise ValueError(str(error)) from None
    if sweeps:
        raise ValueError(f"{sweeps[0]} has several values: python -m src.train -m runs each")
