"""Masks over time: True where a step is real, False where it is padding.

Shapes: B batch, T time steps, F features.
"""

import torch
from torch import Tensor


def blank_padding(x_btf: Tensor, mask_bt: Tensor) -> Tensor:
    """Set padded steps to 0, whatever they hold, NaN included.

    Multiplying by a weight of 0 is not enough: 0 * NaN is NaN, in the forward pass and in the
    gradients of every layer the padding went through.

    Args:
        x_btf: Sequences, shape (B, T, F).
        mask_bt: True where a step is real, shape (B, T), bool.

    Returns:
        The sequences with zeros in the padding, shape (B, T, F).

    Raises:
        ValueError: If the mask is not a bool tensor of shape (B, T), or leaves a sample empty.
    """
    check_mask(mask_bt, x_btf)
    return x_btf.masked_fill(~mask_bt.unsqueeze(-1), 0.0)


def check_mask(mask_bt: Tensor, x_btf: Tensor) -> None:
    """Refuse a mask that does not fit the sequences or leaves a sample without a real step.

    Args:
        mask_bt: True where a step is real, shape (B, T), bool.
        x_btf: The sequences it masks, shape (B, T, F).

    Raises:
        ValueError: If the mask is not a bool tensor of shape (B, T), or leaves a sample empty.
    """
    if mask_bt.dtype != torch.bool:
        raise ValueError(f"mask must be bool, True where a step is real, got {mask_bt.dtype}")
    if mask_bt.shape != x_btf.shape[:2]:
        expected, got = tuple(x_btf.shape[:2]), tuple(mask_bt.shape)
        raise ValueError(f"mask must have shape {expected} (batch, time), got {got}")
    empty = ~mask_bt.any(dim=1)
    if empty.any():
        samples = empty.nonzero().flatten().tolist()
        raise ValueError(f"mask must keep at least one step per sample, got none in {samples}")


def last_real_step(mask_bt: Tensor) -> Tensor:
    """Find the last real step of every sample.

    Args:
        mask_bt: True where a step is real, shape (B, T), bool.

    Returns:
        Index of the last real step, shape (B,), int64.

    >>> last_real_step(torch.tensor([[True, True, False], [False, True, True]]))
    tensor([1, 2])
    """
    steps = torch.arange(mask_bt.shape[1], device=mask_bt.device)
    return (mask_bt * steps).amax(dim=1)
