"""The norm of a window by itself, undone at the output.

Shapes: B batch, T time steps, F input features.
"""

import torch
from torch import Tensor

from src.models.masking import last_real_step
from src.models.norm.base import Norm, Persistence


class ReversibleNorm(Norm):
    """Standardise each window by itself and give the predictions its level and spread back.

    The paper subtracts the window's mean; subtracting its last value instead (Zeng et al. 2023,
    DLinear and NLinear) makes a head that says 0 predict tomorrow = today, where prices need it.
    The learned affine of the paper is left out: the layers around it can learn it.

    Args:
        num_features: Features per step; must be 1, the price itself.
        center: What is subtracted: the window's `last` real value or its `mean`.
        eps: Added to the variance, in squared input units.
        persistence: Maps input units to the scaled target; identity if None.
        **facts: Other run-time facts of `Norm`, not needed here.

    Raises:
        ValueError: If there are several features, the target is not a price level (persistence
            scale 0), or the center is unknown.

    Source: Kim et al. 2022, "Reversible instance normalization for accurate time-series
    forecasting against distribution shift", section 3.
    """

    def __init__(
        self,
        num_features: int,
        *,
        center: str = "last",
        eps: float = 1e-8,
        persistence: Persistence | None = None,
        **facts,
    ) -> None:
        super().__init__(num_features, **facts)
        if num_features != 1:
            raise ValueError(f"norm=reversible needs a single price feature, got {num_features}")
        if center not in ("mean", "last"):
            raise ValueError(f"center must be 'mean' or 'last', got {center!r}")
        self.scale = 1.0 if persistence is None else persistence.scale
        self.offset = 0.0 if persistence is None else persistence.offset
        if self.scale == 0:
            raise ValueError(
                "norm=reversible needs a price level as target, got persistence scale 0 "
                "(a return or a residual)"
            )
        self.center = center
        self.eps = eps

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Standardise every window by itself; shape (B, T, 1) in and out."""
        center_b11, std_b11 = self._statistics(x_btf, mask_bt)
        return (x_btf - center_b11) / std_b11

    def undo(self, preds_b1: Tensor, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Give predictions (B, 1) the level and spread of their windows (B, T, 1)."""
        center_b11, std_b11 = self._statistics(x_btf, mask_bt)
        level_b1 = preds_b1 * std_b11.squeeze(-1) + center_b11.squeeze(-1)
        return self.scale * level_b1 + self.offset

    def _statistics(self, x_btf: Tensor, mask_bt: Tensor | None) -> tuple[Tensor, Tensor]:
        real_bt1 = torch.ones_like(x_btf) if mask_bt is None else mask_bt.unsqueeze(-1).to(x_btf)
        share_bt1 = real_bt1 / real_bt1.sum(dim=1, keepdim=True)
        mean_b11 = (share_bt1 * x_btf).sum(dim=1, keepdim=True)
        variance_b11 = (share_bt1 * (x_btf - mean_b11).square()).sum(dim=1, keepdim=True)
        std_b11 = (variance_b11 + self.eps).sqrt()
        if self.center == "mean":
            return mean_b11, std_b11
        if mask_bt is None:
            return x_btf[:, -1:], std_b11
        last_b11 = last_real_step(mask_bt).view(-1, 1, 1)
        return x_btf.gather(1, last_b11), std_b11
