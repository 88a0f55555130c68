"""A trend in losses is told from noise, whatever its size."""

import math

import pytest
import torch

from src.diagnostics.measuring.trend import falls, trend


def test_four_falling_values_have_the_statistic_computed_by_hand() -> None:
    # all 6 pairs fall; variance 4 * 3 * 13 / 18; one off for continuity
    assert trend([4.0, 3.0, 2.0, 1.0]) == pytest.approx(-5 / math.sqrt(156 / 18))


def test_ties_take_their_part_from_the_variance() -> None:
    # 4 pairs fall and 2 are ties: (156 - 2 * 2 * 1 * 9) / 18
    assert trend([2.0, 2.0, 1.0, 1.0]) == pytest.approx(-3 / math.sqrt(120 / 18))


def test_noise_falls_in_one_of_twenty_series() -> None:
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(400, 100, generator=generator)
    assert 8 <= sum(falls(values.tolist()) for values in series) <= 32


@pytest.mark.parametrize("values", [[1.0] * 100, [3.0, math.nan, 1.0], [1.0], []])
def test_what_stays_or_is_no_number_does_not_fall(values: list[float]) -> None:
    assert not falls(values)


def test_a_small_fall_under_noise_and_in_repeated_batches_is_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(10, generator=generator).repeat(10)
    slope = -0.02 * torch.arange(100.0)
    assert falls((batches + slope).tolist())
    assert not falls(batches.tolist())
