"""Poolings over time: (B, T, D) -> (B, D') and the weights over time that made it.

Three kinds: without parameters (`mean`, `last`, `max`), with weights learned once for all samples
(`learnable`, `gated`, `exponential`), and with weights from what the steps hold (`attention`,
`multihead`, `attentive_stats`). To add one, derive it from `WeightedPooling` here, or from
`Pooling` where no weighted sum is the answer, and name it in a file of conf/pooling/.

Shapes: B batch, T time steps, D hidden size, H heads.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from src.models.masking import (
    blank_padding,
    check_mask,
    last_real_step,
    masked_softmax,
    weight_dtype,
    weighted_sum,
)

INITIALISATIONS = ("uniform", "recency_probability", "recency_log")


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


class MeanPooling(WeightedPooling):
    """Average the steps, so each receives the same share of the gradient, 1 / T.

    >>> MeanPooling(1, 2)(torch.tensor([[[1.0], [3.0]]]))
    Pooled(pooled=tensor([[2.]]), weights=tensor([0.5000, 0.5000]))
    """

    def weigh(self, hidden_btd: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Weigh every real step alike."""
        dtype = weight_dtype(hidden_btd)
        if mask_bt is None:
            steps = hidden_btd.shape[1]
            return torch.full((steps,), 1 / steps, dtype=dtype, device=hidden_btd.device)
        return mask_bt.to(dtype) / mask_bt.sum(dim=1, keepdim=True)


class LastPooling(WeightedPooling):
    """Take the last real step, as recurrent regressors do.

    >>> LastPooling(1, 2)(torch.tensor([[[1.0], [3.0]]]))
    Pooled(pooled=tensor([[3.]]), weights=tensor([0., 1.]))
    """

    def weigh(self, hidden_btd: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Put the whole weight on the last real step."""
        steps = torch.arange(hidden_btd.shape[1], device=hidden_btd.device)
        last = steps[-1] if mask_bt is None else last_real_step(mask_bt).unsqueeze(1)
        return (steps == last).to(weight_dtype(hidden_btd))

    def combine(self, hidden_btd: Tensor, weights: Tensor) -> Tensor:
        """Pick the last real step, without a sum where it is the same for all samples."""
        return hidden_btd[:, -1] if weights.dim() == 1 else super().combine(hidden_btd, weights)


class MaxPooling(Pooling):
    """Take the largest value of every unit; a step weighs the share of units it provides.

    The weights are counts: no gradient flows through them. Of equal values one step gets the
    credit and the gradient.

    >>> MaxPooling(2, 2)(torch.tensor([[[1.0, 5.0], [3.0, 4.0]]]))
    Pooled(pooled=tensor([[3., 5.]]), weights=tensor([[0.5000, 0.5000]]))
    """

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Pooled:
        """Pool over time: (B, T, D) and mask (B, T) to the maxima (B, D) and weights (B, T)."""
        if mask_bt is not None:
            check_mask(mask_bt, hidden_btd)
            hidden_btd = hidden_btd.masked_fill(~mask_bt.unsqueeze(-1), -torch.inf)
        pooled_bd, winner_bd = hidden_btd.max(dim=1)
        wins_bd = torch.ones_like(pooled_bd, dtype=weight_dtype(hidden_btd))
        wins_bt = wins_bd.new_zeros(hidden_btd.shape[:2]).scatter_add_(1, winner_bd, wins_bd)
        return Pooled(pooled_bd, wins_bt / self.hidden_size)


def initial_logits(context_length: int, init: str) -> Tensor:
    """Make the logits a learned pooling starts from.

    The recency profile p = linspace(0.8, 1.2, T) / T gives the last steps more weight.
    `recency_log` uses log p, so that the softmax gives p back. `recency_probability` uses p itself
    as logits, plus N(0, 0.01) noise from torch's global generator: a published recipe, kept to
    compare, whose weights after the softmax are all but uniform.

    Args:
        context_length: Steps per window, T.
        init: `uniform`, `recency_probability` or `recency_log`.

    Returns:
        Logits, shape (T,).

    Raises:
        ValueError: If the initialisation is unknown.

    >>> initial_logits(3, "recency_log").softmax(0)
    tensor([0.2667, 0.3333, 0.4000])
    """
    if init not in INITIALISATIONS:
        raise ValueError(f"init must be one of {list(INITIALISATIONS)}, got {init!r}")
    if init == "uniform":
        return torch.zeros(context_length)
    profile = torch.linspace(0.8, 1.2, context_length) / context_length
    if init == "recency_log":
        return profile.log()
    return profile + 0.01 * torch.randn(context_length)


class LearnablePooling(WeightedPooling):
    """Weigh each position by the softmax of a learned logit, the same for all samples.

    Args:
        hidden_size: Width of the hidden states, D.
        context_length: Steps per window, T; one logit each.
        init: How the logits start: `uniform`, `recency_probability` or `recency_log`.

    Raises:
        ValueError: If the initialisation is unknown.
    """

    def __init__(self, hidden_size: int, context_length: int, *, init: str = "uniform") -> None:
        super().__init__(hidden_size, context_length)
        self.logits = nn.Parameter(initial_logits(context_length, init))

    def weigh(self, hidden_btd: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Softmax of the logits over the real steps."""
        return masked_softmax(self.logits, mask_bt)


class GatedPooling(LearnablePooling):
    """Scale each unit of the learned weighted sum p by a gate: p * sigmoid(Linear(p)).

    Args:
        hidden_size: Width of the hidden states, D.
        context_length: Steps per window, T; one logit each.
        init: How the logits start: `uniform`, `recency_probability` or `recency_log`.

    Raises:
        ValueError: If the initialisation is unknown.
    """

    def __init__(self, hidden_size: int, context_length: int, *, init: str = "uniform") -> None:
        super().__init__(hidden_size, context_length, init=init)
        self.gate = nn.Linear(hidden_size, hidden_size)

    def combine(self, hidden_btd: Tensor, weights: Tensor) -> Tensor:
        """Sum the weighed steps, then gate every unit."""
        pooled_bd = super().combine(hidden_btd, weights)
        return pooled_bd * self.gate(pooled_bd).sigmoid()


class ExponentialPooling(WeightedPooling):
    """Let the weight fall by a constant factor per step back from the last real one.

    Args:
        hidden_size: Width of the hidden states, D.
        context_length: Steps per window, T.
        half_life: Steps after which the weight has halved, at the start of training; learned.

    Raises:
        ValueError: If the half-life is not above 0.
    """

    def __init__(self, hidden_size: int, context_length: int, *, half_life: float = 5.0) -> None:
        super().__init__(hidden_size, context_length)
        if half_life <= 0:
            raise ValueError(f"half_life must be above 0, got {half_life}")
        # The logarithm is what is learned: the decay stays positive at any learning rate.
        self.log_decay = nn.Parameter(torch.tensor(math.log(math.log(2.0) / half_life)))

    def weigh(self, hidden_btd: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Weigh by exp(-decay * distance to the last real step)."""
        steps = torch.arange(hidden_btd.shape[1], device=hidden_btd.device)
        last = steps[-1] if mask_bt is None else last_real_step(mask_bt).unsqueeze(1)
        distance = (last - steps).to(weight_dtype(hidden_btd))
        return masked_softmax(-self.log_decay.exp() * distance, mask_bt)


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
