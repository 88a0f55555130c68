"""The tables of the verdict: one of everything, then each question, the money and the years."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from src.reporting.predictability.earning import Earnings
from src.reporting.predictability.scores import (
    BRIER,
    GOAL,
    LEVELS,
    QLIKE,
    RMSE,
    Cell,
    Judged,
)
from src.reporting.predictability.store import NAMES
from src.reporting.text import NOTHING, TextTable, count_of

MAIN = {"return": RMSE, "direction": BRIER, "volatility": QLIKE}
"""The measure that stands for a kind of question."""
ORDER = (
    "naive",
    "drift",
    "autoregression",
    "ridge",
    "boosting",
    "exponential_smoothing",
    "arima",
    "har",
    "garch",
    "lstm",
    "transformer",
)
KEY = (
    "+ lost less than the naive forecast, - more, = not told from it (Diebold-Mariano, lags up to "
    "h - 1, Holm over the models, 5%); ° kept by the 95% model confidence set."
)


def models_of(judged: Sequence[Judged]) -> list[str]:
    """Return all models, in the order of rows."""
    there = {name for one in judged for name in one.kept.forecasts}
    return [name for name in ORDER if name in there] + sorted(there - set(ORDER))


def cell_text(cell: Cell | None, digits: int = 3) -> str:
    """Return a number with its marks.

    >>> cell_text(Cell(0.9876, None, math.nan, True))
    '0.988 °'
    """
    if cell is None:
        return NOTHING
    return f"{cell.value:.{digits}f} {cell.mark}".strip()


def overview(judged: Sequence[Judged], series: str) -> TextTable:
    """Return the table of all questions about a series: loss over that of the naive forecast."""
    own = [one for one in judged if one.kept.series == series]
    heads, columns = ["model"], []
    for one in own:
        question, measure = one.kept.question, MAIN[one.kept.question.kind]
        days = "1 day" if question.horizon == 1 else f"{question.horizon} days"
        heads.append(f"{question.kind}, {days}: {measure}")
        columns.append(one.cells[measure])
    rows = tuple(
        (name, *(cell_text(column.get(name)) for column in columns)) for name in models_of(own)
    )
    return TextTable(NAMES.get(series, series), tuple(heads), rows)


def details(one: Judged) -> TextTable:
    """Return all measures of a question about a series, and how often intervals held."""
    heads = ["model", *one.cells]
    if one.spreads:
        heads += [f"{level:.0%} holds" for level in LEVELS]
    rows = []
    for name in [*one.reference_rows, *models_of([one])]:
        cells = [
            cell_text(column.get(name), 4 if measure == BRIER else 3)
            for measure, column in one.cells.items()
        ]
        if one.spreads:
            known = name in one.spreads
            cells += [f"{one.coverage(name, level):.1%}" if known else NOTHING for level in LEVELS]
        rows.append((name, *cells))
    dates, bars = one.kept.date, len(one.kept.date)
    caption = f"{bars:,} days, {dates[0]} to {dates[-1]}."
    return TextTable(one.kept.title, tuple(heads), tuple(rows), caption=caption)


def money_table(own: Earnings) -> TextTable:
    """Return what each strategy earned at each cost, beside buy-and-hold."""
    rows: list[tuple[str, ...]] = [
        (
            "buy and hold",
            *(f"{own.holding.sharpe:.2f} ± {own.holding.sharpe_se:.2f}", NOTHING, NOTHING),
            *(NOTHING, f"{own.holding.turnover:.1f}", NOTHING),
        )
    ]
    for one in own.strategies:
        free = one.at_cost[0]
        rows.append(
            (
                one.name,
                f"{free.sharpe:.2f} ± {free.sharpe_se:.2f}",
                *(f"{at.sharpe:.2f}" for at in one.at_cost[1:]),
                f"{one.deflated:.2f}",
                f"{free.turnover:.0f}",
                "none" if math.isnan(free.break_even_bp) else f"{free.break_even_bp:.1f}",
            )
        )
    heads = (
        *("strategy", "Sharpe ratio ± error", "at 5 bp", "at 10 bp"),
        *("deflated", "turnover a year", "break-even, bp"),
    )
    return TextTable(own.kept.title, heads, tuple(rows))


def years_table(judged: Sequence[Judged]) -> TextTable:
    """Return how often 95% intervals held in each year, mean over the models."""
    own = [one for one in judged if one.covered]
    years = sorted({year for one in own for year in _years(one)})
    heads = ["year"]
    for one in own:
        question, days = one.kept.question, count_of(one.kept.question.horizon, "day")
        heads.append(f"{NAMES.get(one.kept.series, one.kept.series)}, {question.kind}, {days}")
    rows = [(str(year), *(_year_text(one, year) for one in own)) for year in years]
    rows.append(("all", *(f"{_mean(one, slice(None)):.1%}" for one in own)))
    rigid = (float(np.mean([held.mean() for held in one.rigid.values()])) for one in own)
    rows.append(("all, levels that do not follow", *(f"{share:.1%}" for share in rigid)))
    low, high = GOAL
    caption = (
        f"Mean over the models; * less than {low:.0%} or more than {high:.0%}; ! further from 95% "
        "than chance allows in a year of independent days (binomial, 5%; of h days n / h count)."
    )
    return TextTable("95% intervals by year", tuple(heads), tuple(rows), caption=caption)


def _years(one: Judged) -> np.ndarray:
    return np.array([int(date[:4]) for date in one.kept.date])


def _mean(one: Judged, rows: slice | np.ndarray) -> float:
    return float(np.mean([own[0.95][rows].mean() for own in one.covered.values()]))


def _year_text(one: Judged, year: int) -> str:
    rows = _years(one) == year
    if not rows.any():
        return NOTHING
    share = _mean(one, rows)
    mark = "" if GOAL[0] <= share <= GOAL[1] else "*"
    return f"{share:.1%}{mark}" + (
        "!" if off(share, rows.sum() // one.kept.question.horizon) else ""
    )


def off(share: float, days: int) -> bool:
    """Say whether a share of days that held is further from 95% than chance allows.

    >>> off(0.90, 252), off(0.94, 252), off(0.99, 252)
    (True, False, True)
    """
    low, high = stats.binom.interval(0.95, max(int(days), 1), 0.95)
    return not low <= share * max(int(days), 1) <= high


def bad_years(judged: Sequence[Judged], mark: str = "*") -> dict[int, list[Judged]]:
    """Return the years in which intervals did not hold as often as they should, and of what.

    Args:
        judged: All questions.
        mark: `*` outside the goal, `!` further from it than chance allows.
    """
    found: dict[int, list[Judged]] = {}
    for one in judged:
        for year in sorted(set(_years(one))) if one.covered else ():
            if mark in _year_text(one, year):
                found.setdefault(int(year), []).append(one)
    return dict(sorted(found.items()))
