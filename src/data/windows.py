"""Windows over one tensor of rows, gathered a whole batch at a time.

Legend: B batch, T context_length, F num_features, N rows, W windows, h horizon, K targets.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from src.data.targets import Outcomes, outcomes


class WindowBatch(NamedTuple):
    """One batch of windows and what follows each of them.

    Args:
        x: Model input (B, T, F), float32.
        y: Scaled target (B, K), float32.
        last_price: Close of the window's last bar (B, 1), price units.
        price: Closes of the h bars to predict (B, h), price units.
        index: Raw row of the first bar to predict (B,), int64; of several series, counted through
            all.
        series: Which of several series the window is of (B,), int64, from 0.
        actual: What was to be forecast (B, K), as `Outcomes` says; of a target in prices `price`.
        reference: What the forecast that needs no model is (B, 1); there `last_price`.
    """

    x: Tensor
    y: Tensor
    last_price: Tensor
    price: Tensor
    index: Tensor  # type: ignore[assignment]  # a field, not tuple.index
    series: Tensor
    actual: Tensor
    reference: Tensor


class WindowDataset(Dataset[WindowBatch]):
    """All windows of one split, as a strided view that copies nothing until a batch is gathered.

    Window w shows the feature rows w to w + T - 1 and predicts the close of row w + T.

    Args:
        rows: Features (N, F), float32, contiguous.
        closes: Closes of the same rows (N,), price units.
        context_length: T, in rows.
        first_row: Raw row of the table that `rows` begins on.
        to_scaled: Maps what came (W, K) and its reference (W, 1) to the scaled target (W, K).
        transform: Maps gathered windows (B, T, F) to model inputs; None leaves them.
        series: Which of several series these windows are of.
        known: What came after each window; None for the following close.
    """

    def __init__(
        self,
        rows: Tensor,
        closes: np.ndarray,
        context_length: int,
        first_row: int,
        to_scaled: Callable[[Tensor, Tensor], Tensor],
        transform: Callable[..., Tensor] | None = None,
        series: int = 0,
        known: Outcomes | None = None,
    ) -> None:
        known = known or outcomes(closes, context_length)
        num_windows = len(known.price)
        self.rows, self.context_length = rows, context_length
        self._all = _windows_over(rows, context_length, num_windows)
        self._starts: Tensor | None = None
        self.y = to_scaled(known.actual, known.reference).float()
        self.last_price, self.price = known.last_price.float(), known.price.float()
        # Of a target in prices the same tensors, which a batch then gathers once.
        is_price = known.actual is known.price
        self.actual = self.price if is_price else known.actual.float()
        self.reference = self.last_price if is_price else known.reference.float()
        self.index = torch.arange(num_windows) + (first_row + context_length)
        self.series = torch.tensor(series).expand(num_windows)
        self.transform = transform

    @classmethod
    def join(
        cls, parts: Sequence[WindowDataset], transform: Callable[..., Tensor] | None = None
    ) -> WindowDataset:
        """Return the windows of several series, one after the other; none lies in two of them.

        Args:
            parts: The windows of each series.
            transform: Maps windows (B, T, F) and their series (B,) to model inputs.
        """
        joined = copy.copy(parts[0])
        joined.rows = torch.cat([part.rows for part in parts])
        num_windows = len(joined.rows) - joined.context_length
        joined._all = _windows_over(joined.rows, joined.context_length, num_windows)
        ends = np.cumsum([len(part.rows) for part in parts])
        joined._starts = torch.cat(
            [
                torch.arange(len(part)) + (int(end) - len(part.rows))
                for part, end in zip(parts, ends, strict=True)
            ]
        )
        is_price = joined.actual is joined.price
        for name in ("y", "last_price", "price", "index", "series", "actual", "reference"):
            setattr(joined, name, torch.cat([getattr(part, name) for part in parts]))
        if is_price:
            joined.actual, joined.reference = joined.price, joined.last_price
        joined.transform = transform
        joined._is_told_series = transform is not None
        return joined

    _is_told_series = False

    @property
    def windows(self) -> Tensor:
        """All windows as rows have them (W, T, F); of one series a view, of several a copy."""
        return self._all if self._starts is None else self._all[self._starts]

    def latest(self) -> Tensor:
        """Return the last row of each window (W, F)."""
        if self._starts is None:
            return self._all[:, -1]
        return self.rows[self._starts + self.context_length - 1]

    def with_transform(self, transform: Callable[[Tensor], Tensor]) -> WindowDataset:
        """Return the same windows, their rows shared, shown through another transform."""
        changed = copy.copy(self)
        changed.transform, changed._is_told_series = transform, False
        return changed

    def to(self, device: torch.device) -> WindowDataset:
        """Return the same windows with their rows on a device, where batches are gathered then."""
        moved = copy.copy(self)
        moved.rows = self.rows.to(device)
        moved._all = _windows_over(moved.rows, self.context_length, len(self._all))
        moved._starts = None if self._starts is None else self._starts.to(device)
        is_price = self.actual is self.price
        for name in ("y", "last_price", "price", "index", "series", "actual", "reference"):
            setattr(moved, name, getattr(self, name).to(device))
        if is_price:
            moved.actual, moved.reference = moved.price, moved.last_price
        return moved

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, windows: Tensor | int) -> WindowBatch:
        """Gather a batch.

        Args:
            windows: Numbers of the wanted windows (B,), int64; an int gives a batch of one.

        Returns:
            The batch, its tensors contiguous and independent of the dataset.
        """
        if isinstance(windows, int):
            windows = torch.tensor([windows])
        windows = windows.to(self.rows.device, non_blocking=True)
        starts = windows if self._starts is None else self._starts.index_select(0, windows)
        x, series = self._all.index_select(0, starts), self.series.index_select(0, windows)
        if self.transform is not None:
            x = self.transform(x, series) if self._is_told_series else self.transform(x)
        last_price = self.last_price.index_select(0, windows)
        price = self.price.index_select(0, windows)
        is_price = self.actual is self.price
        return WindowBatch(
            x,
            self.y.index_select(0, windows),
            last_price,
            price,
            self.index.index_select(0, windows),
            series,
            price if is_price else self.actual.index_select(0, windows),
            last_price if is_price else self.reference.index_select(0, windows),
        )


def _windows_over(rows: Tensor, context_length: int, num_windows: int) -> Tensor:
    """Return the first runs of T rows (W, T, F), a view."""
    num_features = rows.shape[1]
    size = (num_windows, context_length, num_features)
    return rows.as_strided(size, (num_features, num_features, 1))
