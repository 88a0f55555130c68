import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.tsa.stattools import diebold_mariano_test

from src.reporting.statistics import (
    _block_length,
    confidence_set,
    detectable,
    diebold_mariano,
    difference,
    estimate,
    holm,
)


def test_interval_of_three_seeds_uses_students_t_with_two_degrees_of_freedom():
    # mean 4, sd 2, t(0.975; 2) = 4.30265, half width 4.30265 * 2 / sqrt(3) = 4.96827
    found = estimate([2.0, 4.0, 6.0])
    assert found[:5] == pytest.approx((4.0, 2.0, -0.96827, 8.96827, 3), abs=1e-5)


def test_p_value_below_five_percent_means_that_the_interval_excludes_zero():
    rng = np.random.default_rng(0)
    for _ in range(50):
        found = estimate(rng.normal(0.7, 1, size=rng.integers(2, 9)))
        assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_one_seed_has_a_mean_and_no_interval():
    found = estimate([3.0])
    assert found.mean == 3.0
    assert found.n == 1
    assert all(map(math.isnan, (found.sd, found.low, found.high, found.p_value)))


def test_values_that_are_not_finite_do_not_count():
    assert estimate([1.0, math.nan, 3.0, math.inf])[:2] == estimate([1.0, 3.0])[:2]
    assert estimate([math.nan]).n == 0


def test_equal_values_have_an_interval_without_width():
    assert estimate([2.0, 2.0]) == (2.0, 0.0, 2.0, 2.0, 2, 0.0)
    assert estimate([0.0, 0.0]).p_value == 1.0


@pytest.mark.filterwarnings("error")
def test_nearly_equal_values_are_no_warning_on_the_terminal():
    found = estimate([2.5, 2.5, 2.5 + 1e-15])
    assert found.low == pytest.approx(2.5)
    assert diebold_mariano([3.0, 4.0], [1.0, 2.0]) == (math.inf, 0.0, 2, 4 / 3)


def test_holm_by_hand():
    # in order: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, each at least the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, math.nan, 0.9])[0] == 1.0
    assert math.isnan(holm([0.5, math.nan])[1])
    assert holm([]) == []


@pytest.mark.slow
def test_holm_equals_that_of_statsmodels():
    rng = np.random.default_rng(0)
    for _ in range(10):
        p_values = rng.uniform(size=rng.integers(1, 12)) ** 3
        expected = multipletests(p_values, method="holm")[1]
        assert holm(p_values.tolist()) == pytest.approx(expected.tolist())


def test_diebold_mariano_by_hand():
    # d = 1, 3, 2, 6: mean 3, centred -2, 0, -1, 3; gamma_0 = 14 / 4
    # variance of the mean 3.5 / 4; correction sqrt((4 + 1 - 2) / 4)
    found = diebold_mariano([1, 3, 2, 6], [0, 0, 0, 0])
    expected = 3 / math.sqrt(3.5 / 4) * math.sqrt(3 / 4)
    assert found.statistic == pytest.approx(expected)
    assert found.p_value == pytest.approx(2 * stats.t.sf(expected, 3))


def test_diebold_mariano_equals_that_of_statsmodels():
    a, b = np.random.default_rng(1).normal(size=(2, 80))
    found = diebold_mariano(a, b)
    expected = diebold_mariano_test(
        np.zeros(80), a, b, lags=0, criterion=lambda _, losses: losses, harvey_adj=True
    )
    assert found[:2] == pytest.approx(tuple(expected), rel=1e-6)
    assert diebold_mariano(b, a).statistic == pytest.approx(-found.statistic)


