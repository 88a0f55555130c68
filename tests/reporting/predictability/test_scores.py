"""What models lose, and how that stands to the naive forecast."""

import math
from dataclasses import replace

import numpy as np
import pytest

from src.reporting.predictability.scores import (
    ALWAYS_UP,
    BASE_RATE,
    BRIER,
    CRPS,
    QLIKE,
    RMSE,
    WAY,
    Against,
    Cell,
    _of_directions,
    _of_returns,
    against,
    judge,
)
from src.reporting.predictability.spread import ERRORS, holds
from src.reporting.predictability.store import QUESTIONS, Kept
from src.reporting.standing import ALPHA
from src.reporting.statistics import diebold_mariano
from tests.reporting.predictability.fabricate import kept


def test_the_interval_of_a_difference_is_that_of_its_test():
    rng = np.random.default_rng(0)
    worse = rng.normal(1.1, 0.5, 400), rng.normal(1.0, 0.5, 400)
    for horizon in (1, 5):
        got = against(*worse, horizon)
        test = diebold_mariano(*worse, horizon)
        assert got.relative == test.relative
        assert (got.low > 0) == (abs(test.statistic) > 1.96)
        assert got.high - got.relative == pytest.approx(got.relative - got.low)


def test_the_same_forecast_twice_is_no_difference():
    losses = np.arange(40.0)
    assert against(losses, losses, 1) == (0.0, 0.0, 0.0, 1.0)


def test_errors_by_hand():
    own = kept(skill=0.5)
    judged = judge(own)
    late = slice(ERRORS, None)
    errors = [(own.actual - own.forecasts[name])[late] for name in ("har", "naive")]
    ratio = math.sqrt((errors[0] ** 2).mean() / (errors[1] ** 2).mean())
    assert judged.cells[RMSE]["har"].value == pytest.approx(ratio)
    rose, said = own.actual[late] > 0, own.forecasts["har"][late] > 0
    assert judged.cells[WAY]["har"].value == pytest.approx((rose == said).mean())
    assert judged.cells[WAY][ALWAYS_UP].value == pytest.approx(rose.mean())
    assert judged.kept.date[0] == own.date[ERRORS]


def test_what_knows_is_marked_better_and_what_does_not_is_not():
    cells = judge(kept(skill=0.6)).cells
    for measure in (RMSE, CRPS):
        assert cells[measure]["har"].mark == "+°"
        assert cells[measure]["lstm"].mark == "+"
        assert not cells[measure]["ridge"].mark.startswith("+")
        assert cells[measure]["naive"].mark == ""


def test_qlike_of_variances_and_brier_of_directions_by_hand():
    own = kept("volatility_1", skill=0.7)
    cell = judge(own).cells[QLIKE]["har"]
    share = (own.actual / own.forecasts["har"])[ERRORS:]
    naive = (own.actual / own.forecasts["naive"])[ERRORS:]
    losses = [(one - np.log(one) - 1).mean() for one in (share, naive)]
    assert cell.value == pytest.approx(losses[0] / losses[1])
    rises = kept("direction_1", skill=0.7)
    brier = judge(rises).cells[BRIER]["har"].value
    assert brier == pytest.approx(((rises.forecasts["har"] - rises.actual)[ERRORS:] ** 2).mean())


def test_five_days_are_tested_with_the_lags_of_their_overlap():
    own = kept("return_5", skill=0.3)
    judged = judge(own)
    losses = judged.losses[RMSE]
    test = diebold_mariano(losses["har"], losses["naive"], 5)
    assert judged.cells[RMSE]["har"].against.p_value == test.p_value
    assert len(judged.kept.date) == len(own.date) - ERRORS - 4


def test_a_mark_says_better_worse_or_neither():
    gain = against(np.zeros(50), np.ones(50) + np.arange(50) / 100, 1)
    assert Cell(0.5, gain, 0.01, True).mark == "+°"
    assert Cell(0.5, gain._replace(relative=0.1), 0.01, False).mark == "-"
    assert Cell(0.5, gain, 0.2, False).mark == "="


def test_forecasts_without_a_naive_one_are_refused():
    own = kept()
    lacking = {name: one for name, one in own.forecasts.items() if name != "naive"}
    with pytest.raises(ValueError, match="S&P 500: the return of the next day: there is no"):
        judge(replace(own, forecasts=lacking))


def small(question, actual, **forecasts):
    count = len(actual)
    made = {name: np.array(values) for name, values in forecasts.items()}
    date = (np.datetime64("2010-01-04") + np.arange(count)).astype(str)
    return Kept("sp500", question, date, np.ones(count), np.array(actual), made)


def test_ways_of_returns_by_hand_where_nothing_moves_and_nothing_is_said():
    every = small(QUESTIONS[0], [0.01, 0.0, 0.01, 0.01, -0.01, 0.02])
    own = small(
        QUESTIONS[0],
        [0.01, 0.0, -0.01, 0.02],
        naive=[0.0] * 4,
        har=[0.0, 0.01, -0.01, 0.01],
    )
    squares, _, way, brier = _of_returns(own, {}, every)
    assert squares.losses["har"] == pytest.approx([1e-4, 1e-4, 0.0, 1e-4])
    assert way.losses["har"].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert way.losses[ALWAYS_UP].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert "naive" not in way.losses
    # before each of the latest four 1 of 2, 2 of 3, 3 of 4 and 3 of 5 had risen
    shares = np.array([1 / 2, 2 / 3, 3 / 4, 3 / 5])
    assert brier.losses[BASE_RATE] == pytest.approx((shares - [1, 0, 0, 1]) ** 2)
    assert (way.shown(0.25, 9.0), brier.shown(0.25, 9.0)) == (0.75, 0.25)
    assert squares.shown(0.25, 1.0) == 0.5
    assert math.isnan(squares.shown(0.25, 0.0))


def test_ways_of_directions_by_hand_at_an_even_chance():
    own = small(QUESTIONS[2], [1.0, 0.0, 1.0], naive=[0.5] * 3, har=[0.5, 0.5, 0.6])
    way, brier = _of_directions(own, {}, own)
    assert way.losses["har"].tolist() == [1.0, 0.0, 0.0]
    assert brier.losses["har"] == pytest.approx([0.25, 0.25, 0.16])


def test_the_reach_of_an_interval_is_that_of_the_normal_distribution():
    test = diebold_mariano([1.0, 4.0, 3.0, 6.0], [0.0, 2.0, 0.0, 2.0])
    found = against(np.array([1.0, 4.0, 3.0, 6.0]), np.array([0.0, 2.0, 0.0, 2.0]), 1)
    reach = 1.959964 * test.relative / test.statistic
    assert (found.low, found.high) == pytest.approx((test.relative - reach, test.relative + reach))


def test_at_five_per_cent_nothing_is_told_apart():
    apart = Against(-0.1, -0.2, -0.05, ALPHA)
    assert Cell(0.9, apart, ALPHA, False).mark == "="
    assert Cell(0.9, apart, 0.049, False).mark == "+"


def test_intervals_of_three_levels_follow_and_one_is_rigid():
    own = kept("return_5", skill=0.3, days=400)
    judged = judge(own)
    ranks = judged.spreads["har"].rank(judged.kept.actual)
    assert list(judged.covered["har"]) == [0.5, 0.8, 0.95]
    for level, held in judged.covered["har"].items():
        assert held.tolist() == holds(ranks, level, 5).tolist()
    assert judged.rigid["har"].tolist() == holds(ranks, 0.95, step=0.0).tolist()
