"""One trained model, ready to forecast: weights loaded once, no state kept between two forecasts.

Shapes: N windows, T days of a window, F input features, K numbers that are forecast of a window.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.data.facts import DataFacts
from src.data.features.bars import bar_features
from src.data.features.extra import extra_values
from src.data.features.variance import LOG_VARIANCE, with_log_variance
from src.data.preparation import warmup_rows
from src.data.reading.errors import DataError
from src.data.reading.sources import PriceTable
from src.data.scaling import encode_closes
from src.models.output import PointOutput, read
from src.runs.calibration import Calibration

BLOCK_SIZE = 8
FAN = (0.5, 0.8, 0.95)
"""Shares of outcomes of the conformal intervals that make the quantiles of a point."""


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


class BarForecasts(NamedTuple):
    """Forecasts of what comes after each window, in its own unit.

    Attributes:
        forecast: The model's forecasts (N, K).
        interval: Lower and upper end (N, K, 2); None where none is known.
        quantiles: By level (N, K): the model's own, or those of the conformal intervals.
    """

    forecast: np.ndarray
    interval: np.ndarray | None
    quantiles: dict[float, np.ndarray]


class Windows(NamedTuple):
    """Windows to forecast from.

    Attributes:
        x: Model input (N, T, F).
        closes: The same days' closes (N, T), price units.
        reference: The forecast that needs no model (N, 1): the last close, the mean variance of
            the latest bars, the base rate.
    """

    x: Tensor
    closes: np.ndarray
    reference: np.ndarray


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
        output: What the model says of each number that is forecast.
    """

    model: Callable[[Tensor], Tensor]
    facts: DataFacts
    calibration: Calibration | None = None
    block_size: int = BLOCK_SIZE
    output: PointOutput = field(default_factory=PointOutput)

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
        done = self._read(windows)[0]
        predicted = done.flatten()
        interval = self._conformal(predicted, windows.closes, level)
        return Forecasts(windows.closes[:, -1], predicted, interval)

    def forecast_bars(self, windows: Windows, level: float = 0.9) -> BarForecasts:
        """Forecast the h bars after each window, each number with its distribution.

        Args:
            windows: N windows.
            level: Share of outcomes that the intervals should cover, in (0, 1).

        Returns:
            The forecasts; intervals are the model's own where it forecasts a distribution.

        Raises:
            ValueError: If a forecast is not finite, or the level cannot be had.
        """
        forecast, own = self._read(windows)
        if own is not None:
            columns = dict(zip(self.output.levels, np.moveaxis(own, -1, 0), strict=True))
            return BarForecasts(forecast, _central(columns, level), columns)
        interval = self._conformal(forecast, windows.closes, level)
        quantiles: dict[float, np.ndarray] = {}
        for share in FAN if self.calibration is not None else ():
            with suppress(ValueError):  # too few validation windows for so wide an interval
                ends = self._conformal(forecast, windows.closes, share)
                assert ends is not None
                quantiles |= {(1 - share) / 2: ends[..., 0], (1 + share) / 2: ends[..., 1]}
        if quantiles:
            quantiles[0.5] = forecast
        return BarForecasts(forecast, interval, dict(sorted(quantiles.items())))

    def _read(self, windows: Windows) -> tuple[np.ndarray, np.ndarray | None]:
        """Return forecasts (N, K), and the quantiles (N, K, L) of a distribution."""
        preds, reference = self._run(windows.x).double(), torch.tensor(windows.reference)
        forecast, quantiles = read(
            self.output, preds, lambda one: self.facts.to_price(one, reference)
        )
        if not forecast.isfinite().all():
            raise ValueError("the forecast is not a finite number: the prices lie too far apart")
        return forecast.numpy(), None if quantiles is None else quantiles.numpy()

    def _conformal(
        self, forecast: np.ndarray, closes: np.ndarray, level: float
    ) -> np.ndarray | None:
        """Return intervals (..., 2) around forecasts (N,) or (N, K); None without calibration."""
        if self.calibration is None:
            return None
        return self.calibration.interval(forecast, closes, level)

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
        exact = np.asarray(closes, dtype=np.float64)
        return Windows(x, exact, self._reference(exact))

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
        is_bars, target = self.facts.input_scaling is None, self.facts.target
        if target.is_volatility:
            table = with_log_variance(table, target.estimator)
        warmup = warmup_rows(self.facts.features, target)
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
        x, reference = (
            torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0],
            self._reference(closes),
        )
        if target.is_volatility:
            variance = np.exp(table.extra[LOG_VARIANCE][warmup + steps - target.horizon :])
            reference = view(variance, target.horizon).mean(1)[first:, None]
        return Windows(x, closes, reference)

    def _reference(self, closes: np.ndarray) -> np.ndarray:
        """Return the last close of each window, or the base rate of a direction (N, 1)."""
        if self.facts.target.kind != "direction":
            return closes[:, -1:]
        _, log_odds, _ = self.facts.target_scaling.numbers()
        return np.full((len(closes), 1), 1 / (1 + np.exp(-log_odds)))

    def _run(self, x_ntf: Tensor) -> Tensor:
        preds = []
        with torch.inference_mode():
            for block in x_ntf.split(self.block_size):
                padding = block.new_zeros(self.block_size - len(block), *block.shape[1:])
                preds.append(self.model(torch.cat([block, padding]))[: len(block)])
        return torch.cat(preds)


def _central(quantiles: dict[float, np.ndarray], level: float) -> np.ndarray:
    """Return the ends (N, K, 2) of the central interval of a level.

    Raises:
        ValueError: If there are no such quantiles; it says which levels there are.
    """
    ends = [
        next((own for tail, own in quantiles.items() if abs(tail - wanted) < 1e-9), None)
        for wanted in ((1 - level) / 2, (1 + level) / 2)
    ]
    if ends[0] is None or ends[1] is None:
        known = sorted(round(2 * tail - 1, 6) for tail in quantiles if tail > 0.5)
        shown = ", ".join(f"{one:g}" for one in known)
        raise ValueError(f"level: the quantiles of this run make intervals of {shown}, got {level}")
    return np.stack([ends[0], ends[1]], axis=-1)


def _windows_over(features: np.ndarray, steps: int, first: int) -> Tensor:
    """Return windows (N, T, F) over features of rows, from one of them on."""
    view = np.lib.stride_tricks.sliding_window_view(features, steps, axis=0)
    return torch.from_numpy(np.array(view[first:].swapaxes(1, 2), order="C"))


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
