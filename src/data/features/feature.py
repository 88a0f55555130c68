"""One feature of a bar: its values with the name, the unit and the definition they go by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PATTERN_UNIT = "-1 bearish to 1 bullish"
"""Unit of features that are 0 but for rare events."""


class Feature(NamedTuple):
    """A feature of every row of a table.

    Attributes:
        name: What it is called within its group, `rsi_14`.
        unit: What its values are counted in.
        meaning: How it is computed, for `docs/features.md`.
        values: (N,); NaN for rows that lack history.
    """

    name: str
    unit: str
    meaning: str
    values: np.ndarray
