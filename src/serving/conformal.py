"""Prediction intervals from errors on held-out windows: split conformal prediction.

An error is measured in typical daily moves of its own window, so that a calm and a stormy year,
or an index and a share, are on one scale.

Source: Lei et al. 2018, "Distribution-free predictive inference for regression", sections 2.2
(split conformal) and 5.2 (errors scaled by a local spread).

Shapes: N windows, T days of a window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Of a window whose price never moves; a hundredth of a basis point.
SMALLEST_MOVE = 1e-6


def typical_move(closes: np.ndarray) -> np.ndarray:
    """Return the size of a usual daily move in each window.

    Args:
        closes: (N, T) in price units, oldest first.

    Returns:
        Last close times the standard deviation of the daily returns (N,), price units, above 0.

    >>> typical_move(np.array([[100.0, 110.0, 99.0]])).round(2)
    array([9.9])
    """
    returns = closes[:, 1:] / closes[:, :-1] - 1
    return closes[:, -1] * np.maximum(returns.std(axis=1), SMALLEST_MOVE)


@dataclass(frozen=True)
class Calibration:
    """Absolute errors of a model on held-out windows, in typical daily moves, ascending.

    Args:
        validation: Errors that set the width of intervals (N,).
        test: Errors that tell how often such intervals hold (M,).
    """

    validation: np.ndarray
    test: np.ndarray

    def quantile(self, level: float) -> float:
        """Return the error that a new window's error stays below with probability `level`.

        Args:
            level: Share of windows to cover, in (0, 1).

        Returns:
            The ceil((N + 1) * level)-th smallest validation error, in typical daily moves.

        Raises:
            ValueError: If the level is out of range, or too close to 1 for so few windows.

        >>> Calibration(np.arange(1.0, 10.0), np.array([])).quantile(0.8)
        8.0
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be above 0 and below 1, got {level}")
        windows = len(self.validation)
        rank = math.ceil(round((windows + 1) * level, 9))
        if rank > windows:
            raise ValueError(
                f"level must be at most {windows / (windows + 1):.4g} with {windows} validation "
                f"windows, got {level}"
            )
        return float(self.validation[rank - 1])

    def coverage(self, level: float) -> float:
        """Return the share of test windows whose price lay within the interval of `level`."""
        return float(np.mean(self.test <= self.quantile(level)))

    def interval(self, predicted: np.ndarray, closes: np.ndarray, level: float) -> np.ndarray:
        """Return the intervals around predictions.

        Args:
            predicted: (N,) in price units.
            closes: (N, T) the windows predicted from, in price units.
            level: Share of days to cover, in (0, 1).

        Returns:
            Lower and upper end (N, 2), price units; no price is below 0.
        """
        half_width = self.quantile(level) * typical_move(closes)
        ends = np.stack([predicted - half_width, predicted + half_width], axis=1)
        return np.maximum(ends, 0.0)

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain values, which `from_dict` turns back."""
        return {"validation": self.validation.tolist(), "test": self.test.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Return the calibration that `to_dict` wrote."""
        return cls(np.array(values["validation"], float), np.array(values["test"], float))


def errors(price: np.ndarray, predicted: np.ndarray, closes: np.ndarray) -> np.ndarray:
    """Return absolute errors in typical daily moves, ascending.

    Args:
        price: What came (N,), price units.
        predicted: What was forecast (N,), price units.
        closes: (N, T) the windows it was forecast from, price units.

    Returns:
        The errors (N,).
    """
    return np.sort(np.abs(price - predicted) / typical_move(closes))
