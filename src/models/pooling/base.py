"""What all poolings share: the contract, the masking, and the weighted sum.

Shapes: B batch, T time steps, D hidden size.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from src.models.masking import blank_padding


class Pooled(NamedTuple):
    """A pooled vector and the weights over time that made it.

    Attributes:
        pooled: One vector per sample, shape (B, D').
        weights: Weights over time that sum to 1, shape (B, T), or (T,) if all samples share them.
    """

    pooled: Tensor
    weights: Tensor


class Pooling(nn.Module, ABC):
    """Reduce a sequence of hidden states to one vector; say which steps it came from.

    With a mask, padded steps are blanked before anything looks at them and weigh exactly 0; a
    sample without a single real step is refused.

    Args:
        hidden_size: Width of the hidden states, D.
        context_length: Steps per window, T.
    """

    def __init__(self, hidden_size: int, context_length: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.context_length = context_length

    @property
    def output_size(self) -> int:
        """Width of the pooled vector, D'."""
        return self.hidden_size

    @abstractmethod
    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Pooled:
        """Pool over time.

        Args:
            hidden_btd: Hidden states, shape (B, T, D).
            mask_bt: True where a step is real, shape (B, T), bool.

        Returns:
            The pooled vector (B, D') and its weights, (B, T) or (T,).

        Raises:
            ValueError: If the mask has another shape or type, or leaves a sample empty.
        """


class WeightedPooling(Pooling):
    """Weigh the steps, then sum them.

    A subclass says how steps are weighed (`weigh`) and, where a weighted sum is not the answer,
    what becomes of them (`combine`).

    Args:
        hidden_size: Width of the hidden states, D.
        context_length: Steps per window, T.
    """

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Pooled:
        """Pool over time: (B, T, D) and mask (B, T) to vectors (B, D') and weights."""
        if mask_bt is not None:
            hidden_btd = blank_padding(hidden_btd, mask_bt)
        weights = self.weigh(hidden_btd, mask_bt)
        return Pooled(self.combine(hidden_btd, weights), weights)

    @abstractmethod
    def weigh(self, hidden_btd: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Weigh the steps; shape (B, T), or (T,) without a mask."""

    def combine(self, hidden_btd: Tensor, weights: Tensor) -> Tensor:
        """Turn weighed steps into one vector, shape (B, D')."""
        return weighted_sum(hidden_btd, weights)


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
