"""Memory over time: how far back the last output still feels the input, and how it fades.

Shapes: B batch, T time steps, F input features.

Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", 2013.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .isolation import untouched

LAGS = (5, 10, 20, 50)
"""Lags at which retention is reported."""


def memory_over_time(
    function: Callable[[Tensor], Tensor], x_btf: Tensor, probes: int = 1, seed: int = 0
) -> Tensor:
    """Measure how strongly the output depends on the input of each time step.

    Args:
        function: Maps (B, T, F) to (B, ...) or (B, T, ...); with a time axis of length T the last
            step is taken. A module can be passed as it is if it returns a tensor.
        x_btf: (B, T, F) inputs.
        probes: Random directions of the output to average over; a single output needs one.
        seed: Seed of these directions; the global generator is left alone.

    Returns:
        (T,) norm over features and output directions of d output_T / d x_t, mean over the batch.
    """
    x = x_btf.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        output = function(x)
        last = output[:, -1] if output.dim() == 3 and output.shape[1] == x.shape[1] else output
        last = last.reshape(len(x), -1)
        generator = torch.Generator().manual_seed(seed)
        squares = x.new_zeros(x.shape[:2], dtype=torch.float64)
        for probe in range(probes):
            direction = torch.randn(last.shape, generator=generator).to(last)
            if last.shape[1] == 1:
                direction = torch.ones_like(last)
            keep = probe + 1 < probes
            (grad,) = torch.autograd.grad(last, x, direction, retain_graph=keep)
            squares += grad.double().square().sum(-1)
    return (squares / probes).sqrt().mean(0)


def reach(norms_t: Tensor, threshold: float = 1e-6) -> int:
    """Count the last steps whose influence is at least `threshold` of the strongest one.

    Args:
        norms_t: (T,) influence per time step.
        threshold: Share of the largest influence below which a step counts as forgotten.

    Returns:
        Number of steps from the end back to the earliest one that still counts; 0 if all are zero.

    >>> reach(torch.tensor([1e-9, 1e-3, 1.0]))
    2
    """
    if not (norms_t > 0).any():
        return 0
    remembered = torch.nonzero(norms_t >= threshold * norms_t.max()).flatten()
    return int(len(norms_t) - remembered[0])


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
