"""Columns of the user's own beside the features of a bar: scaled, and otherwise as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from src.data.features.bars import FeatureTable
from src.data.reading.sources import PriceTable

GROUP = "extra"


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
    columns = [(table.extra[name][first:] - offset) / scale for name, offset, scale in scalings]
    return np.stack(columns, axis=1).astype(np.float32)


def with_extra(features: FeatureTable, values: np.ndarray, names: Sequence[str]) -> FeatureTable:
    """Return features with further columns (N, E) at the end, in a group of their own."""
    width = features.values.shape[1]
    return replace(
        features,
        values=np.concatenate([features.values, values], axis=1),
        names=(*features.names, *(f"{GROUP}_{name}" for name in names)),
        units=(*features.units, *["standard deviations"] * len(names)),
        groups={**features.groups, GROUP: slice(width, width + len(names))},
    )
