"""The statistics against slow and obvious twins, on numbers of any size."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from src.reporting.recipes import compare_recipes
from src.reporting.statistics import (
    confidence_set,
    detectable,
    diebold_mariano,
    difference,
    estimate,
    holm,
    pairs,
)

quick = settings(max_examples=40, deadline=None, derandomize=True)
numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
series = st.lists(numbers, min_size=3, max_size=12)
p_values = st.lists(st.floats(0.0, 1.0), max_size=10)
factors = st.floats(1e-3, 1e3)


@quick
@given(values=series)
def test_an_estimate_is_mean_and_deviation_by_their_definitions(values):
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    found = estimate(values)
    assert found.mean == pytest.approx(mean, rel=1e-9, abs=1e-6)
    assert found.sd == pytest.approx(deviation, rel=1e-6, abs=1e-6)
    assert found.low - 1e-6 <= found.mean <= found.high + 1e-6
    assert found.n == len(values)


@quick
@given(values=series, factor=factors)
def test_the_unit_of_the_values_decides_nothing(values, factor):
    assume(np.std(values) > 1e-3 * max(map(abs, values)))
    one, other = estimate(values), estimate(np.array(values) * factor)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-6)
    assert detectable(other, 3) == pytest.approx(factor * detectable(one, 3), rel=1e-6)


@quick
@given(values=series, comparisons=st.integers(1, 40))
def test_what_could_have_been_told_grows_with_the_number_of_comparisons(values, comparisons):
    assume(np.std(values) > 0)
    found = estimate(values)
    assert detectable(found, comparisons + 1) > detectable(found, comparisons)
    assert (abs(found.mean) > detectable(found)) == (found.p_value < 0.05)


@quick
@given(p=p_values, more=st.integers(0, 5))
def test_holm_equals_its_steps_one_by_one(p, more):
    tests = len(p) + more
    order = sorted(range(len(p)), key=lambda i: p[i])
    expected, so_far = [0.0] * len(p), 0.0
    for place, i in enumerate(order):
        so_far = max(so_far, min(1.0, p[i] * (tests - place)))
        expected[i] = so_far
    adjusted = holm(p, tests)
    assert adjusted == pytest.approx(expected)
    assert all(a >= one for a, one in zip(adjusted, p, strict=True))


@quick
@given(count=st.integers(1, 30))
def test_pairs_are_counted_as_one_counts_them(count):
    assert pairs(count) == sum(1 for a in range(count) for b in range(a))


@quick
@given(a=st.lists(numbers, min_size=4, max_size=30), seed=st.integers(0, 99))
def test_which_forecast_comes_first_turns_the_sign_and_nothing_else(a, seed):
    b = np.random.default_rng(seed).permutation(a)
    one, other = diebold_mariano(a, b), diebold_mariano(b, a)
    assert one.statistic == pytest.approx(-other.statistic)
    assert one.p_value == pytest.approx(other.p_value)


@quick
@given(values=series, noise=st.floats(-1e-9, 1e-9))
def test_what_rounding_makes_is_no_difference(values, noise):
    turned = np.array(values) * (1 + noise)
    assert not difference(turned, values).any()
    assert diebold_mariano(turned, values)[:2] == (0.0, 1.0)


losses = st.tuples(st.integers(2, 4), st.integers(5, 30), st.integers(0, 99))


@quick
@given(shape=losses, factor=factors)
def test_recipes_are_compared_alike_in_every_unit_and_order(shape, factor):
    seeds, days, seed = shape
    a, b = np.random.default_rng(seed).exponential(size=(2, seeds, days))
    one, scaled = compare_recipes(a, b), compare_recipes(a * factor, b * factor)
    assert scaled.relative == pytest.approx(one.relative)
    assert scaled.p_value == pytest.approx(one.p_value)
    assert compare_recipes(b, a).p_value == pytest.approx(one.p_value)
    shuffled = np.random.default_rng(seed).permutation(seeds)
    assert compare_recipes(a[shuffled], b[shuffled]).p_value == pytest.approx(one.p_value)
    assert (abs(one.relative) > one.detectable()) == (one.p_value < 0.05)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), factor=factors)
def test_a_confidence_set_does_not_mind_order_and_unit(seed, factor):
    table = np.random.default_rng(seed).exponential(size=(60, 3))
    found = confidence_set(table, repetitions=100)
    assert confidence_set(table[:, ::-1], repetitions=100)[::-1] == pytest.approx(found)
    assert confidence_set(table * factor, repetitions=100) == pytest.approx(found)
    assert found[table.mean(axis=0).argmin()] == 1.0
