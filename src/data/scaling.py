"""Bring prices and further columns to the scale a model learns at.

Legend: B batch, T time steps. A scaler transforms data; a norm is a layer and lives in the models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

INPUTS = ("relative", "price")
SCALERS = ("minmax", "standard", "none")
_BLOCK = 1 << 14


class Affine(NamedTuple):
    """The map scaled = (value - offset) / scale."""

    offset: float
    scale: float


def fit_affine(values: np.ndarray, scaler: str) -> Affine:
    """Fit a scaler to values of the training split.

    Args:
        values: Any shape, float64.
        scaler: `minmax` (onto [0, 1]), `standard` (mean 0, standard deviation 1) or `none`.

    Returns:
        Offset and scale in the unit of the values; the scale of constant values is 1.

    Raises:
        ValueError: If `scaler` is unknown.

    >>> fit_affine(np.array([2.0, 4.0, 6.0]), "minmax")
    Affine(offset=2.0, scale=4.0)
    """
    if scaler not in SCALERS:
        raise ValueError(f"scaler must be one of {', '.join(SCALERS)}, got {scaler!r}")
    if scaler == "none":
        return Affine(0.0, 1.0)
    if scaler == "minmax":
        offset, scale = float(values.min()), float(values.max() - values.min())
    else:
        offset, scale = float(values.mean()), float(values.std())
    return Affine(offset, scale if scale > 0 else 1.0)


@dataclass(frozen=True)
class Scaling:
    """What is subtracted and what the rest is divided by, in one series or in each of several.

    Args:
        kind: What is scaled.
        offset: Subtracted first; a tuple holds one for each series.
        scale: What the result is divided by; likewise.
    """

    kind: str
    offset: float | tuple[float, ...]
    scale: float | tuple[float, ...]

    @classmethod
    def join(cls, scalings: Sequence[Self]) -> Self:
        """Return the scalings of several series, all of a kind, as one."""
        offsets, scales = ([getattr(s, name) for s in scalings] for name in ("offset", "scale"))
        return replace(scalings[0], offset=tuple(offsets), scale=tuple(scales))

    def of(self, series: int) -> Self:
        """Return the scaling of one of several series, counted from 0."""
        assert isinstance(self.offset, tuple)
        assert isinstance(self.scale, tuple)
        return replace(self, offset=self.offset[series], scale=self.scale[series])

    def numbers(self) -> tuple[str, float, float]:
        """Return kind, offset and scale of a scaling of one series."""
        assert not isinstance(self.offset, tuple)
        assert not isinstance(self.scale, tuple)
        return self.kind, self.offset, self.scale

    def _numbers(self, like: Tensor, series: Tensor | None) -> tuple[float | Tensor, ...]:
        """Return offset and scale, those of windows of several series (B, 1, ...) as tensors."""
        if not isinstance(self.offset, tuple):
            return self.offset, self.scale  # type: ignore[return-value]
        assert series is not None, "a window of several series needs to say of which one it is"
        shape = (-1, *[1] * (like.ndim - 1))
        return tuple(like.new_tensor(v)[series].view(shape) for v in (self.offset, self.scale))


@dataclass(frozen=True)
class InputScaling(Scaling):
    """Turn windows of raw closes into model inputs; training and serving both come through here.

    Args:
        kind: `relative`, the log of each close over the window's last close, or `price`.
        offset: Subtracted from prices; 0 for `relative`.
        scale: What the result is divided by.
    """

    def __call__(self, closes: Tensor, series: Tensor | None = None) -> Tensor:
        """Scale windows of closes.

        Args:
            closes: (B, T, 1) in price units; further features after them are left as they are.
            series: Which of several series each window is of (B,).

        Returns:
            Model input (B, T, 1), about 1 in size.
        """
        if closes.shape[-1] > 1:
            return torch.cat([self(closes[..., :1], series), closes[..., 1:]], dim=-1)
        offset, scale = self._numbers(closes, series)
        if self.kind == "relative":
            return torch.log(closes / closes[:, -1:]) / scale
        return (closes - offset) / scale


def fit_input_scaling(
    closes: np.ndarray, context_length: int, kind: str, scaler: str
) -> InputScaling:
    """Fit the input scaling to the closes of the training split.

    Args:
        closes: (N,) in price units.
        context_length: T, the days that a window shows.
        kind: `relative` or `price`.
        scaler: The scaler of `price` inputs; `relative` ones are divided by their root mean square.

    Returns:
        The fitted scaling.

    Raises:
        ValueError: If `kind` or `scaler` is unknown.
    """
    if kind not in INPUTS:
        raise ValueError(f"input must be one of {', '.join(INPUTS)}, got {kind!r}")
    if kind == "price":
        return InputScaling(kind, *fit_affine(closes, scaler))
    windows = np.lib.stride_tricks.sliding_window_view(np.log(closes), context_length)[:-1]
    # Means of blocks of windows: those of a million windows at once are gigabytes.
    blocks = [windows[n : n + _BLOCK] for n in range(0, len(windows), _BLOCK)]
    means = [np.mean((block - block[:, -1:]) ** 2) for block in blocks]
    one = len(means) == 1
    mean = means[0] if one else np.average(means, weights=[len(block) for block in blocks])
    rms = float(np.sqrt(mean))
    return InputScaling(kind, 0.0, rms if rms > 0 else 1.0)


def encode_closes(
    closes: np.ndarray, scaling: InputScaling, any_price: bool = False
) -> tuple[Tensor, Tensor]:
    """Turn raw closes into what a model trained on `features=prices` is given.

    Args:
        closes: (B, T) in price units, oldest first.
        scaling: The input scaling fitted in training.
        any_price: Whether closes may be 0 or negative.

    Returns:
        Model input (B, T, 1), the same as in training bit for bit, and last price (B, 1).

    Raises:
        ValueError: If closes are not two-dimensional, or one is not positive and finite in float32.
    """
    if closes.ndim != 2:
        raise ValueError(f"closes must have shape (windows, days), got {closes.shape}")
    closes_bt1 = torch.as_tensor(closes, dtype=torch.float32).unsqueeze(-1)
    valid = torch.isfinite(closes_bt1) & (closes_bt1 > (-torch.inf if any_price else 0))
    if not valid.all():
        window, day, _ = (~valid).nonzero()[0].tolist()
        raise ValueError(
            f"close {day} of window {window} must be positive and finite, got {closes[window, day]}"
        )
    return scaling(closes_bt1), closes_bt1[:, -1]
