"""How much each bar moved: estimates of its variance, in squared log returns.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from src.data.reading.sources import PriceTable

ESTIMATORS = ("parkinson", "garman_klass", "squared_returns")
NEEDS: Mapping[str, tuple[str, ...]] = {
    "parkinson": ("high", "low"),
    "garman_klass": ("open", "high", "low"),
    "squared_returns": (),
}
"""Prices that an estimator takes beside closes."""
LOG_VARIANCE = "log_variance"
"""The further column that a model of volatility is shown."""
SMALLEST_VARIANCE = 1e-10
"""Of a bar that hardly moved: a tenth of a basis point, squared; no variance has no logarithm."""


def bar_variance(columns: Mapping[str, np.ndarray], estimator: str) -> np.ndarray:
    """Estimate the variance of each bar's log return.

    Ranges tell what happened between open and close; what happens overnight is in squared returns
    alone, whose error is five to seven times as large.

    Args:
        columns: `close` (N,), and the prices that the estimator needs, positive.
        estimator: `parkinson`, `garman_klass` or `squared_returns`.

    Returns:
        (N,), at least `SMALLEST_VARIANCE`; NaN in the first row of squared returns.

    Source: Parkinson, Journal of Business 53 (1980), equation 2; Garman and Klass, Journal of
    Business 53 (1980), section 4, the estimator that is the practical one there.

    >>> high, low = np.array([np.exp(0.2)]), np.array([1.0])
    >>> columns = {"open": low, "high": high, "low": low, "close": high}
    >>> bar_variance(columns, "parkinson").round(6), bar_variance(columns, "garman_klass").round(6)
    (array([0.014427]), array([0.004548]))
    """
    if estimator == "squared_returns":
        squares = np.diff(np.log(columns["close"]), prepend=np.nan) ** 2
    else:
        squares = np.log(columns["high"] / columns["low"]) ** 2
        if estimator == "parkinson":
            squares = squares / (4 * np.log(2))
        else:
            body = np.log(columns["close"] / columns["open"]) ** 2
            squares = 0.5 * squares - (2 * np.log(2) - 1) * body
    return np.maximum(squares, SMALLEST_VARIANCE)


def warmup_of(estimator: str) -> int:
    """Return how many rows at the start have no estimate."""
    return 1 if estimator == "squared_returns" else 0


def with_log_variance(table: PriceTable, estimator: str) -> PriceTable:
    """Return a table with the log of each bar's variance as its last further column.

    Raises:
        ValueError: If it lacks prices that the estimator needs, or has such a column already.
    """
    lacking = [name for name in NEEDS[estimator] if name not in table.columns]
    if lacking:
        raise ValueError(
            f"{table.name} has no {' and no '.join(lacking)}, which "
            f"data.volatility_estimator={estimator} needs; closes alone take squared_returns"
        )
    if LOG_VARIANCE in table.extra:
        raise ValueError(f"data.extra: {LOG_VARIANCE} is what target=volatility adds itself")
    variance = bar_variance(table.columns, estimator)
    return replace(table, extra={**table.extra, LOG_VARIANCE: np.log(variance)})
