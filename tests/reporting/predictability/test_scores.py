"""What models lose, and how that stands to the naive forecast."""

import math
from dataclasses import replace

import numpy as np
import pytest

from src.reporting.predictability.scores import (
    ALWAYS_UP,
    BRIER,
    CRPS,
    QLIKE,
    RMSE,
    WAY,
    Cell,
    against,
    judge,
)
from src.reporting.predictability.spread import ERRORS
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
