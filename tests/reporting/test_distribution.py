"""Scores of distributions and intervals, by hand and against closed forms."""

import numpy as np
import pytest
from scipy import stats

from src.reporting.distribution import (
    central,
    crps,
    interval_score,
    judge_quantiles,
    pinball,
)

LEVELS = [0.025, 0.05, *np.arange(0.1, 0.95, 0.05).round(2), 0.95, 0.975]


def test_pinball_losses_equal_hand_computed_values():
    lost = pinball(np.array([[1.0, 5.0]]), np.array([6.0]), [0.1, 0.9])
    np.testing.assert_allclose(lost, [[0.5, 0.9]])


def test_the_crps_of_a_normal_distribution_is_its_closed_form():
    came = np.array([-1.5, 0.0, 0.7])
    quantiles = np.tile(stats.norm.ppf(LEVELS), (3, 1))
    # Gneiting and Raftery 2007, section 4.2: the normal distribution.
    closed = came * (2 * stats.norm.cdf(came) - 1) + 2 * stats.norm.pdf(came) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps(quantiles, came, LEVELS), closed, rtol=0.03)


def test_the_crps_of_a_point_is_its_absolute_error():
    point = np.full((1, len(LEVELS)), 2.0)
    assert crps(point, np.array([5.0]), LEVELS)[0] == pytest.approx(3.0)


def test_an_interval_pays_for_its_width_and_for_each_miss():
    low, high = np.array([1.0, 1.0, 1.0]), np.array([3.0, 3.0, 3.0])
    scores = interval_score(low, high, np.array([2.0, 0.5, 4.0]), 0.8)
    # 2, and 2 / 0.2 = 10 times 0.5 below and 1 above.
    np.testing.assert_allclose(scores, [2.0, 7.0, 12.0])


def test_coverage_is_told_over_all_and_by_year():
    quantiles = np.array([[0.0, 1.0, 2.0]] * 4)
    came, years = np.array([0.5, 2.5, 1.0, 3.0]), np.array(["2020", "2020", "2021", "2021"])
    found = judge_quantiles(quantiles, came, [0.25, 0.5, 0.75], years)
    half = found["intervals"]["0.5"]
    assert list(found["intervals"]) == ["0.5"]
    assert (half["coverage"], half["by_year"]) == (0.5, {"2020": 0.5, "2021": 0.5})
    assert half["width"] == 2.0
    assert half["interval_score"] == pytest.approx((2 + 4 + 2 + 6) / 4)


def test_there_is_no_interval_without_its_quantiles():
    assert central(np.zeros((1, 2)), [0.1, 0.9], 0.95) is None
    assert central(np.array([[1.0, 2.0]]), [0.1, 0.9], 0.8).tolist() == [[1.0, 2.0]]


def test_intervals_of_half_four_fifths_and_nearly_all_are_judged():
    quantiles = np.tile(stats.norm.ppf(LEVELS), (2, 1))
    found = judge_quantiles(quantiles, np.zeros(2), LEVELS, np.array(["2020", "2020"]))
    assert list(found["intervals"]) == ["0.5", "0.8", "0.95"]


def test_what_comes_at_an_end_of_an_interval_lies_in_it():
    quantiles = np.array([[0.0, 2.0]] * 4)
    came, years = np.array([0.0, 2.0, -0.1, 2.1]), np.array(["2020"] * 4)
    assert judge_quantiles(quantiles, came, [0.25, 0.75], years)["intervals"]["0.5"] == {
        **{"coverage": 0.5, "interval_score": pytest.approx(2 + 4 * 0.2 / 4), "width": 2.0},
        "by_year": {"2020": 0.5},
    }


def test_levels_that_are_not_those_of_an_interval_make_none():
    assert central(np.array([[1.0, 2.0]]), [0.1 + 1.5e-9, 0.9], 0.8) is None
    assert central(np.array([[1.0, 2.0]]), [0.1 + 0.5e-9, 0.9], 0.8).tolist() == [[1.0, 2.0]]
