"""What a forecast loses each test day, for runs whose test days are the same."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.reporting.losses import COLUMNS, PRICE, Loss

FORECASTS = "forecasts.csv"

Day = tuple[str, str]
"""A ticker, "" of one series, and the date of the first bar that is forecast."""


class Forecasts(NamedTuple):
    """A run's test days, several rows for each where several steps are forecast.

    Attributes:
        date: Of the first bar that is forecast (n,).
        reference: The forecast without a model (n,), in the unit of the kind.
        actual: What came (n,).
        predicted: The model's forecast (n,).
        ticker: Of which series (n,); "" of one.
        step: Which of several bars that are forecast (n,), from 1.
        kind: Of what is forecast, a key of `COLUMNS`.
    """

    date: NDArray
    reference: NDArray
    actual: NDArray
    predicted: NDArray
    ticker: NDArray
    step: NDArray
    kind: str = PRICE

    @property
    def days(self) -> list[Day]:
        """The day of each row."""
        return list(zip(self.ticker.tolist(), self.date.tolist(), strict=True))

    def on(self, days: Set[Day]) -> "Forecasts":
        """Return the rows of some days."""
        return self.on_rows(np.array([day in days for day in self.days], dtype=bool))

    def on_rows(self, kept: NDArray) -> "Forecasts":
        """Return the rows where `kept` (n,) is true."""
        arrays = {name: getattr(self, name)[kept] for name in self._fields if name != "kind"}
        return self._replace(**arrays)


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
        horizon: bars that are forecast: what is lost on days so near hangs together.
    """

    date: NDArray
    groups: Mapping[str, NDArray]
    baseline: NDArray
    by_seed: Mapping[str, Mapping[Any, NDArray]]
    left_out: tuple[str, ...] = ()
    step: str = "day"
    series: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    horizon: int = 1


def daily_losses(
    runs: Iterable[Mapping[Any, Any]],
    loss: Loss,
    days: Set[Day] | None = None,
    horizon: int = 1,
) -> DailyLosses | None:
    """Average over each group's runs what they lose each test day.

    Args:
        runs: `group`, `seed` and `path` of every run that counts, one a group and seed.
        loss: what a day's forecast loses.
        days: the days that count; None for all, which then have to be the same in all runs.
        horizon: bars that are forecast.

    Returns:
        The losses of the days that count; None if no run has forecasts.
    """
    per_group: dict[str, dict[Any, NDArray]] = {}
    left_out = []
    reference: Forecasts | None = None
    for run in runs:
        read = read_forecasts(run["path"], loss.kind)
        if read is not None and days is not None:
            read = read.on(days)
        reference = reference or read
        if read is None or reference is None or not _same_days(read, reference):
            left_out.append(str(run["path"]))
            continue
        daily = loss.daily(read.predicted, read.reference, read.actual)
        per_group.setdefault(run["group"], {})[run["seed"]] = daily
    if reference is None:
        return None
    without_model = loss.without_model(reference.reference)
    baseline = loss.daily(without_model, reference.reference, reference.actual)
    counts = np.isfinite(baseline)
    by_seed = {g: {s: one[counts] for s, one in own.items()} for g, own in per_group.items()}
    date, without = reference.date[counts], baseline[counts]
    series: dict[str, dict[str, float]] = {}
    if any(reference.ticker):
        series = _by_series(reference.ticker, per_group, baseline, loss)
    if any(reference.ticker) or (reference.step > 1).any():
        # The losses of a day hang together: what the statistics count is days.
        by_seed = {
            g: {s: _by_date(date, one) for s, one in own.items()} for g, own in by_seed.items()
        }
        date, without = np.unique(date), _by_date(date, without)
    means = {group: np.mean([*own.values()], axis=0) for group, own in by_seed.items()}
    return DailyLosses(
        date, means, without, by_seed, tuple(left_out), step_of(date), series, horizon
    )


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
    """Average losses (n,) over the series and steps of each date, in order of time."""
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


def read_forecasts(run: str | Path, kind: str = PRICE) -> Forecasts | None:
    """Read a run's forecasts of the test part; None where there are none of the kind."""
    import pandas as pd

    try:
        table = pd.read_csv(Path(run) / FORECASTS)
        before, came, predicted = (table[name].to_numpy(float) for name in COLUMNS[kind])
        ticker = table["ticker"].to_numpy(str) if "ticker" in table else np.full(len(table), "")
        step = table["step"].to_numpy(int) if "step" in table else np.ones(len(table), dtype=int)
        date = table["date"].to_numpy(str)
        read = Forecasts(date, before, came, predicted, ticker, step, kind)
    except (OSError, ValueError, KeyError):
        return None
    return read if np.isfinite([before, came, predicted]).all() else None


def _same_days(a: Forecasts, b: Forecasts) -> bool:
    same = all(np.array_equal(a[n], b[n]) for n in (0, 4, 5))
    return same and np.allclose(a.actual, b.actual, rtol=1e-6)
