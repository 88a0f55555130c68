"""The tables of the verdict: every cell, of numbers that are known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from src.reporting.money import Earned
from src.reporting.predictability.earning import Earnings
from src.reporting.predictability.scores import (
    ALWAYS_UP,
    BASE_RATE,
    BRIER,
    QLIKE,
    RMSE,
    Against,
    Cell,
    Judged,
)
from src.reporting.predictability.store import QUESTIONS, Kept
from src.reporting.predictability.tables import (
    bad_years,
    details,
    models_of,
    money_table,
    off,
    overview,
    years_table,
)

BARS = 40
DATES = (np.datetime64("2010-12-12") + np.arange(BARS)).astype(str)  # 20 days of each year
NONE = Cell(1.0, None, math.nan, False)
BETTER = Cell(0.9876, Against(-0.1, -0.2, -0.05, 0.01), 0.01, True)


def judged(place=0, cells=None, held=None, rigid=None, names=("naive", "ridge")):
    """Return what was judged of a question, of models that held on some of 40 days."""
    kept = Kept(
        "sp500", QUESTIONS[place], DATES, np.ones(BARS), np.ones(BARS), dict.fromkeys(names)
    )
    rows = np.arange(BARS)
    held = {} if held is None else held
    covered = {name: dict.fromkeys((0.5, 0.8, 0.95), rows < count) for name, count in held.items()}
    return Judged(kept, dict.fromkeys(held), cells or {}, {}, covered, rigid or {})


def test_the_overview_has_a_column_a_question_named_by_days_and_measure():
    column = {"naive": NONE, "ridge": BETTER}
    own = [
        judged(0, {RMSE: column}),
        judged(4, {QLIKE: column}),
        judged(1, {RMSE: {"naive": NONE}}),
    ]
    table = overview(own, "sp500")
    assert table.title == "S&P 500"
    assert table.headers == (
        *("model", "return, 1 day: RMSE ratio", "volatility, 5 days: QLIKE ratio"),
        "return, 5 days: RMSE ratio",
    )
    assert table.rows == (
        ("naive", "1.000", "1.000", "1.000"),
        ("ridge", "0.988 +°", "0.988 +°", "-"),
    )
    assert overview(own, "nasdaq").rows == ()


def test_models_come_in_their_order_and_unknown_ones_last():
    assert models_of([judged(names=("x", "lstm", "naive", "har"))]) == ["naive", "har", "lstm", "x"]


def test_the_details_have_all_measures_and_how_often_intervals_held():
    column = {ALWAYS_UP: NONE, "ridge": BETTER}
    one = judged(0, {RMSE: column, BRIER: {BASE_RATE: NONE, "ridge": BETTER}}, {"ridge": 30})
    table = details(one)
    assert table.headers == (
        *("model", "RMSE ratio", "Brier", "50% holds", "80% holds", "95% holds"),
    )
    assert table.rows == (
        ("always up", "1.000", "-", "-", "-", "-"),
        ("base rate", "-", "1.0000", "-", "-", "-"),
        ("naive", "-", "-", "-", "-", "-"),
        ("ridge", "0.988 +°", "0.9876 +°", "75.0%", "75.0%", "75.0%"),
    )
    assert table.caption == "40 days, 2010-12-12 to 2011-01-20."
    assert details(judged(2, {BRIER: column})).headers == ("model", "Brier")


def test_money_has_a_row_a_strategy_with_each_cost():
    def at(sharpe, even=12.34):
        return Earned(0.1, sharpe, 0.25, 123.4, even, 252)

    some = SimpleNamespace(name="a", at_cost=(at(1.0), at(0.5), at(-0.5)), deflated=0.956)
    never = SimpleNamespace(name="b", at_cost=(at(1.0, math.nan),) * 3, deflated=0.5)
    table = money_table(
        Earnings(judged().kept, Earned(0.1, 0.5, 0.2, 0.14, 1.0, 252), (some, never))
    )
    assert table.title == "S&P 500: the return of the next day"
    assert table.headers[2:4] == ("at 5 bp", "at 10 bp")
    assert table.rows == (
        ("buy and hold", "0.50 ± 0.20", "-", "-", "-", "0.1", "-"),
        ("a", "1.00 ± 0.25", "0.50", "-0.50", "0.96", "123", "12.3"),
        ("b", "1.00 ± 0.25", "1.00", "1.00", "0.50", "123", "none"),
    )


def test_years_are_the_mean_over_models_with_their_marks():
    # of 20 days in each year: 20 and 18 by one model, 20 and 20 by the other: 95% in 2011
    rigid = {"naive": np.arange(BARS) < 30, "ridge": np.arange(BARS) < 20}
    one = judged(0, held={"naive": 38, "ridge": 40}, rigid=rigid)
    table = years_table([one, judged(2)])
    assert table.headers == ("year", "S&P 500, return, 1 day")
    assert table.rows == (
        ("2010", "100.0%*"),
        ("2011", "95.0%"),
        ("all", "97.5%"),
        ("all, levels that do not follow", "62.5%"),
    )
    assert bad_years([one, judged(2)]) == {2010: [one]}
    assert bad_years([one], "!") == {}
    worse = judged(4, held={"naive": 34})
    # 14 of 20 days: of forecasts of five days these are four
    assert years_table([worse]).rows[1] == ("2011", "70.0%*!")
    assert years_table([judged(1, held={"naive": 37})]).rows[1] == ("2011", "85.0%*")
    assert years_table([judged(0, held={"naive": 36})]).rows[1] == ("2011", "80.0%*!")


@pytest.mark.parametrize(
    ("share", "days", "beyond"),
    [(0.85, 20, False), (0.8, 20, True), (1.0, 20, False), (0.0, 0, False), (1.0, 0, False)],
)
def test_chance_allows_what_lies_within_the_binomial_bounds(share, days, beyond):
    assert off(share, days) == beyond
