"""Columns of the user's own beside the features of a bar: scaled, and otherwise as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from src.data.features.bars import EXTRA, FeatureTable
from src.data.features.feature import Feature
from src.data.reading.sources import PriceTable

UNIT = "standard deviations"


def extra_features(
    table: PriceTable, scalings: Sequence[tuple[str, float, float]]
) -> list[Feature]:
    """Return scaled columns of a table (N,) as features that follow those of its bars.

    Args:
        table: Prices with `extra` columns (N,).
        scalings: Name, offset and scale of each.
    """
    return [
        Feature(name, UNIT, "a column of the file", (table.extra[name] - offset) / scale)
        for name, offset, scale in scalings
    ]


def extra_values(
    table: PriceTable, scalings: Sequence[tuple[str, float, float]], first: int = 0
) -> np.ndarray:
    """Return scaled columns of a table, each value from its own row alone.

    Args:
        table: Prices with `extra` columns (N,).
        scalings: Name, offset and scale of each.
        first: The first row.

    Returns:
        (N - first, E), float32, in standard deviations of the training part.
    """
    columns = [feature.values[first:] for feature in extra_features(table, scalings)]
    return np.stack(columns, axis=1).astype(np.float32)


def with_extra(features: FeatureTable, values: np.ndarray, names: Sequence[str]) -> FeatureTable:
    """Return features with further columns (N, E) at the end, in a group of their own."""
    width = features.values.shape[1]
    return replace(
        features,
        values=np.concatenate([features.values, values], axis=1),
        names=(*features.names, *(f"{EXTRA}_{name}" for name in names)),
        units=(*features.units, *[UNIT] * len(names)),
        groups={**features.groups, EXTRA: slice(width, width + len(names))},
    )
