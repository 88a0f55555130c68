"""Prediction intervals from errors on held-out windows (split conformal prediction), kept in a run.

An error is measured in typical daily moves of its own window, so that a calm and a stormy year,
or an index and a share, are on one scale.

Source: Lei et al. 2018, "Distribution-free predictive inference for regression", sections 2.2
(split conformal) and 5.2 (errors scaled by a local spread).

Shapes: N windows, T days of a window.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.data import PriceDataModule, WindowBatch
from src.files import write_text
from src.runs.folder import CHECKPOINTS, folder_of
from src.training.module import RegressionModule

CALIBRATION = "calibration.json"

# Of a window whose price never moves; a hundredth of a basis point.
SMALLEST_MOVE = 1e-6


def typical_move(closes: np.ndarray) -> np.ndarray:
    """Return the size of a usual move from bar to bar in each window.

    Args:
        closes: (N, T) in price units, oldest first.

    Returns:
        Last close times the standard deviation of the returns (N,), price units, above 0; where a
        close is 0 or less and there are no returns, the standard deviation of the changes.

    Raises:
        ValueError: If a window shows less than two days, and so no move.

    >>> typical_move(np.array([[100.0, 110.0, 99.0]])).round(2)
    array([9.9])
    """
    if closes.shape[1] < 2:
        raise ValueError(f"a window must show 2 days or more, got {closes.shape[1]}")
    is_price = np.all(closes > 0, axis=1)
    positive = np.where(np.expand_dims(is_price, 1), closes, 1.0)
    returns = positive[:, 1:] / positive[:, :-1] - 1
    by_returns = positive[:, -1] * np.maximum(returns.std(axis=1), SMALLEST_MOVE)
    size = np.abs(closes).max(axis=1)
    by_changes = np.maximum(np.diff(closes, axis=1).std(axis=1), SMALLEST_MOVE * size)
    return np.where(is_price, by_returns, np.maximum(by_changes, SMALLEST_MOVE))


@dataclass(frozen=True)
class Calibration:
    """Absolute errors of a model on held-out windows, in typical daily moves, ascending.

    Args:
        validation: Errors that set the width of intervals (N,).
        test: Errors that tell how often such intervals hold (M,).
        is_signed: Whether a price was ever 0 or less, as that of oil in April 2020.
    """

    validation: np.ndarray
    test: np.ndarray
    is_signed: bool = False

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
        """Return the share of test windows whose price lay within the interval of `level`.

        Raises:
            ValueError: If there are no test windows, or no interval of this level.
        """
        if not len(self.test):
            raise ValueError("coverage is a share of test windows, got none")
        return float(np.mean(self.test <= self.quantile(level)))

    def interval(self, predicted: np.ndarray, closes: np.ndarray, level: float) -> np.ndarray:
        """Return the intervals around predictions.

        Args:
            predicted: (N,) in price units.
            closes: (N, T) the windows predicted from, in price units.
            level: Share of days to cover, in (0, 1).

        Returns:
            Lower and upper end (N, 2), price units; below 0 only where prices were.
        """
        half_width = self.quantile(level) * typical_move(closes)
        ends = np.stack([predicted - half_width, predicted + half_width], axis=1)
        may_fall_below = self.is_signed | np.any(closes <= 0, axis=1, keepdims=True)
        return np.where(may_fall_below, ends, np.maximum(ends, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, which `from_dict` turns back."""
        errors = {"validation": self.validation.tolist(), "test": self.test.tolist()}
        return errors | ({"is_signed": True} if self.is_signed else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Return the calibration that `to_dict` wrote."""
        validation, test = (np.array(values[name], float) for name in ("validation", "test"))
        return cls(validation, test, values.get("is_signed") is True)


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


def calibrate(module: RegressionModule, datamodule: PriceDataModule) -> Calibration:
    """Measure a model's errors on the validation and test windows of the data it was trained on.

    Args:
        module: The trained module.
        datamodule: Its data, set up.

    Returns:
        The errors of both splits, in typical daily moves of each window.
    """
    closes = datamodule.closes
    val = _errors(module, datamodule, datamodule.val_dataloader(), closes)
    test = _errors(module, datamodule, datamodule.test_dataloader(), closes)
    return Calibration(val, test, bool((closes <= 0).any()))


def write_calibration(
    folder: Path, module: RegressionModule, datamodule: PriceDataModule
) -> Calibration | None:
    """Keep the calibration of a run's best checkpoint in its folder, and return it, if it has one.

    Args:
        folder: the run's.
        module: with the best checkpoint's weights.
        datamodule: its data, set up.
    """
    if not (folder / CHECKPOINTS / "best.ckpt").is_file():
        return None
    calibration = calibrate(module, datamodule)
    write_text(folder / CALIBRATION, json.dumps(calibration.to_dict()) + "\n")
    return calibration


def read_calibration(checkpoint: Path) -> Calibration | None:
    """Return what `write_calibration` kept for a checkpoint; None if it is not a run's best."""
    file = folder_of(checkpoint) / CALIBRATION
    if checkpoint.name != "best.ckpt" or not file.is_file():
        return None
    try:
        return Calibration.from_dict(json.loads(file.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {type(error).__name__}: {error}") from None


def rows_shown(index: Tensor, context_length: int) -> np.ndarray:
    """Return the raw rows (W, T) that windows show, from the rows (W,) they predict.

    >>> rows_shown(torch.tensor([5, 9]), 3)
    array([[2, 3, 4],
           [6, 7, 8]])
    """
    return (index[:, None] - torch.arange(context_length, 0, -1)).numpy()


@torch.no_grad()
def _errors(
    module: RegressionModule,
    datamodule: PriceDataModule,
    loader: Iterable[WindowBatch],
    closes: np.ndarray,
) -> np.ndarray:
    """Return the errors of one split's windows (N,), ascending."""
    module.eval()
    predicted, price, rows = [], [], []
    for batch in loader:
        preds = module(batch.x.to(module.device)).cpu()
        last_price = batch.last_price.double()
        predicted.append(datamodule.to_price(preds.double(), last_price, batch.series)[:, 0])
        price.append(batch.price[:, 0].double())
        rows.append(batch.index)
    windows = closes[rows_shown(torch.cat(rows), datamodule.context_length)]
    return errors(torch.cat(price).numpy(), torch.cat(predicted).numpy(), windows)
