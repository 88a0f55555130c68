"""How often the intervals of the compared groups held, over all and by year."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

WIDEST = "95%"
Coverage = Mapping[tuple[str, str], Mapping[str, float]]
"""By group and maker of the intervals: shares by column, `50%`, and `95% in 2018`."""


def coverage_of(runs: Iterable[Mapping[Any, Any]]) -> Coverage:
    """Average over each group's runs how often their intervals held.

    Args:
        runs: `group` and `intervals`, as report.json has them, of every run; None for none.

    Returns:
        The shares; of a year those of the widest level.
    """
    seen: dict[tuple[str, str], dict[str, list[float]]] = {}
    for run in runs:
        intervals = run["intervals"] or {}
        own = (intervals.get("own") or {}).get("intervals")
        for maker, found in (("conformal", intervals.get("conformal")), ("own", own)):
            for column, share in _shares(found or {}):
                columns = seen.setdefault((run["group"], maker), {})
                columns.setdefault(column, []).append(share)
    return {
        key: {column: float(np.mean(shares)) for column, shares in columns.items()}
        for key, columns in seen.items()
    }


def _shares(found: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    for level, one in found.items():
        name = f"{float(level):.0%}"
        yield name, one["coverage"]
        if name == WIDEST:
            for year, share in one["by_year"].items():
                yield f"{WIDEST} in {year}", share
