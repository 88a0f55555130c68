"""Further columns of a file, wanted as features: found by name, each value known on its date.

A missing value is the one before it, never the one after: what a column will say is not known yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from src.data.reading.checks import PriceWarning, say_date
from src.data.reading.errors import quote
from src.data.reading.names import plain
from src.data.reading.sheet import Sheet

PREFIX = "extra:"
"""Sets the role of such a column apart: `extra:volume` is a feature, `volume` part of the bar."""


def find_extra(sheet: Sheet, names: Sequence[str]) -> dict[str, int]:
    """Return the role and position of each wanted column.

    Raises:
        DataError: If one is not there.
    """
    found = {}
    for name in names:
        near = [n for n, head in enumerate(sheet.header) if head and plain(head) == plain(name)]
        same = [n for n in near if sheet.header[n] == name] or near
        if not same:
            header = ", ".join(map(quote, sheet.header[:20]))
            raise sheet.header_error(f"columns {header}", f"a column {name}, as data.extra says")
        found[PREFIX + name] = same[0]
    return found


def known_by_then(
    columns: Mapping[str, np.ndarray], dates: np.ndarray, frequency: str
) -> tuple[dict[str, np.ndarray], int, list[PriceWarning]]:
    """Fill what is missing with the value before it.

    Args:
        columns: Values in order of time (N,), NaN where there is none.
        dates: Of the same rows.
        frequency: Of the bars, for messages.

    Returns:
        The same without gaps, how many rows come before the first value of one of them, and what
        is to be said.

    >>> values = {"rsi": np.array([np.nan, 50.0, np.nan, 60.0])}
    >>> days = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]")
    >>> filled, first, said = known_by_then(values, days, "daily")
    >>> filled["rsi"][first:], first
    (array([50., 50., 60.]), 1)
    """
    missing = {name: np.isnan(column) for name, column in columns.items()}
    first = max((int(np.argmin(gaps)) for gaps in missing.values()), default=0)
    filled, said = {}, []
    for name, column in columns.items():
        gaps = missing[name]
        latest = np.maximum.accumulate(np.where(gaps, 0, np.arange(len(column))))
        filled[name] = column[latest]
        later = np.flatnonzero(gaps[first:]) + first
        if len(later):
            day = say_date(dates[later[0]], frequency)
            text = f"{name} is missing in {len(later)} bars, first on {day}: the last one stands in"
            said.append(PriceWarning("missing values", text, int(later[0]) - first))
    if first:
        late = [name for name, gaps in missing.items() if gaps[first - 1]]
        text = f"{first} bars before the first value of {', '.join(late)} are left out"
        said.append(PriceWarning("left out", text, 0))
    return filled, first, said
