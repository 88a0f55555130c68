"""How good a forecast of a distribution, or of an interval, was: proper scores, coverage by year.

A proper score is least, on average, for whoever says what they believe. Source of all of them:
Gneiting and Raftery, Journal of the American Statistical Association 102 (2007).

Shapes: N forecasts, L levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = (0.5, 0.8, 0.95)
"""Shares of outcomes that the scored intervals should hold."""


def pinball(quantiles: NDArray, actual: NDArray, levels: Sequence[float]) -> NDArray:
    """Return what each quantile of each forecast loses (N, L): section 6.1.

    Args:
        quantiles: (N, L), of the unit of what comes.
        actual: What came (N,).
        levels: Of the quantiles, in (0, 1).

    >>> pinball(np.array([[1.0, 5.0]]), np.array([3.0]), [0.1, 0.9]).round(12)
    array([[0.2, 0.2]])
    """
    off = actual[:, None] - quantiles
    own = np.asarray(levels)
    return np.maximum(own * off, (own - 1) * off)


def crps(quantiles: NDArray, actual: NDArray, levels: Sequence[float]) -> NDArray:
    """Return the continuous ranked probability score (N,), from quantiles: section 4.2.

    It is twice the pinball loss averaged over all levels; each of those given stands for the levels
    nearest to it. Of a point it is the absolute error, and so it has the unit of what comes.

    >>> crps(np.array([[1.0, 1.0, 1.0]]), np.array([3.0]), [0.25, 0.5, 0.75])
    array([2.])
    """
    edges = np.array([0.0, *((low + high) / 2 for low, high in pairwise(levels)), 1.0])
    return 2 * pinball(quantiles, actual, levels) @ np.diff(edges)


def interval_score(low: NDArray, high: NDArray, actual: NDArray, level: float) -> NDArray:
    """Return the score of central intervals (N,): width, and 2 / (1 - level) of each miss.

    Equation 43, in the unit of what comes.

    >>> interval_score(np.array([1.0]), np.array([3.0]), np.array([4.0]), 0.5)
    array([6.])
    """
    missed = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return high - low + 2 / (1 - level) * missed


def central(quantiles: NDArray, levels: Sequence[float], level: float) -> NDArray | None:
    """Return the ends (N, 2) of the central interval of a level; None without such quantiles."""
    columns = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        near = np.flatnonzero(np.isclose(levels, tail, rtol=0, atol=1e-9))
        if not len(near):
            return None
        columns.append(quantiles[:, near[0]])
    return np.stack(columns, axis=1)


def judge(ends: Mapping[float, NDArray], actual: NDArray, years: NDArray) -> dict[str, Any]:
    """Return how intervals did, over all and by year, as plain values.

    Args:
        ends: By level the lower and upper ends (N, 2).
        actual: What came (N,).
        years: Of each forecast (N,).

    Returns:
        By level `coverage`, the share of outcomes inside, `interval_score` and `width`, means, and
        `by_year`: coverage by year.
    """
    found = {}
    for level, (low, high) in ((level, own.T) for level, own in ends.items()):
        inside = (low <= actual) & (actual <= high)
        found[f"{level:g}"] = {
            "coverage": float(inside.mean()),
            "interval_score": float(interval_score(low, high, actual, level).mean()),
            "width": float((high - low).mean()),
            "by_year": {str(y): float(inside[years == y].mean()) for y in np.unique(years)},
        }
    return found


def judge_quantiles(
    quantiles: NDArray, actual: NDArray, levels: Sequence[float], years: NDArray
) -> dict[str, Any]:
    """Return `crps`, `pinball` and how the intervals of `LEVELS` did; as `judge`.

    Args:
        quantiles: (N, L), of the unit of what comes.
        actual: What came (N,).
        levels: Of the quantiles.
        years: Of each forecast (N,).
    """
    ends = {level: central(quantiles, levels, level) for level in LEVELS}
    return {
        "crps": float(crps(quantiles, actual, levels).mean()),
        "pinball": float(pinball(quantiles, actual, levels).mean()),
        "intervals": judge({k: v for k, v in ends.items() if v is not None}, actual, years),
    }