def test_diebold_mariano_of_two_days_ahead_by_hand():
    # d = 1, 3, 2, 6: centred -2, 0, -1, 3; gamma_0 = 14 / 4, gamma_1 = (0 + 0 - 3) / 4
    # The lag would make the variance smaller than that of independent days: theirs counts.
    # correction sqrt((4 + 1 - 4 + 2 / 4) / 4)
    found = diebold_mariano([1, 3, 2, 6], [0, 0, 0, 0], horizon=2)
    assert found.statistic == pytest.approx(3 / math.sqrt(3.5 / 4) * math.sqrt(1.5 / 4))
    # d = 1, 2, 5, 8: centred -3, -2, 1, 4; gamma_0 = 30 / 4, gamma_1 = (6 - 2 + 4) / 4
    found = diebold_mariano([1, 2, 5, 8], [0, 0, 0, 0], horizon=2)
    expected = 4 / math.sqrt((30 / 4 + 2 * 8 / 4) / 4) * math.sqrt(1.5 / 4)
    assert found.statistic == pytest.approx(expected)
    assert found.p_value == pytest.approx(2 * stats.t.sf(expected, 3))


def test_overlapping_forecasts_keep_the_level_of_the_test():
    # Losses of five days ahead: sums over five days, of which four are shared with the day before.
    rng = np.random.default_rng(0)
    told = {1: 0, 5: 0}
    for _ in range(200):
        apart = np.convolve(rng.normal(size=504), np.ones(5), "valid")
        for horizon in told:
            told[horizon] += diebold_mariano(apart, np.zeros(500), horizon).p_value < 0.05
    assert told[1] > 60  # 30% instead of 5%
    assert told[5] < 20


@pytest.mark.parametrize("horizon", [0, 4])
def test_a_horizon_without_enough_days_is_refused(horizon):
    with pytest.raises(ValueError, match=f"horizon must be from 1 to 3 .* got {horizon}"):
        diebold_mariano([1, 3, 2, 6], [0, 0, 0, 0], horizon)


def test_identical_losses_are_equal_beyond_doubt():
    assert diebold_mariano([1.0, 2.0], [1.0, 2.0]) == (0.0, 1.0, 2, 0.0)


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1]), ([1], [1]), ([[1, 2]], [[1, 2]])])
def test_losses_that_cannot_be_compared_are_refused(a, b):
    with pytest.raises(ValueError, match=r"two series of the same 2 days or more, got \("):
        diebold_mariano(a, b)


def losses_of_four_forecasts(days=200):
    rng = np.random.default_rng(0)
    shared = rng.normal(size=days) ** 2
    good = shared + rng.normal(0, 0.3, size=days)
    return np.column_stack([good, shared, shared + 1 + rng.normal(0, 0.3, size=days), good])


def test_confidence_set_keeps_the_good_and_drops_the_bad():
    p = confidence_set(losses_of_four_forecasts())
    assert p.max() == 1.0
    assert p[2] < 0.05 < p[1]
    assert p[0] == p[3] > 0.05


def test_confidence_set_gives_the_same_answer_every_time_and_in_every_order():
    losses = losses_of_four_forecasts()
    assert (confidence_set(losses) == confidence_set(losses)).all()
    assert confidence_set(losses[:, ::-1])[::-1] == pytest.approx(confidence_set(losses))


def test_equal_forecasts_are_all_in_the_confidence_set():
    assert confidence_set(np.ones((40, 3))).tolist() == [1.0, 1.0, 1.0]


def test_confidence_set_refuses_a_handful_of_days():
    with pytest.raises(ValueError, match="at least 30 days, got 5"):
        confidence_set(np.ones((5, 2)))


def test_a_loss_that_is_not_finite_is_refused_with_its_place():
    losses = losses_of_four_forecasts()
    losses[3, 1] = math.nan
    with pytest.raises(ValueError, match="finite, got nan on day 3 of forecast 1"):
        confidence_set(losses)
    with pytest.raises(ValueError, match="finite, got nan on day 3 of forecast 1"):
        diebold_mariano(losses[:, 0], losses[:, 1])


def test_differences_of_rounding_are_none():
    test = diebold_mariano([1.0, 2.0, 3.0], [1.0 + 3.6e-15, 2.0, 3.0])
    assert test == (0.0, 1.0, 3, 0.0)


