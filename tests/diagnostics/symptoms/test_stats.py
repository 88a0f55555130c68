"""Counts of features, by hand: what is dead, rare or constant, and which rows are kept."""

import math

import torch

from src.diagnostics.causes import CAUSES
from src.diagnostics.symptoms.stats import (
    SAMPLE_ROWS,
    FeatureStats,
    FlowStats,
    all_finite,
    any_nonzero,
    nonfinite_columns,
)
from tests.diagnostics.faults import healthy


def stats_of(*columns: list[float]) -> FeatureStats:
    stats = FeatureStats(len(columns))
    stats.add(torch.tensor(columns).T)
    return stats


def test_a_feature_that_is_never_a_number_is_not_dead() -> None:
    stats = stats_of([math.nan] * 4, [0.0] * 4, [1.0, 0.0, 0.0, 0.0], [math.inf] * 4)
    assert stats.dead.tolist() == [False, True, False, False]
    assert stats.nonfinite.tolist() == [4, 0, 0, 4]
    assert stats.constant.tolist() == [False] * 4


def test_rare_is_one_value_in_at_most_a_fifth_of_the_rows() -> None:
    often, seldom = [1.0] * 3 + [0.0] * 7, [1.0] * 2 + [0.0] * 8
    two_values, negative = [1.0, 2.0] + [0.0] * 8, [-3.0] + [0.0] * 9
    stats = stats_of(often, seldom, two_values, negative)
    assert stats.rare.tolist() == [False, True, False, True]


def test_the_sample_is_of_the_first_four_batches_not_of_the_first_alone() -> None:
    stats = FeatureStats(1)
    for number in range(6):
        stats.add(torch.full((SAMPLE_ROWS, 1), float(number)))
    values, counts = stats.sample.unique(return_counts=True)
    assert values.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert counts.tolist() == [SAMPLE_ROWS // 4] * 4


def test_one_rare_feature_excuses_one_dead_neighbour_and_no_more() -> None:
    for dead, benign in ((1, True), (2, False), (5, False)):
        case = healthy()
        for batch in case.batches:
            batch["x"][..., 2 : 2 + dead] = 0.0
            batch["x"][..., 11] = 0.0
            batch["x"][0, 0, 11] = 1.0
        found = [f for f in case.diagnose().findings if f.cause == "dead_input"]
        assert [f.benign for f in found] == [benign], dead
        assert found[0].evidence["rare_features"] == 1
    assert not CAUSES["dead_input"].benign


def test_finite_values_whose_sum_is_not_are_finite() -> None:
    large = torch.tensor([[3e38, 3e38], [-3e38, 1.0]])
    assert all_finite(large)
    assert nonfinite_columns(large) is None
    assert all_finite(torch.full((4,), 6e4, dtype=torch.float16))
    assert all_finite(torch.zeros(0))


def test_infinities_that_cancel_are_seen() -> None:
    values = torch.tensor([[math.inf, 1.0], [-math.inf, math.nan]])
    counts = nonfinite_columns(values)
    assert not all_finite(values)
    assert counts is not None
    assert counts.tolist() == [2, 1]


def test_the_smallest_number_and_nan_are_not_zero() -> None:
    for value in (1e-45, -1e-45, math.nan, math.inf):
        assert any_nonzero(torch.tensor([[0.0, 0.0], [value, 0.0]])), value
    for nothing in (torch.zeros(3, 2), torch.tensor([-0.0]), torch.zeros(0), torch.zeros(2).bool()):
        assert not any_nonzero(nothing)
    assert any_nonzero(torch.tensor([False, True]))
    assert any_nonzero(torch.tensor([0, 3]))


def test_a_unit_is_dead_when_nothing_but_zeros_arrives_in_any_batch() -> None:
    flow = FlowStats(4)
    flow.add(torch.tensor([[0.0, -1.0, 0.0, math.nan], [0.0, 1.0, 0.0, 0.0]]))
    flow.add(torch.tensor([[0.0, 0.0, 2.0, 0.0]]))
    assert flow.dead.tolist() == [True, False, False, False]
    assert flow.rows == 3
