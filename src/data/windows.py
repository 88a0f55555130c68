"""Windows over one tensor of rows, gathered a whole batch at a time.

Legend: B batch, T context_length, F num_features, N rows, W windows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


class WindowBatch(NamedTuple):
    """One batch of windows and what follows each of them.

    Args:
        x: Model input (B, T, F), float32.
        y: Scaled target (B, 1), float32.
        last_price: Close of the window's last day (B, 1), price units.
        price: Close of the day to predict (B, 1), price units.
        index: Raw row of the day to predict (B,), int64.
    """

    x: Tensor
    y: Tensor
    last_price: Tensor
    price: Tensor
    index: Tensor  # type: ignore[assignment]  # a field, not tuple.index


class WindowDataset(Dataset[WindowBatch]):
    """All windows of one split, as a strided view that copies nothing until a batch is gathered.

    Window w shows the feature rows w to w + T - 1 and predicts the close of row w + T.

    Args:
        rows: Features (N, F), float32, contiguous.
        closes: Closes of the same rows (N,), price units.
        context_length: T, in rows.
        first_row: Raw row of the table that `rows` begins on.
        to_scaled: Maps price and last price, both (W, 1), to the scaled target (W, 1).
        transform: Maps gathered windows (B, T, F) to model inputs; None leaves them.
    """

    def __init__(
        self,
        rows: Tensor,
        closes: np.ndarray,
        context_length: int,
        first_row: int,
        to_scaled: Callable[[Tensor, Tensor], Tensor],
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        num_rows, num_features = rows.shape
        num_windows = num_rows - context_length
        self.windows = rows.as_strided(
            (num_windows, context_length, num_features), (num_features, num_features, 1)
        )
        exact = torch.tensor(closes, dtype=torch.float64)
        price = exact[context_length:, None]
        last_price = exact[context_length - 1 : -1, None]
        self.y = to_scaled(price, last_price).float()
        self.last_price = last_price.float()
        self.price = price.float()
        self.index = torch.arange(num_windows) + (first_row + context_length)
        self.transform = transform

    def with_transform(self, transform: Callable[[Tensor], Tensor]) -> WindowDataset:
        """Return the same windows, their rows shared, shown through another transform."""
        changed = copy.copy(self)
        changed.transform = transform
        return changed

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
        x = self.windows.index_select(0, windows)
        return WindowBatch(
            x if self.transform is None else self.transform(x),
            self.y.index_select(0, windows),
            self.last_price.index_select(0, windows),
            self.price.index_select(0, windows),
            self.index.index_select(0, windows),
        )