def test_the_smallest_detectable_difference_by_hand():
    # sd 1, error 1 / sqrt 3, t(0.975; 2) = 4.30265; among three t(1 - 0.05 / 6; 2) = 7.6488
    found = estimate([1.0, 2.0, 3.0])
    assert detectable(found) == pytest.approx(4.30265 / math.sqrt(3), abs=1e-4)
    assert detectable(found, 3) == pytest.approx(7.64885 / math.sqrt(3), abs=1e-3)
    assert math.isnan(detectable(estimate([1.0])))


def test_what_is_picked_from_all_pairs_is_adjusted_for_all_pairs():
    assert holm([0.01, 0.02], comparisons=6) == pytest.approx([0.06, 0.1])


def persistent(days=400, stays=0.95, seed=0):
    """Return a series (days,) whose level changes slowly: an autoregression around 0."""
    noise = np.random.default_rng(seed).normal(size=days)
    series = np.zeros(days)
    for day in range(1, days):
        series[day] = stays * series[day - 1] + noise[day]
    return series - series.mean()


def test_blocks_are_as_long_as_the_losses_stay():
    alone = np.random.default_rng(0).normal(size=(400, 1))
    assert _block_length(alone) < 6
    assert _block_length(persistent()[:, None]) > 12


def test_a_lead_of_a_few_long_spells_is_no_lead():
    # The same differences, in spells and shuffled: only shuffled they are many observations.
    apart = persistent() + 0.45
    flat = np.full(len(apart), 5.0)
    shuffled = np.random.default_rng(1).permutation(apart)
    spells, alone = (
        confidence_set(np.column_stack([flat, flat + d]))[1] for d in (apart, shuffled)
    )
    assert alone < 0.05 < spells


def test_what_differs_by_more_than_a_ten_millionth_differs():
    assert difference([1 + 0.9e-7], [1.0]).tolist() == [0.0]
    assert difference([1 + 1.5e-7], [1.0])[0] == pytest.approx(1.5e-7)


def test_zeros_are_zero_without_a_doubt():
    assert estimate([0.0, 0.0]) == (0.0, 0.0, 0.0, 0.0, 2, 1.0)


@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_diebold_mariano_of_three_days_ahead_by_hand(unit):
    # d = 1, 2, 5, 8, 4: centred -3, -2, 1, 4, 0; the correction is (5 + 1 - 6 + 3 * 2 / 5) / 5
    found = diebold_mariano(unit * np.array([1, 2, 5, 8, 4]), np.zeros(5), horizon=3)
    own = [30 / 5, (6 - 2 + 4 + 0) / 5, (-3 - 8 + 0) / 5]
    variance = max(own[0] + 2 * (own[1] + own[2]), own[0]) / 5
    assert found.statistic == pytest.approx(4 / math.sqrt(variance) * math.sqrt(1.2 / 5))


def test_the_same_loss_more_every_day_is_beyond_doubt_over_several_days_too():
    found = diebold_mariano([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], horizon=2)
    assert found == (math.inf, 0.0, 3, 0.5)


def test_thirty_days_are_enough_for_a_confidence_set_and_29_are_not():
    losses = np.random.default_rng(0).exponential(size=(30, 1))
    assert confidence_set(np.column_stack([losses, losses + 1])).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="at least 30 days, got 29"):
        confidence_set(losses[:29])


def test_a_confidence_set_takes_a_thousand_samples_from_seed_0():
    losses = np.random.default_rng(3).exponential(size=(30, 3))
    found = confidence_set(losses)
    assert found.tolist() == confidence_set(losses, 1000, 0).tolist()
    assert any(0 < p < 1 for p in found)


def test_the_unit_of_the_losses_does_not_change_the_blocks():
    assert _block_length(0.001 * persistent()[:, None]) == _block_length(persistent()[:, None])
