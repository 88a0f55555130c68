"""The 129 features of a bar: market, indicator and position, named and grouped, in this order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from src.data.features.book import position_features
from src.data.features.indicators import indicator_features
from src.data.features.market import market_features
from src.data.reading.sources import PriceTable

# Rows that lack history for some feature: 60 returns make a volatility, 60 of those its usual size.
WARMUP_ROWS = 119


@dataclass(frozen=True)
class FeatureTable:
    """Features of consecutive rows.

    Args:
        values: (N, F), float32, finite.
        names: Name of each column, its group first, as in `indicator_rsi_14`.
        units: Unit of each column.
        groups: The columns of each group.
    """

    values: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    groups: dict[str, slice]


def bar_features(table: PriceTable) -> FeatureTable:
    """Compute all features of a table of bars, each from its own row and earlier ones only.

    Args:
        table: N bars with open, high, low, close and volume, more than `WARMUP_ROWS`.

    Returns:
        Features of the rows from `WARMUP_ROWS` on (N - WARMUP_ROWS, 129).
    """
    parts = {
        "market": market_features(table),
        "indicator": indicator_features(table),
        "position": position_features(table),
    }
    groups: dict[str, slice] = {}
    start = 0
    for group, features in parts.items():
        groups[group] = slice(start, start + len(features))
        start += len(features)
    columns = [values for features in parts.values() for values, _ in features.values()]
    values = np.stack(columns, axis=1)[WARMUP_ROWS:].astype(np.float32)
    assert np.isfinite(values).all(), "a feature has no value after the warm-up"
    return FeatureTable(
        values=values,
        names=tuple(f"{group}_{name}" for group, part in parts.items() for name in part),
        units=tuple(unit for part in parts.values() for _, unit in part.values()),
        groups=groups,
    )
