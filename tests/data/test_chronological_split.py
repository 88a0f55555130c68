"""Splits follow one another in time and share no row."""

import pytest

from src.data.split import check_fractions, chronological_split, rows_needed


def test_splits_follow_one_another_and_cover_everything():
    rows = chronological_split(100, 1100, (0.7, 0.15, 0.15))
    assert rows == {"train": range(100, 800), "val": range(800, 950), "test": range(950, 1100)}


@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.6, 0.1, 0.3), (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("context_length", [2, 20, 61])
def test_from_rows_needed_on_each_split_has_a_window(fractions, context_length):
    def shortest(rows: int) -> int:
        return min(map(len, chronological_split(0, rows, fractions).values()))

    needed = rows_needed(fractions, context_length)
    assert all(shortest(rows) > context_length for rows in range(needed, 3 * needed))
    assert shortest(needed - 1) <= context_length


@pytest.mark.parametrize(
    "fractions", [(0.7, 0.3), (0.7, 0.15, 0.2), (1.0, 0.0, 0.0), (float("nan"), 0.5, 0.5)]
)
def test_wrong_fractions_are_refused(fractions):
    with pytest.raises(ValueError, match="split must be three positive fractions with sum 1, got"):
        check_fractions(fractions)
