"""Past closes back out of a model's windows, for models that are made for a series, not features.

Shapes: B batch, T time steps, F input features, K numbers that are forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from src.data.scaling import InputScaling
from src.data.targets import TargetScaling


@dataclass(frozen=True)
class CloseHistory:
    """How windows of closes read as log closes, and a forecast's logarithm as a scaled target.

    Args:
        input: What the closes were scaled by, of one series.
        target: What the log return, or the log of the variance, is scaled by.
        horizon: h, the bars that are forecast.
    """

    input: InputScaling
    target: TargetScaling
    horizon: int = 1

    def log_closes(self, x_btf: Tensor) -> Tensor:
        """Return log closes (B, T), float64, over the window's last, of windows (B, T, F)."""
        kind, offset, scale = self.input.numbers()
        closes_bt = x_btf[:, :, 0].double() * scale
        if kind == "relative":
            return closes_bt
        logs_bt = torch.log(closes_bt + offset)
        return logs_bt - logs_bt[:, -1:]

    def scaled(self, logs_bk: Tensor) -> Tensor:
        """Return log returns, or logs of variances, as scaled targets, of the same shape."""
        return self.target.to_scaled(logs_bk.exp(), torch.ones_like(logs_bk[:, :1]))

    def raw(self, scaled_bk: Tensor) -> Tensor:
        """Return scaled targets as log returns, or logs of variances, of the same shape."""
        exact_bk = scaled_bk.double()
        return self.target.to_price(exact_bk, torch.ones_like(exact_bk[:, :1])).log()


def history_of(
    input_scaling: InputScaling | None, target: TargetScaling, horizon: int = 1
) -> CloseHistory | None:
    """Return how windows show past closes.

    Args:
        input_scaling: What the closes were scaled by; None for bars.
        target: What the target is scaled by.
        horizon: h, the bars that are forecast.

    Returns:
        None where the windows hold no closes or those of several series, or where the target is
        neither a log return nor a volatility.
    """
    if input_scaling is None or isinstance(input_scaling.offset, tuple):
        return None
    if target.kind not in ("log_return", "volatility"):
        return None
    return CloseHistory(input_scaling, target, horizon)
