"""Cut a table into training, validation and test rows, in order of time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from src.data.reading.checks import say_date
from src.data.reading.errors import DataError
from src.data.reading.sources import PriceTable

SPLITS = ("train", "val", "test")
FEWEST_WINDOWS = 20
"""Training windows that a series among several has to have: its scaling comes from them."""


def check_fractions(fractions: Sequence[float]) -> tuple[float, float, float]:
    """Return the three fractions as floats.

    Args:
        fractions: Shares of training, validation and test rows.

    Returns:
        The same, checked.

    Raises:
        ValueError: If they are not three positive numbers with sum 1.
    """
    shares = tuple(float(share) for share in fractions)
    if len(shares) != 3 or not all(s > 0 for s in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"split must be three positive fractions with sum 1, got {list(shares)}")
    return shares[0], shares[1], shares[2]


def chronological_split(first: int, last: int, fractions: Sequence[float]) -> dict[str, range]:
    """Cut rows into three stretches that follow one another.

    A split's windows and targets, of however many rows, lie within its own stretch. So no raw row
    is shared, and a gap of one context length separates the last target of a split from the first
    of the next.

    Args:
        first: The first usable row.
        last: One past the last usable row.
        fractions: Shares of training, validation and test rows.

    Returns:
        The rows of `train`, `val` and `test`.

    >>> chronological_split(0, 10, (0.7, 0.2, 0.1))
    {'train': range(0, 7), 'val': range(7, 9), 'test': range(9, 10)}
    """
    train, val, _ = check_fractions(fractions)
    end_of_train = first + round((last - first) * train)
    end_of_val = first + round((last - first) * (train + val))
    edges = (first, end_of_train, end_of_val, last)
    return {name: range(edges[i], edges[i + 1]) for i, name in enumerate(SPLITS)}


def split_by_date(
    dates: Sequence[np.ndarray], first: int, fractions: Sequence[float]
) -> list[dict[str, range]]:
    """Cut several series at the same two dates, so that none sees another's future.

    The dates are those that part the rows of all series by the fractions.

    Args:
        dates: Ascending dates of each series.
        first: The first usable row of each.
        fractions: Shares of training, validation and test rows.

    Returns:
        The rows of `train`, `val` and `test` of each series; there may be none.

    >>> days = np.arange("2020-01-01", "2020-01-11", dtype="datetime64[D]")
    >>> [part["train"] for part in split_by_date([days, days[4:]], 0, (0.5, 0.25, 0.25))]
    [range(0, 6), range(0, 2)]
    """
    pooled = np.sort(np.concatenate([own[first:] for own in dates]))
    parts = chronological_split(0, len(pooled), fractions)
    cuts = [pooled[min(parts[name].start, len(pooled) - 1)] for name in SPLITS[1:]]
    splits = []
    for own in dates:
        inner = np.searchsorted(own[first:], np.array(cuts, dtype=own.dtype)) + first
        edges = (min(first, len(own)), *(min(int(n), len(own)) for n in inner), len(own))
        splits.append({name: range(edges[i], edges[i + 1]) for i, name in enumerate(SPLITS)})
    return splits


def rows_needed(fractions: Sequence[float], context_length: int, horizon: int = 1) -> int:
    """Return the number of usable rows from which on every split has a window and its target.

    Args:
        fractions: Shares of training, validation and test rows.
        context_length: Rows that a window shows.
        horizon: Rows of its target.

    >>> rows_needed((0.7, 0.15, 0.15), 20)
    139
    """

    def suffice(rows: int) -> bool:
        sizes = map(len, chronological_split(0, rows, fractions).values())
        return min(sizes) >= context_length + horizon

    # Rounding moves an edge by less than a row: this many always suffice, a few fewer may too.
    rows = math.ceil((context_length + horizon + 1) / min(fractions))
    while suffice(rows - 1):
        rows -= 1
    return rows


def split_rows(
    table: PriceTable, warmup: int, context_length: int, split: Sequence[float], horizon: int = 1
) -> dict[str, range]:
    """Return the raw rows of each split.

    Raises:
        DataError: If there are too few rows for one window and its target in each split.
    """
    needed = warmup + rows_needed(split, context_length, horizon)
    if len(table) < needed:
        expected = (
            f"at least {needed}: every split needs a window of {context_length} and its target"
        )
        raise DataError(table.name, table.last_line, 1, f"{len(table)} rows of prices", expected)
    return chronological_split(warmup, len(table), split)


def split_tables(
    tables: Sequence[PriceTable],
    warmup: int,
    context_length: int,
    split: Sequence[float],
    horizon: int = 1,
) -> tuple[tuple[PriceTable, ...], list[dict[str, range]], tuple[str, ...]]:
    """Split several series at the same dates, and leave out those with nothing to learn from.

    Returns:
        The series that are left, their raw rows of each split, and a line on each left out.

    Raises:
        DataError: If a split is left without a window.
    """
    needed, given, notes = context_length + horizon - 1 + FEWEST_WINDOWS, tables, []
    while True:
        parts = split_by_date([table.dates for table in tables], warmup, split)
        both = list(zip(tables, parts, strict=True))
        kept = [(table, rows) for table, rows in both if len(rows["train"]) >= needed]
        notes += [
            f"{table.ticker} is left out: {len(rows['train'])} of its {len(table)} rows, from "
            f"{say_date(table.dates[0], table.frequency)} on, are in the training part, which "
            f"takes {needed}"
            for table, rows in both
            if len(rows["train"]) < needed
        ]
        # Without them the dates may be others: those left are split as if they had come alone.
        if not kept or len(kept) == len(tables):
            break
        tables = [table for table, _ in kept]
    for name in SPLITS:
        most = max((len(rows[name]) for _, rows in kept), default=0)
        if most < context_length + horizon:
            found = f"at most {most} rows of a series in the {name} part"
            expected = f"a window of {context_length} and its target in one of {len(given)} series"
            raise DataError(given[0].name, given[0].last_line, 1, found, expected)
    return tuple(table for table, _ in kept), [rows for _, rows in kept], tuple(notes)
