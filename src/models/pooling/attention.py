"""Poolings that weigh steps by what they hold: `attention`, `multihead`, `attentive_stats`.

Shapes: B batch, T time steps, D hidden size, H heads.
"""

import torch
from torch import Tensor, nn

from src.models.masking import blank_padding
from src.models.pooling.base import (
    Pooled,
    Pooling,
    WeightedPooling,
    masked_softmax,
    weighted_sum,
)


class AttentionPooling(WeightedPooling):
    """Score each step by Linear(D, 1)(h) / sqrt(D) and softmax over time, per sample.

    The bias raises all scores alike, which the softmax ignores: its gradient is zero by design.

    Args:
        hidden_size: Width of the hidden states, D.
        context_length: Steps per window, T.
    """

    def __init__(self, hidden_size: int, context_length: int) -> None:
        super().__init__(hidden_size, context_length)
        self.score = nn.Linear(hidden_size, 1)

    def weigh(self, hidden_btd: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Softmax over the real steps of the scaled scores."""
        scores_bt = self.score(hidden_btd).squeeze(-1) * self.hidden_size**-0.5
        return masked_softmax(scores_bt, mask_bt)


class MultiheadPooling(Pooling):
    """Attend with one learned query per head and concatenate what the heads found.

    A query that does not depend on the sample makes the key projection redundant,
    q . (K h) = (K'q) . h, so the D x H matrix of scores is learned directly; and values are linear,
    so they are computed once per head, after the sum over time, instead of once per step. The
    weights returned are the average over heads.

    Args:
        hidden_size: Width of the hidden states, D.
        context_length: Steps per window, T.
        num_heads: Heads, H; must divide D.

    Raises:
        ValueError: If the heads do not divide the width.

    Source: Lee et al. 2019, "Set Transformer", section 3.2 (pooling by multihead attention).
    """

    def __init__(self, hidden_size: int, context_length: int, *, num_heads: int = 2) -> None:
        super().__init__(hidden_size, context_length)
        if num_heads < 1 or hidden_size % num_heads:
            raise ValueError(
                f"num_heads must divide hidden_size, got pooling.num_heads={num_heads} "
                f"and hidden_size={hidden_size}"
            )
        self.score = nn.Linear(hidden_size, num_heads, bias=False)
        self.values = nn.ModuleList(
            nn.Linear(hidden_size, hidden_size // num_heads) for _ in range(num_heads)
        )

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Pooled:
        """Pool over time: (B, T, D) and mask (B, T) to vectors (B, D) and weights (B, T)."""
        if mask_bt is not None:
            hidden_btd = blank_padding(hidden_btd, mask_bt)
        scores_bht = self.score(hidden_btd).transpose(1, 2) * self.hidden_size**-0.5
        weights_bht = masked_softmax(scores_bht, None if mask_bt is None else mask_bt.unsqueeze(1))
        heads = [
            value(weighted_sum(hidden_btd, weights_bt))
            for value, weights_bt in zip(self.values, weights_bht.unbind(1), strict=True)
        ]
        return Pooled(torch.cat(heads, dim=1), weights_bht.mean(dim=1))


class AttentiveStatsPooling(WeightedPooling):
    """Concatenate the attention-weighted mean and standard deviation of every unit.

    Args:
        hidden_size: Width of the hidden states, D; the pooled vector has 2 D.
        context_length: Steps per window, T.
        attention_size: Width of the tanh layer that scores the steps.

    Raises:
        ValueError: If the attention size is below 1.

    Source: Okabe et al. 2018, "Attentive statistics pooling for deep speaker embedding".
    """

    # Keeps the square root's slope finite where a unit does not vary, far below any real variance.
    EPS = 1e-8

    def __init__(self, hidden_size: int, context_length: int, *, attention_size: int = 64) -> None:
        super().__init__(hidden_size, context_length)
        if attention_size < 1:
            raise ValueError(f"attention_size must be at least 1, got {attention_size}")
        self.score = nn.Sequential(
            nn.Linear(hidden_size, attention_size),
            nn.Tanh(),
            nn.Linear(attention_size, 1, bias=False),
        )

    @property
    def output_size(self) -> int:
        """Width of the pooled vector: D means and D standard deviations."""
        return 2 * self.hidden_size

    def weigh(self, hidden_btd: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Softmax over the real steps of the scores."""
        return masked_softmax(self.score(hidden_btd).squeeze(-1), mask_bt)

    def combine(self, hidden_btd: Tensor, weights: Tensor) -> Tensor:
        """Weighted mean and standard deviation, shape (B, 2 D)."""
        mean_bd = weighted_sum(hidden_btd, weights)
        variance_bd = weighted_sum((hidden_btd - mean_bd.unsqueeze(1)).square(), weights)
        return torch.cat([mean_bd, (variance_bd + self.EPS).sqrt()], dim=1)
