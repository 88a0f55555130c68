"""Poolings whose weights are learned once for all samples: `learnable`, `gated`, `exponential`.

Shapes: B batch, T time steps, D hidden size.
"""

import math

import torch
from torch import Tensor, nn

from src.models.masking import last_real_step
from src.models.pooling.base import WeightedPooling, masked_softmax, weight_dtype

INITIALISATIONS = ("uniform", "recency_probability", "recency_log")


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
