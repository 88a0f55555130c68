"""Retention: how much of its influence an input keeps while it moves into the past.

Shapes: B batch, T time steps, F input features.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from src.diagnostics.isolation import untouched
from src.diagnostics.memory import memory_over_time

LAGS = (5, 10, 20, 50)


def prediction_memory(
    model: nn.Module, predict: Callable[[Tensor], Tensor], x_btf: Tensor
) -> Tensor:
    """Measure how strongly predictions depend on each step, in evaluation mode.

    Args:
        model: The module behind `predict`; left exactly as found.
        predict: Maps windows (B, T, F) to predictions (B, 1).
        x_btf: Windows, shape (B, T, F).

    Returns:
        (T,) norm over features of d prediction / d x_t, mean over the batch.
    """
    # cuDNN's recurrent kernels have no backward pass in evaluation mode.
    with untouched(model), torch.backends.cudnn.flags(enabled=False):
        model.eval()
        return memory_over_time(predict, x_btf)


def retention(norms_t: Tensor) -> Tensor:
    """Return the influence of each step as a share of the latest step's, latest first.

    Args:
        norms_t: (T,) influence per step, oldest first.

    Returns:
        (T,) shares by lag: 1 at lag 0, the latest step; zeros where the latest has no influence.

    >>> retention(torch.tensor([0.5, 1.0, 2.0]))
    tensor([1.0000, 0.5000, 0.2500])
    """
    latest_first = norms_t.flip(0)
    if latest_first[0] == 0:
        return torch.zeros_like(latest_first)
    return latest_first / latest_first[0]


def half_life(retention_t: Tensor) -> int:
    """Return the first lag from which on less than half of the influence is left, for good.

    Args:
        retention_t: (T,) shares by lag, latest step first.

    Returns:
        The lag in steps; T if the oldest step still has half.

    >>> half_life(torch.tensor([1.0, 1.5, 0.6, 0.4, 0.1]))
    3
    """
    kept = torch.nonzero(retention_t >= 0.5).flatten()
    return int(kept[-1]) + 1 if len(kept) else 0
