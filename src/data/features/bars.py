"""The 129 features of a bar: market, indicator and position, named and grouped, in this order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from src.data.features import indicators, market
from src.data.features.book import position_features
from src.data.features.feature import Feature
from src.data.reading.sources import PriceTable

# Rows that lack history for some feature: 60 returns make a volatility, 60 of those its usual size.
WARMUP_ROWS = 119
GROUPS: dict[str, tuple[Callable[[PriceTable], Iterator[Feature]], float]] = {
    "market": (market.market_features, market.LIMIT),
    "indicator": (indicators.indicator_features, indicators.LIMIT),
    "position": (position_features, np.inf),
}
"""How the features of each group are computed, and the size at which they are clipped."""
NUM_FEATURES = 129
EXTRA = "extra"
"""The group of the user's own columns, after all others."""
# Columns are gathered before they are written, a row of them being one run of memory; of a million
# bars each is four megabytes.
_COLUMNS, _ROWS = 8, 8192


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


def bar_features(table: PriceTable, further: Sequence[Feature] = ()) -> FeatureTable:
    """Compute all features of a table of bars, each from its own row and earlier ones only.

    Args:
        table: N bars with open, high, low, close and volume, more than `WARMUP_ROWS`.
        further: Features of its rows that follow these, in the group `EXTRA`.

    Returns:
        Features of the rows from `WARMUP_ROWS` on (N - WARMUP_ROWS, 129 and the further ones).
    """
    num_features = NUM_FEATURES + len(further)
    values = np.empty((len(table) - WARMUP_ROWS, num_features), dtype=np.float32)
    names: list[str] = []
    units: list[str] = []
    block: list[np.ndarray] = []
    for group, feature in chain(features_of(table), ((EXTRA, own) for own in further)):
        names.append(f"{group}_{feature.name}")
        units.append(feature.unit)
        block.append(feature.values[WARMUP_ROWS:].astype(np.float32))
        assert group == EXTRA or np.isfinite(block[-1]).all(), "no value after the warm-up"
        if len(block) == _COLUMNS or len(names) == num_features:
            _write(values[:, len(names) - len(block) : len(names)], block)
            block = []
    return FeatureTable(values, tuple(names), tuple(units), _slices(names))


def features_of(table: PriceTable) -> Iterator[tuple[str, Feature]]:
    """Yield the group and every feature of all rows, clipped, one after the other."""
    for group, (compute, limit) in GROUPS.items():
        for feature in compute(table):
            values = feature.values
            yield group, feature._replace(values=np.clip(values, -limit, limit))


def _write(target: np.ndarray, columns: list[np.ndarray]) -> None:
    for start in range(0, len(target), _ROWS):
        rows = slice(start, start + _ROWS)
        target[rows] = np.stack([column[rows] for column in columns], axis=1)


def _slices(names: list[str]) -> dict[str, slice]:
    groups: dict[str, slice] = {}
    for group in (*GROUPS, EXTRA):
        if columns := [n for n, name in enumerate(names) if name.startswith(f"{group}_")]:
            groups[group] = slice(columns[0], columns[-1] + 1)
    return groups
