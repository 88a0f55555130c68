"""Runs whose test parts overlap are compared on the days that all of them forecast."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from src.reporting.days import Day, Forecasts, read_forecasts
from src.reporting.losses import Loss
from src.reporting.statistics import FEWEST_DAYS

if TYPE_CHECKING:
    import pandas as pd

FEWEST_SHARE = 0.5
"""Of the shorter test part: runs that have less in common answer different questions."""


@dataclass(frozen=True, eq=False)
class CommonDays:
    """Days that several test parts share.

    Args:
        days: the days.
        name: of the comparison on them.
        parts: the names of the test parts.
    """

    days: frozenset[Day]
    name: str
    parts: tuple[str, ...]


def find_common_days(runs: "pd.DataFrame") -> dict[str, CommonDays]:
    """Return what each test set has in common with others, where that is enough to compare on.

    Args:
        runs: a run table whose `test_set` tells apart what was tested on the same days.

    Returns:
        By test set the common days, the same object for all that are compared; sets that stand
        alone are not among them.
    """
    found: dict[str, CommonDays] = {}
    for _, same in runs.groupby(["test_data", "kind", "horizon"], sort=False):
        # The same days of other prices are the same days and nothing in common.
        rest = same.groupby("test_set", sort=False)
        waiting = [
            (str(name), one) for name, own in rest if (one := _first_forecasts(own)) is not None
        ]
        waiting.sort(key=lambda item: (same["test_set"] == item[0]).sum(), reverse=True)
        while len(waiting) > 1:
            taken, days = _overlapping(waiting)
            if len(taken) > 1:
                name = _name(str(same["test_data"].iloc[0]), days)
                shared = CommonDays(days, name, tuple(taken))
                found |= dict.fromkeys(taken, shared)
            waiting = [item for item in waiting if item[0] not in taken]
    return found


def rescored(runs: "pd.DataFrame", common: CommonDays, metric: str, loss: Loss) -> "pd.DataFrame":
    """Return runs with the metric, the baseline's and their ratio on the common days alone.

    Args:
        runs: of the test parts that have the days in common.
        common: these days.
        metric: a column `test/...`.
        loss: what it averages.
    """
    rows = []
    for path in runs["path"]:
        read = read_forecasts(path, loss.kind)
        own, without = np.nan, np.nan
        if read is not None:
            read = read.on(common.days)
            baseline = loss.daily(loss.without_model(read.reference), read.reference, read.actual)
            own = loss.metric(loss.daily(read.predicted, read.reference, read.actual))
            without = loss.metric(baseline)
        rows.append((own, without, own / without if without else np.nan))
    columns = (metric, metric.replace("test/", "baseline/"), metric.replace("test/", "ratio/"))
    values = np.array(rows)
    return runs.assign(**{name: values[:, place] for place, name in enumerate(columns)})


def _first_forecasts(runs: "pd.DataFrame") -> Forecasts | None:
    for row in runs.to_dict("records"):
        if (read := read_forecasts(row["path"], str(row["kind"]))) is not None:
            return read
    return None


def _overlapping(
    waiting: Sequence[tuple[str, Forecasts]],
) -> tuple[list[str], frozenset[Day]]:
    """Return the first set, and those after it that share enough days with all before them."""
    (first, one), *others = waiting
    prices = _actual_by_day(one)
    days, taken = frozenset(prices), [first]
    for name, other in others:
        own = _actual_by_day(other)
        shared = days & frozenset(own)
        enough = max(FEWEST_DAYS, FEWEST_SHARE * min(len(days), len(own)))
        is_same = all(np.isclose(prices[day], own[day], rtol=1e-6) for day in shared)
        if len(shared) >= enough and is_same and frozenset(own) != frozenset(prices):
            days, taken = shared, [*taken, name]
    return taken, days


def _actual_by_day(read: Forecasts) -> dict[Day, Any]:
    """Return what came on each day; of several steps, at the first of them."""
    first = read.step == 1
    return dict(zip(read.on_rows(first).days, read.actual[first].tolist(), strict=True))


def _name(data: str, days: frozenset[Day]) -> str:
    dates = sorted(date for _, date in days)
    return f"{data}, {dates[0]} to {dates[-1]}, {len(days)} windows in common"
