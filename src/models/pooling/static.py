"""Poolings without parameters: `mean`, `last` and `max`.

Shapes: B batch, T time steps, D hidden size.
"""

import torch
from torch import Tensor

from src.models.masking import check_mask, last_real_step
from src.models.pooling.base import Pooled, Pooling, WeightedPooling, weight_dtype


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
