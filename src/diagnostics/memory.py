"""Memory over time: how far back the last output still feels the input, and who gets the gradient.

Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", 2013.
"""

from collections.abc import Callable

import torch
from torch import Tensor


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


def gradient_share(grad_btd: Tensor) -> Tensor:
    """Return the share of the gradient that each time step receives.

    Args:
        grad_btd: (B, T, D) gradient of the loss at the hidden states dL/dh_t.

    Returns:
        (T,) norm over batch and features at each step, divided by the sum over steps; zeros where
        there is no gradient at all.

    >>> gradient_share(torch.tensor([[[3.0, 4.0], [0.0, 15.0]]]))
    tensor([0.2500, 0.7500], dtype=torch.float64)
    """
    norms = grad_btd.detach().double().transpose(0, 1).reshape(grad_btd.shape[1], -1).norm(dim=1)
    total = norms.sum()
    return norms / total if total > 0 else norms


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
