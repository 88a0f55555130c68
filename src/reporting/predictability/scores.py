"""What each model loses a day, and how that stands to the forecast that needs no model.

Shapes: n bars in order of time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.reporting.predictability.spread import ERRORS, Spread, holds, spread, volatility
from src.reporting.predictability.store import NAIVE, Kept
from src.reporting.standing import ALPHA
from src.reporting.statistics import confidence_set, diebold_mariano, holm

RMSE, CRPS, QLIKE, WAY, BRIER = "RMSE ratio", "CRPS ratio", "QLIKE ratio", "right way", "Brier"
ALWAYS_UP, BASE_RATE = "always up", "base rate"
"""Forecasts of a direction without a model, that are no row of a table of returns."""
SURE = 0.95
LEVELS = (0.5, 0.8, SURE)
GOAL = (0.94, 0.96)
"""Where the share of outcomes within 95% intervals should lie over all years."""
REPETITIONS = 500
"""Bootstrap samples of a model confidence set."""
_REACH = 1.959964
"""Standard errors of a 95% interval."""


class Against(NamedTuple):
    """A model's loss less another's, as a share of the other's.

    Attributes:
        relative: Below 0 where it loses less.
        low: Lower end of the 95% interval.
        high: Upper end.
        p_value: Of the Diebold-Mariano test, two-sided, lags up to h - 1.
    """

    relative: float
    low: float
    high: float
    p_value: float


class Cell(NamedTuple):
    """A number of the table, and what the tests say of it.

    Attributes:
        value: As it is shown.
        against: How it stands to the reference; None for the reference itself.
        p_value: Of that, adjusted for the number of models (Holm); NaN for the reference.
        in_set: Whether the 95% model confidence set keeps it.
    """

    value: float
    against: Against | None
    p_value: float
    in_set: bool

    @property
    def mark(self) -> str:
        """Better, worse, or not told apart; kept by the confidence set or not."""
        kept = "°" if self.in_set else ""
        if self.against is None:
            return kept
        if not self.p_value < ALPHA:
            return f"={kept}"
        return f"{'+' if self.against.relative < 0 else '-'}{kept}"


class Measure(NamedTuple):
    """A way to judge forecasts.

    Attributes:
        name: Head of the column.
        losses: By model (n,); of the reference under its name, though it is no row.
        reference: What the others are tested against.
        shown: From a model's mean loss, and the reference's, to what is shown.
    """

    name: str
    losses: Mapping[str, NDArray]
    reference: str
    shown: Callable[[float, float], float]


@dataclass(frozen=True)
class Judged:
    """All models' forecasts of one question about one series, judged on the same bars.

    Args:
        kept: The forecasts, from the first bar on that has a distribution.
        spreads: By model; empty for a direction.
        cells: By measure, by model.
        losses: By measure, by model (n,).
        covered: By model, by level: whether the outcome lay in the interval (n,).
        rigid: By model, of 95% intervals whose level does not follow.
    """

    kept: Kept
    spreads: Mapping[str, Spread]
    cells: Mapping[str, Mapping[str, Cell]]
    losses: Mapping[str, Mapping[str, NDArray]]
    covered: Mapping[str, Mapping[float, NDArray]] = field(default_factory=dict)
    rigid: Mapping[str, NDArray] = field(default_factory=dict)

    @property
    def reference_rows(self) -> list[str]:
        """Forecasts without a model that are no forecast of the question itself."""
        named = {name for column in self.cells.values() for name in column}
        return [name for name in (ALWAYS_UP, BASE_RATE) if name in named]

    def coverage(self, model: str, level: float) -> float:
        """Return the share of bars whose outcome lay in the interval of the level."""
        return float(self.covered[model][level].mean())


def against(losses: NDArray, others: NDArray, horizon: int) -> Against:
    """Return how far a model's losses (n,) are from another's, with the interval of the test.

    >>> against(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]), 1).relative
    -0.5
    """
    test = diebold_mariano(losses, others, horizon)
    if not test.statistic:
        return Against(0.0, 0.0, 0.0, 1.0)
    reach = abs(_REACH * test.relative / test.statistic)
    return Against(test.relative, test.relative - reach, test.relative + reach, test.p_value)


def judge(kept: Kept) -> Judged:
    """Judge forecasts of a question, all on the same bars: those before serve the distributions.

    Raises:
        ValueError: If there are too few bars, or no forecast without a model.
    """
    if NAIVE not in kept.forecasts:
        raise ValueError(f"{kept.title}: there is no forecast without a model")
    first = ERRORS + kept.question.horizon - 1
    spreads: dict[str, Spread] = {}
    covered, rigid = {}, {}
    if kept.question.kind != "direction":
        spreads = {name: _spread(kept, forecast) for name, forecast in kept.forecasts.items()}
    late = _from(kept, first)
    outcome = _outcome(late)
    for name, own in spreads.items():
        ranks, ahead = own.rank(outcome), kept.question.horizon
        covered[name] = {level: holds(ranks, level, ahead) for level in LEVELS}
        rigid[name] = holds(ranks, SURE, step=0.0)
    measures = _MEASURES[kept.question.kind](late, spreads, kept)
    cells = {measure.name: _cells(measure, kept.question.horizon) for measure in measures}
    losses = {measure.name: measure.losses for measure in measures}
    return Judged(late, spreads, cells, losses, covered, rigid)


def _from(kept: Kept, first: int) -> Kept:
    """Return what is kept of the bars from a row on."""
    later = {name: values[first:] for name, values in kept.forecasts.items()}
    parts = (kept.date[first:], kept.last_price[first:], kept.actual[first:])
    return Kept(kept.series, kept.question, *parts, later)


def _outcome(kept: Kept) -> NDArray:
    """Return what distributions are of: the return, or the log of the variance."""
    return np.log(kept.actual) if kept.question.kind == "volatility" else kept.actual


def _spread(kept: Kept, forecast: NDArray) -> Spread:
    horizon = kept.question.horizon
    if kept.question.kind == "volatility":
        return spread(np.log(forecast), np.log(kept.actual), None, horizon)
    return spread(forecast, kept.actual, volatility(kept.last_price, horizon), horizon)


def _cells(measure: Measure, horizon: int) -> dict[str, Cell]:
    """Return the cells of a column."""
    reference = measure.losses[measure.reference]
    tests = {
        name: against(own, reference, horizon)
        for name, own in measure.losses.items()
        if name != measure.reference
    }
    p_values = dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))
    names = list(measure.losses)
    columns = np.column_stack([measure.losses[name] for name in names])
    kept = confidence_set(columns, REPETITIONS, horizon=horizon) > ALPHA
    level = float(reference.mean())
    return {
        name: Cell(
            measure.shown(float(measure.losses[name].mean()), level),
            tests.get(name),
            p_values.get(name, math.nan),
            bool(kept[place]),
        )
        for place, name in enumerate(names)
    }


def _ratio(loss: float, reference: float) -> float:
    return loss / reference if reference else math.nan


def _of_returns(kept: Kept, spreads: Mapping[str, Spread], every: Kept) -> list[Measure]:
    squares = {name: (kept.actual - own) ** 2 for name, own in kept.forecasts.items()}
    crps = {name: own.crps(kept.actual) for name, own in spreads.items()}
    rose = (kept.actual > 0).astype(float)
    up = {name: (own > 0).astype(float) for name, own in kept.forecasts.items() if name != NAIVE}
    sure = {name: own.above() for name, own in spreads.items()}
    return [
        Measure(RMSE, squares, NAIVE, lambda loss, other: math.sqrt(_ratio(loss, other))),
        Measure(CRPS, crps, NAIVE, _ratio),
        _right_way(rose, {ALWAYS_UP: np.ones_like(rose)} | up, ALWAYS_UP),
        _brier(rose, {BASE_RATE: _base_rate(every, len(rose))} | sure, BASE_RATE),
    ]


def _of_directions(kept: Kept, spreads: Mapping[str, Spread], every: Kept) -> list[Measure]:
    up = {name: (own > 0.5).astype(float) for name, own in kept.forecasts.items()}
    return [_right_way(kept.actual, up, NAIVE), _brier(kept.actual, kept.forecasts, NAIVE)]


def _of_variances(kept: Kept, spreads: Mapping[str, Spread], every: Kept) -> list[Measure]:
    qlike = {}
    for name, own in kept.forecasts.items():
        share = kept.actual / own
        qlike[name] = share - np.log(share) - 1
    crps = {name: own.crps(np.log(kept.actual)) for name, own in spreads.items()}
    return [
        Measure(QLIKE, qlike, NAIVE, _ratio),
        Measure(CRPS, crps, NAIVE, _ratio),
    ]


_MEASURES = {"return": _of_returns, "direction": _of_directions, "volatility": _of_variances}


def _right_way(rose: NDArray, up: Mapping[str, NDArray], reference: str) -> Measure:
    wrong = {name: (own != rose).astype(float) for name, own in up.items()}
    return Measure(WAY, wrong, reference, lambda loss, other: 1 - loss)


def _brier(rose: NDArray, up: Mapping[str, NDArray], reference: str) -> Measure:
    squares = {name: (own - rose) ** 2 for name, own in up.items()}
    return Measure(BRIER, squares, reference, lambda loss, other: loss)


def _base_rate(every: Kept, count: int) -> NDArray:
    """Return the share of all bars so far that rose (n,), as known before each of the latest."""
    rose = (every.actual > 0).astype(float)
    share = np.cumsum(rose) / np.arange(1, len(rose) + 1)
    lag = every.question.horizon
    return share[len(rose) - count - lag : len(rose) - lag]
