"""Past closes back out of a model's windows, for models that are made for a series, not features.

Shapes: B batch, T time steps, F input features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from src.data.scaling import InputScaling
from src.data.targets import TargetScaling


@dataclass(frozen=True)
class CloseHistory:
    """How windows of closes read as log closes, and a log return as a scaled target.

    Args:
        input: What the closes were scaled by, of one series.
        target: What the log return is scaled by.
        horizon: How many bars ahead the target lies.
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

    def scaled(self, log_return: Tensor) -> Tensor:
        """Return log returns as scaled targets, of the same shape."""
        _, offset, scale = self.target.numbers()
        return (log_return - offset) / scale

    def raw(self, scaled: Tensor) -> Tensor:
        """Return scaled targets as log returns, of the same shape."""
        _, offset, scale = self.target.numbers()
        return scaled.double() * scale + offset


def history_of(input_scaling: InputScaling | None, target: TargetScaling) -> CloseHistory | None:
    """Return how windows show past closes.

    Args:
        input_scaling: What the closes were scaled by; None for bars.
        target: What the target is scaled by.

    Returns:
        None where the windows hold no closes or those of several series, or where the target is no
        log return.
    """
    if input_scaling is None or isinstance(input_scaling.offset, tuple):
        return None
    return CloseHistory(input_scaling, target) if target.kind == "log_return" else None
