"""Masks over time, True where a step is real, and weights that respect them.

Shapes: B batch, T time steps, F features, D hidden size.
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


def weighted_sum(hidden_btd: Tensor, weights: Tensor) -> Tensor:
    """Sum over time, in float32 at least.

    A product and a sum rather than an einsum: autocast would run the einsum in half precision and
    round the weights, so that they no longer sum to 1.

    Args:
        hidden_btd: Hidden states, shape (B, T, D).
        weights: Weights over time, shape (B, T) or (T,).

    Returns:
        The weighted sum, shape (B, D).
    """
    return (weights.unsqueeze(-1) * hidden_btd).sum(dim=1)


def masked_softmax(scores: Tensor, mask_bt: Tensor | None) -> Tensor:
    """Softmax over the last axis in float32 at least; padded steps get exactly 0.

    Args:
        scores: Scores, shape (..., T), broadcastable against the mask.
        mask_bt: True where a step is real.

    Returns:
        Weights that sum to 1 over the last axis.
    """
    if mask_bt is not None:
        scores = scores.masked_fill(~mask_bt, -torch.inf)
    return scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))


def weight_dtype(hidden_btd: Tensor) -> torch.dtype:
    """Weights are float32 at least, also where the hidden states are half precision."""
    return torch.promote_types(hidden_btd.dtype, torch.float32)
