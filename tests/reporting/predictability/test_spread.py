"""The errors of the year before, laid around a forecast."""

import numpy as np
import pytest

from src.reporting.predictability.spread import Spread, holds, spread, volatility


def test_a_forecast_has_the_errors_that_were_known_and_no_others():
    # Forecasts of two bars: what came of row 1 is known after row 2's bar, so at row 3.
    got = spread([0.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], horizon=2, errors=2)
    assert got.first == 3
    assert got.samples.tolist() == [[1.0, 2.0], [2.0, 3.0]]


def test_no_distribution_knows_what_is_to_come():
    rng = np.random.default_rng(0)
    forecast, actual = rng.normal(size=(2, 80))
    for horizon in (1, 5):
        whole = spread(forecast, actual, horizon=horizon, errors=20)
        later = actual.copy()
        later[50:] = 1e9
        cut = spread(forecast, later, horizon=horizon, errors=20)
        known = 50 + horizon - whole.first
        assert np.array_equal(whole.samples[:known], cut.samples[:known])
        assert not np.array_equal(whole.samples[known], cut.samples[known])


def test_errors_are_in_units_of_the_volatility_of_their_time():
    got = spread([1.0, 1.0, 1.0], [2.0, 3.0, 0.0], scale=[1.0, 2.0, 10.0], errors=2)
    assert got.samples.tolist() == [[11.0, 11.0]]


def test_the_score_of_two_samples_by_hand():
    # |0 - 1| and |4 - 1| average 2; half the mean distance of two draws is 1.
    two = Spread(0, np.array([[0.0, 4.0]]))
    assert two.crps([1.0]).tolist() == [1.0]


def test_the_score_is_smallest_around_what_comes():
    rng = np.random.default_rng(1)
    right = Spread(0, np.sort(rng.normal(0.0, 1.0, (2000, 100)), axis=1))
    came = rng.normal(0.0, 1.0, 2000)
    moved, wide = (Spread(0, right.samples * a + b) for a, b in ((1, 0.5), (2, 0)))
    assert right.crps(came).mean() < min(moved.crps(came).mean(), wide.crps(came).mean())


def test_an_interval_holds_as_often_as_it_says():
    rng = np.random.default_rng(2)
    came = rng.standard_t(4, 20_000)
    own = spread(np.zeros_like(came), came, errors=252)
    for level in (0.5, 0.8, 0.95):
        low, high = own.interval(level)
        held = np.mean((low <= came[own.first :]) & (came[own.first :] <= high))
        assert held == pytest.approx(level, abs=0.01)


def test_a_probability_is_never_certain():
    own = Spread(0, np.array([[1.0, 2.0, 3.0], [-3.0, -2.0, 1.0]]))
    assert own.above().tolist() == [3.5 / 4, 1.5 / 4]


def test_volatility_is_known_before_the_bar_and_grows_with_the_root_of_the_horizon():
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 300)))
    one = volatility(closes)
    assert one[-1] == pytest.approx(0.01, rel=0.5)
    assert volatility(closes[:200])[-1] == one[199]
    assert volatility(closes, 4) == pytest.approx(2 * one)
    assert (volatility([5.0, 5.0, 5.0]) > 0).all()


def test_too_few_errors_are_refused():
    with pytest.raises(ValueError, match="more than 252, to have 252 errors, got 10"):
        spread(np.zeros(10), np.zeros(10))


def test_intervals_of_any_outcomes_hold_as_often_as_they_should_in_the_long_run():
    rng = np.random.default_rng(4)
    drifting = rng.normal(0.0, 1.0 + 4.0 * (np.arange(4000) % 1000 > 700), 4000)
    own = spread(np.zeros(4000), drifting)
    ranks = own.rank(drifting[own.first :])
    rigid, following = holds(ranks, 0.95, step=0.0), holds(ranks, 0.95)
    assert abs(following.mean() - 0.95) < abs(rigid.mean() - 0.95)
    assert following.mean() == pytest.approx(0.95, abs=0.01)


def test_a_level_that_does_not_follow_is_the_interval():
    rng = np.random.default_rng(5)
    came = rng.normal(size=600)
    own = spread(np.zeros(600), came, errors=100)
    low, high = own.interval(0.8)
    outcome = came[own.first :]
    held = holds(own.rank(outcome), 0.8, step=0.0)
    assert held.tolist() == ((low <= outcome) & (outcome <= high)).tolist()


def test_a_level_follows_what_is_known_and_no_more():
    ranks = np.full(40, 0.5)
    ranks[10] = 0.0
    ranks[11:] = 0.1
    # A miss at row 10 of forecasts of five days is known at row 15, not before.
    held = holds(ranks, 0.9, horizon=5, step=0.2)
    assert held[:10].all()
    assert not held[10:15].any()
    assert held[15]
    assert not holds(np.zeros(50), 0.95).any()


def test_the_score_of_three_samples_by_hand():
    # distances 1, 0, 4 average 5 / 3; half the mean distance of two draws is (1 + 5 + 4) / 9
    assert Spread(0, np.array([[0.0, 1.0, 5.0]])).crps([1.0]) == pytest.approx([5 / 9])


def test_what_lies_beyond_all_samples_has_the_outermost_rank():
    three = Spread(0, np.array([[1.0, 2.0, 4.0]] * 2))
    assert three.rank([0.5, 4.5]).tolist() == [0.0, 1.0]
    assert Spread(0, np.array([[0.0, 1.0]])).above().tolist() == [0.5]


def test_as_many_forecasts_as_errors_are_one_too_few():
    with pytest.raises(ValueError, match="more than 2, to have 2 errors, got 2"):
        spread([0.0] * 2, [1.0] * 2, errors=2)
    assert spread([0.0] * 3, [1.0] * 3, errors=2).samples.shape == (1, 2)


def test_an_interval_holds_what_lies_at_its_end_and_nothing_beyond_all_samples():
    assert holds([0.25, 0.75, 0.2], 0.5, step=0.0).tolist() == [True, True, False]
    assert holds([0.0, 1.0, 0.1], 1.0, step=0.0).tolist() == [False, False, True]
    assert holds([0.5] * 3, 0.1, step=1.0).tolist() == [True] * 3


def test_a_level_moves_by_five_thousandths_of_what_is_known_a_bar_later():
    ranks = np.random.default_rng(0).uniform(size=4000)
    found = holds(ranks, 0.9).tolist()
    assert found == holds(ranks, 0.9, horizon=1, step=0.005).tolist()
    assert found != holds(ranks, 0.9, horizon=1, step=0.01).tolist()


def test_prices_that_stand_still_have_next_to_no_volatility():
    assert volatility([5.0, 5.0, 5.0]) == pytest.approx([1e-6] * 3)
