"""Prediction intervals by hand, by count and by their promise."""

import numpy as np
import pytest

from src.runs.calibration import Calibration, errors, typical_move

NINE = Calibration(np.arange(1.0, 10.0), np.array([0.5, 2.0, 8.0, 8.5]))


def test_a_typical_move_is_the_spread_of_daily_returns_in_price_units():
    # Returns of +10% and -10% spread by 10% around 0.
    np.testing.assert_allclose(typical_move(np.array([[100.0, 110.0, 99.0]])), [9.9])


def test_the_typical_move_grows_with_the_price_and_never_reaches_zero():
    closes = np.array([[100.0, 110.0, 99.0], [1.0, 1.1, 0.99], [5.0, 5.0, 5.0]])
    moves = typical_move(closes)
    assert moves[0] == pytest.approx(100 * moves[1])
    assert moves[2] > 0


@pytest.mark.parametrize(("level", "quantile"), [(0.1, 1.0), (0.5, 5.0), (0.8, 8.0), (0.9, 9.0)])
def test_the_quantile_is_the_smallest_error_that_covers_with_one_window_more(level, quantile):
    assert NINE.quantile(level) == quantile


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 1.5, float("nan")])
def test_a_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match=f"got {level}"):
        NINE.quantile(level)


def test_a_level_that_needs_more_windows_is_refused_with_the_highest_there_is():
    with pytest.raises(ValueError, match=r"at most 0.9 with 9 validation windows, got 0.95"):
        NINE.quantile(0.95)


def test_coverage_counts_the_test_windows_within():
    assert NINE.coverage(0.8) == 0.75


def test_an_interval_spans_its_quantile_in_typical_moves_and_no_price_below_zero():
    closes = np.array([[100.0, 110.0, 99.0], [1.0, 10.0, 1.0]])
    interval = NINE.interval(np.array([100.0, 1.0]), closes, 0.5)
    np.testing.assert_allclose(interval[0], [100 - 5 * 9.9, 100 + 5 * 9.9])
    assert interval[1, 0] == 0


def test_an_interval_may_lie_below_zero_where_prices_did():
    closes = np.array([[100.0, 110.0, 99.0], [1.0, 10.0, 1.0]])
    oil = Calibration(NINE.validation, NINE.test, is_signed=True)
    assert oil.interval(np.array([100.0, 1.0]), closes, 0.5)[1, 0] < 0
    assert Calibration.from_dict(oil.to_dict()).is_signed
    below = np.array([[1.0, -37.0, 10.0], *closes[:1]])
    interval = NINE.interval(np.array([10.0, 1.0]), below, 0.5)
    # A deviation of changes: -38 and 47 around 4.5.
    np.testing.assert_allclose(interval[0], [10 - 5 * 42.5, 10 + 5 * 42.5])
    assert interval[1, 0] == 0  # another window's prices are no reason


def test_errors_are_in_typical_moves_and_ascend():
    closes = np.repeat([[100.0, 110.0, 99.0]], 2, axis=0)
    found = errors(np.array([100.0, 100.0]), np.array([119.8, 109.9]), closes)
    np.testing.assert_allclose(found, [1.0, 2.0])


def test_intervals_cover_as_promised_though_spreads_differ_a_hundredfold():
    rng = np.random.default_rng(0)
    spread = np.exp(rng.uniform(-6, -2, 4000))[:, None]
    closes = 50 * np.exp(np.cumsum(spread * rng.standard_normal((4000, 61)), axis=1))
    price, window = closes[:, -1], closes[:, :-1]
    found = np.abs(price - window[:, -1]) / typical_move(window)
    calibration = Calibration(np.sort(found[:2000]), np.sort(found[2000:]))
    for level in (0.5, 0.8, 0.9, 0.95):
        assert calibration.coverage(level) == pytest.approx(level, abs=0.03)


def test_a_calibration_comes_back_from_plain_values():
    again = Calibration.from_dict(NINE.to_dict())
    np.testing.assert_array_equal(again.validation, NINE.validation)
    np.testing.assert_array_equal(again.test, NINE.test)


def test_what_has_no_test_windows_has_no_coverage():
    with pytest.raises(ValueError, match="coverage is a share of test windows, got none"):
        Calibration(NINE.validation, np.array([])).coverage(0.5)


def test_a_window_of_one_day_shows_no_move():
    with pytest.raises(ValueError, match="a window must show 2 days or more, got 1"):
        typical_move(np.array([[100.0], [101.0]]))
