"""What a forecast loses each test day, for runs whose test days are the same."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FORECASTS = "forecasts.csv"
TODAY = "tomorrow = today"
ALWAYS_UP = "always up"


class Forecasts(NamedTuple):
    """A run's test days: dates, and three prices (n,) in price units."""

    date: NDArray
    last_price: NDArray
    price: NDArray
    predicted_price: NDArray


@dataclass(frozen=True)
class Loss:
    """What a metric averages.

    Args:
        daily: loss (n,) from predicted, last and actual prices (n,); NaN: the day does not count.
        unit: of the daily loss.
        baseline: the forecast that needs no model.
        higher_is_better: whether the metric counts successes; the daily loss counts failures.
    """

    daily: Callable[[NDArray, NDArray, NDArray], NDArray]
    unit: str
    baseline: str = TODAY
    higher_is_better: bool = False


def _squared(predicted: NDArray, last: NDArray, actual: NDArray) -> NDArray:
    return (predicted - actual) ** 2


def _absolute(predicted: NDArray, last: NDArray, actual: NDArray) -> NDArray:
    return np.abs(predicted - actual)


def _percentage(predicted: NDArray, last: NDArray, actual: NDArray) -> NDArray:
    return 100 * np.abs((predicted - actual) / actual)


def _missed(predicted: NDArray, last: NDArray, actual: NDArray) -> NDArray:
    missed = np.sign(predicted - last) != np.sign(actual - last)
    return np.where(actual == last, math.nan, missed.astype(float))


METRICS: Mapping[str, Loss] = {
    "test/rmse": Loss(_squared, "squared error, price²"),
    "test/mae": Loss(_absolute, "absolute error, price"),
    "test/mape": Loss(_percentage, "absolute error, %"),
    "test/directional_accuracy": Loss(_missed, "missed directions", ALWAYS_UP, True),
    "val/loss": Loss(_squared, "squared error, price²"),
}
"""The metrics runs can be compared by, and what each loses a day of the test part."""


@dataclass(frozen=True)
class DailyLosses:
    """What each group loses each test day, averaged over its seeds.

    The losses are averaged, not the forecasts: the question is how well one model trained this way
    predicts, and an average of forecasts would favour the groups whose seeds disagree most.

    Args:
        date: (n,) test days.
        groups: (n,) loss a day by group.
        baseline: (n,) loss a day of the forecast that needs no model.
        by_seed: (n,) loss a day by group and seed.
        left_out: run folders without forecasts of these days.
    """

    date: NDArray
    groups: Mapping[str, NDArray]
    baseline: NDArray
    by_seed: Mapping[str, Mapping[Any, NDArray]]
    left_out: tuple[str, ...] = ()


def daily_losses(runs: Iterable[Mapping[Any, Any]], loss: Loss) -> DailyLosses | None:
    """Average over each group's runs what they lose each test day.

    Args:
        runs: `group`, `seed` and `path` of every run that counts, one a group and seed.
        loss: what a day's forecast loses.

    Returns:
        The losses of the days that count; None if no run has forecasts.
    """
    per_group: dict[str, dict[Any, NDArray]] = {}
    left_out = []
    reference: Forecasts | None = None
    for run in runs:
        read = read_forecasts(run["path"])
        reference = reference or read
        if read is None or reference is None or not _same_days(read, reference):
            left_out.append(str(run["path"]))
            continue
        daily = loss.daily(read.predicted_price, read.last_price, read.price)
        per_group.setdefault(run["group"], {})[run["seed"]] = daily
    if reference is None:
        return None
    # "Always up" predicts any price above the last one.
    without_model = reference.last_price + (loss.baseline == ALWAYS_UP)
    baseline = loss.daily(without_model, reference.last_price, reference.price)
    counts = np.isfinite(baseline)
    by_seed = {g: {s: one[counts] for s, one in own.items()} for g, own in per_group.items()}
    means = {group: np.mean([*own.values()], axis=0) for group, own in by_seed.items()}
    return DailyLosses(reference.date[counts], means, baseline[counts], by_seed, tuple(left_out))


def read_forecasts(run: str | Path) -> Forecasts | None:
    """Read a run's forecasts of the test part; None where there are none to be read."""
    import pandas as pd

    try:
        table = pd.read_csv(Path(run) / FORECASTS)
        prices = (table[name].to_numpy(float) for name in Forecasts._fields[1:])
        read = Forecasts(table["date"].to_numpy(str), *prices)
    except (OSError, ValueError, KeyError):
        return None
    return read if np.isfinite(read[1:]).all() else None


def _same_days(a: Forecasts, b: Forecasts) -> bool:
    return np.array_equal(a.date, b.date) and np.allclose(a.price, b.price, rtol=1e-6)
