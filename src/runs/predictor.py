"""One trained model, ready to forecast: weights loaded once, no state kept between two forecasts.

Shapes: N windows, T days of a window, F input features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.data.facts import DataFacts
from src.data.features.bars import WARMUP_ROWS, bar_features
from src.data.features.extra import extra_values
from src.data.reading.errors import DataError
from src.data.reading.sources import PriceTable
from src.data.scaling import encode_closes
from src.runs.calibration import Calibration

BLOCK_SIZE = 8


class Forecasts(NamedTuple):
    """Forecasts of the day after each window, in price units.

    Attributes:
        last_price: Close of the window's last day (N,), which is also the forecast that needs no
            model, "tomorrow = today".
        predicted_price: The model's forecast (N,).
        interval: Lower and upper end (N, 2); None where there is no calibration.
    """

    last_price: np.ndarray
    predicted_price: np.ndarray
    interval: np.ndarray | None


class Windows(NamedTuple):
    """Windows to forecast from.

    Attributes:
        x: Model input (N, T, F).
        closes: The same days' closes (N, T), price units.
    """

    x: Tensor
    closes: np.ndarray


@dataclass(frozen=True)
class Predictor:
    """Forecast prices with a trained model.

    The model runs on blocks of one fixed size, the last one filled up with zeros: so the kernels,
    and with them the rounding, never depend on how many windows are asked for together.

    Args:
        model: Maps input windows (B, T, F) to scaled predictions (B, 1).
        facts: Sizes and scalings of the data it was trained on.
        calibration: Errors on held-out windows; None for forecasts without intervals.
        block_size: Windows of a block; see `bitwise_block_size`.
    """

    model: Callable[[Tensor], Tensor]
    facts: DataFacts
    calibration: Calibration | None = None
    block_size: int = BLOCK_SIZE

    def forecast(self, windows: Windows, level: float = 0.9) -> Forecasts:
        """Forecast the day after each window.

        Args:
            windows: N windows.
            level: Share of days that the intervals should cover, in (0, 1).

        Returns:
            The forecasts, each bitwise the one its window gets alone.

        Raises:
            ValueError: If a forecast is not finite, or the level cannot be had.
        """
        last_price = windows.closes[:, -1]
        preds = self._run(windows.x).double()
        predicted = self.facts.to_price(preds, torch.tensor(last_price)[:, None]).flatten().numpy()
        if not np.isfinite(predicted).all():
            raise ValueError("the forecast is not a finite number: the prices lie too far apart")
        if self.calibration is None:
            return Forecasts(last_price, predicted, None)
        interval = self.calibration.interval(predicted, windows.closes, level)
        return Forecasts(last_price, predicted, interval)

    def windows_of_closes(self, closes: np.ndarray) -> Windows:
        """Encode windows of raw closes (N, T), for a model of closes.

        Raises:
            ValueError: If a close is not positive and finite, or the model was trained on bars.
        """
        if self.facts.input_scaling is None:
            raise ValueError(
                "this run was trained on data=bars, which needs open, high, low, close and volume; "
                "closes alone are not enough"
            )
        if self.facts.extra:
            names = ", ".join(self.facts.extra_names)
            raise ValueError(
                f"this run was trained with data.extra=[{names}]: closes alone are not enough, "
                "give a file with these columns"
            )
        x, _ = encode_closes(closes, self.facts.input_scaling, self.facts.takes_any_price)
        return Windows(x, np.asarray(closes, dtype=np.float64))

    def windows_of_table(self, table: PriceTable, last: int | None = 1) -> Windows:
        """Cut the windows of a table of prices.

        Args:
            table: Closes, or bars for a model of bars.
            last: How many windows, counted from the end; None for all.

        Returns:
            The windows in order of time.

        Raises:
            ValueError: If there are too few rows for one window, or they are of another frequency.
        """
        steps = self.facts.context_length
        trained_on = self.facts.frequency or "unknown"
        if "unknown" not in (trained_on, table.frequency) and trained_on != table.frequency:
            expected = f"{trained_on} ones, which the run was trained on"
            raise DataError(table.name, table.last_line, 1, f"{table.frequency} bars", expected)
        is_bars = self.facts.input_scaling is None
        warmup = WARMUP_ROWS if is_bars else 0
        if len(table) < warmup + steps:
            expected = f"at least {warmup + steps} for a window of {steps}"
            expected += f" and the {warmup} rows its features need before it" if is_bars else ""
            found = f"{len(table)} rows of prices"
            raise DataError(table.name, table.last_line, 1, found, expected)
        first = 0 if last is None else -last
        view = np.lib.stride_tricks.sliding_window_view
        closes = view(table.close[warmup:], steps)[first:].copy()
        if not is_bars and not self.facts.extra:
            return self.windows_of_closes(closes)
        parts = []
        if is_bars:
            parts.append(_windows_over(bar_features(table).values, steps, first))
        else:
            assert self.facts.input_scaling is not None
            x, _ = encode_closes(closes, self.facts.input_scaling, self.facts.takes_any_price)
            parts.append(x)
        if self.facts.extra:
            scalings = [s.numbers() for s in self.facts.extra]
            parts.append(_windows_over(extra_values(table, scalings, warmup), steps, first))
        return Windows(torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0], closes)

    def _run(self, x_ntf: Tensor) -> Tensor:
        preds = []
        with torch.inference_mode():
            for block in x_ntf.split(self.block_size):
                padding = block.new_zeros(self.block_size - len(block), *block.shape[1:])
                preds.append(self.model(torch.cat([block, padding]))[: len(block)])
        return torch.cat(preds)


def _windows_over(features: np.ndarray, steps: int, first: int) -> Tensor:
    """Return windows (N, T, F) over features of rows, from one of them on."""
    view = np.lib.stride_tricks.sliding_window_view(features, steps, axis=0)
    return torch.from_numpy(np.ascontiguousarray(view[first:].swapaxes(1, 2)))


def bitwise_block_size(
    model: Callable[[Tensor], Tensor], context_length: int, num_features: int
) -> int:
    """Find out whether this machine's kernels give a window the same bits wherever it stands.

    A matrix product may round a row differently at another place of the batch, or by what stands
    beside it. One block of random windows in every rotation, and each window among zeros, tell.

    Args:
        model: Maps input windows (B, T, F) to scaled predictions (B, 1).
        context_length: T.
        num_features: F.

    Returns:
        `BLOCK_SIZE` if blocks of that size are safe, else 1: every window by itself.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (BLOCK_SIZE, context_length, num_features)
    x_btf = torch.randn(shape, generator=generator)
    with torch.inference_mode():
        preds = model(x_btf)
        for place in range(BLOCK_SIZE):
            rolled = model(x_btf.roll(place, dims=0)).roll(-place, dims=0)
            alone = x_btf.new_zeros(shape)
            alone[place] = x_btf[place]
            if not (torch.equal(rolled, preds) and torch.equal(model(alone)[place], preds[place])):
                return 1
    return BLOCK_SIZE
