"""What a forecast loses each test day, for runs whose test days are the same."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FORECASTS = "forecasts.csv"
TODAY = "tomorrow = today"
ALWAYS_UP = "always up"


class Forecasts(NamedTuple):
    """A run's test days: dates, three prices (n,) in price units, and whose; "" of one series."""

    date: NDArray
    last_price: NDArray
    price: NDArray
    predicted_price: NDArray
    ticker: NDArray


@dataclass(frozen=True)
class Loss:
    """What a metric averages.

    Args:
        daily: loss (n,) from predicted, last and actual prices (n,); NaN: the day does not count.
        unit: of the daily loss.
        baseline: the forecast that needs no model.
        higher_is_better: whether the metric counts successes; the daily loss counts failures.
        is_rooted: whether the metric is the root of the mean loss.
    """

    daily: Callable[[NDArray, NDArray, NDArray], NDArray]
    unit: str
    baseline: str = TODAY
    higher_is_better: bool = False
    is_rooted: bool = False

    def metric(self, daily: NDArray) -> float:
        """Return the metric of daily losses (n,), NaN where no day counts."""
        counted = daily[np.isfinite(daily)]
        mean = float(counted.mean()) if len(counted) else math.nan
        mean = math.sqrt(mean) if self.is_rooted else mean
        return 1 - mean if self.higher_is_better else mean


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
    "test/rmse": Loss(_squared, "squared error, price²", is_rooted=True),
    "test/mae": Loss(_absolute, "absolute error, price"),
    "test/mape": Loss(_percentage, "absolute error, %"),
    "test/directional_accuracy": Loss(_missed, "missed directions", ALWAYS_UP, True),
    "val/loss": Loss(_squared, "squared error, price²", is_rooted=True),
}
"""The metrics runs can be compared by, and what each loses a day of the test part."""


_DAY = 86400
_STEPS = (
    ("minute", 60, 60),
    ("hour", 3600, 3600),
    ("day", 0.8 * _DAY, 4 * _DAY),
    ("week", 5 * _DAY, 9 * _DAY),
    ("month", 26 * _DAY, 33 * _DAY),
)
"""What a distance in seconds is called, from and up to which."""


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
        step: what the distance between them is called.
        series: by ticker the metric of each group, averaged over its seeds, and of the baseline
            under its name; empty where there is one series.
    """

    date: NDArray
    groups: Mapping[str, NDArray]
    baseline: NDArray
    by_seed: Mapping[str, Mapping[Any, NDArray]]
    left_out: tuple[str, ...] = ()
    step: str = "day"
    series: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


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
    date, without = reference.date[counts], baseline[counts]
    series: dict[str, dict[str, float]] = {}
    if any(reference.ticker):
        series = _by_series(reference.ticker, per_group, baseline, loss)
        # The losses of a day hang together: what the statistics count is days.
        by_seed = {
            g: {s: _by_date(date, one) for s, one in own.items()} for g, own in by_seed.items()
        }
        date, without = np.unique(date), _by_date(date, without)
    means = {group: np.mean([*own.values()], axis=0) for group, own in by_seed.items()}
    return DailyLosses(date, means, without, by_seed, tuple(left_out), step_of(date), series)


def step_of(date: NDArray) -> str:
    """Return what the distance between test days is called: day, hour, week; bar without a word.

    >>> step_of(np.array(["2024-01-01", "2024-01-02"]))
    'day'
    >>> step_of(np.array(["2024-01-01 09:00", "2024-01-01 10:00"]))
    'hour'
    """
    try:
        times = np.unique(date).astype("datetime64[s]").astype(np.int64)
    except ValueError:
        return "bar"
    if len(times) < 2:
        return "day"
    usual = float(np.median(np.diff(times)))
    for name, least, most in _STEPS:
        if least <= usual <= most:
            return name
    return "bar"


def _by_date(date: NDArray, losses: NDArray) -> NDArray:
    """Average losses (n,) over the series of each date, in order of time."""
    _, which = np.unique(date, return_inverse=True)
    return np.bincount(which, weights=losses) / np.bincount(which)


def _by_series(
    ticker: NDArray,
    per_group: Mapping[str, Mapping[Any, NDArray]],
    baseline: NDArray,
    loss: Loss,
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(ticker.tolist()):
        own = ticker == name
        found[name] = {loss.baseline: loss.metric(baseline[own])} | {
            group: float(np.mean([loss.metric(daily[own]) for daily in runs.values()]))
            for group, runs in per_group.items()
        }
    return found


def read_forecasts(run: str | Path) -> Forecasts | None:
    """Read a run's forecasts of the test part; None where there are none to be read."""
    import pandas as pd

    try:
        table = pd.read_csv(Path(run) / FORECASTS)
        last, price, predicted = (table[name].to_numpy(float) for name in Forecasts._fields[1:4])
        ticker = table["ticker"].to_numpy(str) if "ticker" in table else np.full(len(table), "")
        read = Forecasts(table["date"].to_numpy(str), last, price, predicted, ticker)
    except (OSError, ValueError, KeyError):
        return None
    return read if np.isfinite(read[1:-1]).all() else None


def _same_days(a: Forecasts, b: Forecasts) -> bool:
    if not np.array_equal(a.ticker, b.ticker):
        return False
    return np.array_equal(a.date, b.date) and np.allclose(a.price, b.price, rtol=1e-6)
