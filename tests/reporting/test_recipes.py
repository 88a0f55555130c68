"""Recipes over seeds and days: hand-computed, and true to their level where nothing differs."""

import math

import numpy as np
import pytest
from scipy import stats

from src.reporting.recipes import _long_run_variance, compare_recipes
from src.reporting.statistics import confidence_set, holm, pairs


def test_variances_of_seeds_and_days_add_up_by_hand():
    # d by seed and day: (1, 3), (2, 4): mean 2.5; seed means 2, 3: variance 0.5 / 2 = 0.25;
    # day means 1.5, 3.5: variance 2 / 2 = 1; two seeds and two days have one degree of freedom
    test = compare_recipes([[2.0, 4.0], [3.0, 5.0]], np.ones((2, 2)))
    df = 1
    assert test.relative == 2.5
    assert test.df == df
    assert test.p_value == pytest.approx(2 * stats.t.sf(2.5 / math.sqrt(1.25), df))
    half = stats.t.ppf(0.975, df) * math.sqrt(1.25)
    assert (test.low, test.high) == pytest.approx((2.5 - half, 2.5 + half))
    assert test.detectable() == pytest.approx(half)
    assert test.detectable(28) > 3 * half


def test_one_seed_leaves_recipes_open():
    test = compare_recipes([[1.0, 2.0, 4.0]], [[1.0, 1.0, 1.0]])
    assert test.relative == pytest.approx(4 / 3)
    assert math.isnan(test.p_value)
    assert math.isnan(test.detectable())


def test_the_same_losses_are_the_same_recipe():
    losses = np.random.default_rng(0).normal(size=(3, 40)) ** 2
    assert compare_recipes(losses, losses * (1 + 1e-12)).p_value == 1.0


def test_clusters_of_days_make_the_test_more_careful():
    rng = np.random.default_rng(0)
    alone = rng.normal(1, 3, size=400)
    runs = np.repeat(alone[:40], 10)
    flat = np.full((3, 400), 5.0)
    scattered, clustered = (
        compare_recipes(flat + series, flat) for series in (np.tile(alone[:40], 10), runs)
    )
    assert clustered.relative == pytest.approx(scattered.relative)
    assert clustered.high - clustered.low > 1.5 * (scattered.high - scattered.low)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((2, 5)), np.ones((3, 5)), r"got \(2, 5\) and \(3, 5\)"),
        (np.ones((2, 1)), np.ones((2, 1)), "2 days or more"),
        (np.full((2, 5), math.nan), np.ones((2, 5)), "losses must be finite"),
    ],
)
def test_losses_that_cannot_be_compared_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        compare_recipes(a, b)


def identical_recipes(rng, recipes=8, seeds=3, days=150):
    """Return losses (recipe, seed, day) of one recipe: its seeds differ, its name does not."""
    weather = rng.normal(size=days)
    exposure = rng.normal(0.0, 0.15, size=(recipes, seeds, 1))
    bias = rng.normal(0.0, 0.15, size=(recipes, seeds, 1))
    return (weather * (1 + exposure) + bias) ** 2


def distinguished(losses_rsn):
    """Return how many recipes are told from the one that looks best, as a report does."""
    best = losses_rsn.mean(axis=(1, 2)).argmin()
    others = [n for n in range(len(losses_rsn)) if n != best]
    found = [compare_recipes(losses_rsn[n], losses_rsn[best]).p_value for n in others]
    return sum(p < 0.05 for p in holm(found, pairs(len(losses_rsn))))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_eight_identical_recipes_keep_their_level(seeds):
    rng = np.random.default_rng(seeds)
    wrong = sum(distinguished(identical_recipes(rng, seeds=seeds)) > 0 for _ in range(200))
    assert wrong <= 14  # 5% of 200 and two standard errors


def test_the_confidence_set_of_days_does_not_keep_them():
    rng = np.random.default_rng(0)
    lost = 0
    for _ in range(5):
        losses = identical_recipes(rng, days=750).mean(axis=1).T
        lost += int((confidence_set(losses, repetitions=200) <= 0.05).sum())
    assert lost / 5 > 2, "it is about these weights, of which most are worse than the luckiest"


def test_a_recipe_that_is_worse_is_found():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(20):
        losses = identical_recipes(rng, recipes=4, seeds=5)
        losses[1:] += 2.0
        found += distinguished(losses) == 3
    assert found >= 18


@pytest.mark.parametrize(
    ("days", "horizon", "lags"),
    [(5, 1, 2), (5, 4, 3), (5, 9, 4), (100, 1, 4), (200, 1, 4), (300, 1, 5)],
)
def test_days_hang_together_over_as_many_lags_as_there_are_data_and_steps(days, horizon, lags):
    x = np.cumsum(np.random.default_rng(0).normal(size=days))
    off = x - x.mean()
    total = sum(off**2)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * sum(off[n] * off[n - lag] for n in range(lag, days))
    independent = sum(off**2) / (days - 1)
    expected = max(total / (days - 1), independent)
    assert _long_run_variance(x, horizon) == pytest.approx(expected)


def test_days_that_swing_are_taken_as_independent():
    x = np.array([1.0, -1.0] * 20)
    assert _long_run_variance(x) == pytest.approx(40 / 39)


def test_a_recipe_that_loses_as_much_more_on_every_day_and_seed_is_told_without_an_error():
    assert compare_recipes(np.full((3, 4), 2.0), np.ones((3, 4))) == (1.0, 1.0, 1.0, 0.0, 2, 3, 4)


def test_of_a_recipe_that_loses_nothing_there_is_no_share():
    test = compare_recipes([[2.0, 4.0], [3.0, 5.0]], np.zeros((2, 2)))
    assert all(map(math.isnan, (test.relative, test.low, test.high)))
    assert 0 < test.p_value < 1
