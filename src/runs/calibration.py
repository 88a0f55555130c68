"""Prediction intervals from errors on held-out windows (split conformal prediction), kept in a run.

An error of a price is measured in typical daily moves of its own window, so that a calm and a
stormy year, or an index and a share, are on one scale; that of a variance in its logarithm.

Source: Lei et al. 2018, "Distribution-free predictive inference for regression", sections 2.2
(split conformal) and 5.2 (errors scaled by a local spread).

Shapes: N windows, T days of a window, K numbers that are forecast of a window.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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
    """Absolute errors of a model on held-out windows, ascending.

    Those of a price are in typical daily moves, those of a variance are of its logarithm.

    Args:
        validation: Errors that set the width of intervals (N,); of several steps (N, K), each step
            ascending by itself.
        test: Errors that tell how often such intervals hold (M,) or (M, K).
        is_signed: Whether a price was ever 0 or less, as that of oil in April 2020.
        is_log: Whether these are errors of a variance.
    """

    validation: np.ndarray
    test: np.ndarray
    is_signed: bool = False
    is_log: bool = False

    def quantile(self, level: float) -> float | np.ndarray:
        """Return the error that a new window's error stays below with probability `level`.

        Args:
            level: Share of windows to cover, in (0, 1).

        Returns:
            The ceil((N + 1) * level)-th smallest validation error; of several steps (K,).

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
        error = self.validation[rank - 1]
        return float(error) if error.ndim == 0 else error

    def of_step(self, step: int) -> Calibration:
        """Return the errors of one of several steps, counted from 1, as those of one."""
        if self.validation.ndim == 1:
            return self
        column = step - 1
        return replace(self, validation=self.validation[:, column], test=self.test[:, column])

    def coverage(self, level: float) -> float:
        """Return the share of test forecasts whose outcome lay within the interval of `level`.

        Raises:
            ValueError: If there are no test windows, or no interval of this level.
        """
        if not len(self.test):
            raise ValueError("coverage is a share of test windows, got none")
        return float(np.mean(self.test <= self.quantile(level)))

    def interval(self, predicted: np.ndarray, closes: np.ndarray, level: float) -> np.ndarray:
        """Return the intervals around predictions.

        Args:
            predicted: (N,) or (N, K), price units or variances.
            closes: (N, T) the windows predicted from, in price units.
            level: Share of days to cover, in (0, 1).

        Returns:
            Lower and upper end (N, 2) or (N, K, 2), as predicted; below 0 only where prices were.
        """
        error = self.quantile(level)
        if self.is_log:
            return np.stack([predicted * np.exp(-error), predicted * np.exp(error)], axis=-1)
        half_width = _like(typical_move(closes), predicted) * error
        ends = np.stack([predicted - half_width, predicted + half_width], axis=-1)
        may_fall_below = self.is_signed | _like(np.any(closes <= 0, axis=1), ends)
        return np.where(may_fall_below, ends, np.maximum(ends, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, which `from_dict` turns back."""
        errors = {"validation": self.validation.tolist(), "test": self.test.tolist()}
        flags = {"is_signed": self.is_signed, "is_log": self.is_log}
        return errors | {name: True for name, value in flags.items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Return the calibration that `to_dict` wrote."""
        validation, test = (np.array(values[name], float) for name in ("validation", "test"))
        signed, log = (values.get(name) is True for name in ("is_signed", "is_log"))
        return cls(validation, test, signed, log)


def _like(per_window: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a number a window (N,) as it goes with values (N, ...)."""
    return per_window.reshape(-1, *[1] * (values.ndim - 1))


def errors(actual: np.ndarray, predicted: np.ndarray, closes: np.ndarray | None) -> np.ndarray:
    """Return absolute errors, ascending.

    Args:
        actual: What came (N,) or (N, K), price units or variances.
        predicted: What was forecast, likewise.
        closes: (N, T) the windows that prices were forecast from, price units; None for variances.

    Returns:
        The errors (N,) or (N, K), in typical daily moves or of the logarithm.
    """
    if closes is None:
        return np.sort(np.abs(np.log(actual / predicted)), axis=0)
    off = np.abs(actual - predicted)
    return np.sort(off / _like(typical_move(closes), off), axis=0)


def calibrate(module: RegressionModule, datamodule: PriceDataModule) -> Calibration | None:
    """Measure a model's errors on the validation and test windows of the data it was trained on.

    Windows whose h bars overlap err alike, and are no more than one: of the validation part, which
    says how far an interval reaches, every h-th counts.

    Args:
        module: The trained module.
        datamodule: Its data, set up.

    Returns:
        The errors of both splits; None for a direction, whose forecast is a probability.
    """
    if datamodule.target == "direction":
        return None
    apart = slice(None, None, datamodule.horizon)
    val = _errors(module, datamodule, datamodule.val_dataloader(), apart)
    test = _errors(module, datamodule, datamodule.test_dataloader(), slice(None))
    is_signed = bool((datamodule.closes <= 0).any())
    return Calibration(val, test, is_signed, datamodule.forecast.is_volatility)


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
    if calibration is None:
        return None
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
    counted: slice,
) -> np.ndarray:
    """Return the errors of one split's windows (N,) or (N, K), ascending."""
    module.eval()
    predicted, actual, rows = [], [], []
    for batch in loader:
        preds = module(batch.x.to(module.device)).cpu().double()
        reference = batch.reference.double()
        predicted.append(module.read(preds, reference, batch.series)[0])
        actual.append(batch.actual.double())
        rows.append(batch.index)
    came, forecast = (torch.cat(parts).squeeze(1).numpy()[counted] for parts in (actual, predicted))
    if datamodule.forecast.is_volatility:
        return errors(came, forecast, None)
    shown = rows_shown(torch.cat(rows)[counted], datamodule.context_length)
    return errors(came, forecast, datamodule.closes[shown])
