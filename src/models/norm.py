"""Norms between the data and the encoder: how features are brought to one scale in the network.

All share one constructor and two methods, so that a regressor treats them alike: `forward` goes
before the encoder, `undo` after the head. `undo` changes nothing except in `ReversibleNorm`, and
takes the window itself as its state: nothing is remembered between the two calls.

Shapes: B batch, T time steps, F input features.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from src.models.contract import Persistence
from src.models.masking import last_real_step


class Norm(nn.Module):
    """Leave the features as they are; the base of the other norms.

    Args:
        num_features: Features per step, F.
        feature_mean: Mean of each feature over the training split, shape (F,).
        feature_std: Standard deviation of each feature over the training split, shape (F,).
        persistence: How a feature in input units maps to the scaled target.
    """

    def __init__(
        self,
        num_features: int,
        *,
        feature_mean: Tensor | Sequence[float] | None = None,
        feature_std: Tensor | Sequence[float] | None = None,
        persistence: Persistence | None = None,
    ) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Normalise the input.

        Args:
            x_btf: Input windows, shape (B, T, F); padded steps must hold finite values.
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            Normalised windows, shape (B, T, F).
        """
        return x_btf

    def undo(self, preds_b1: Tensor, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Bring predictions back to the units of the target.

        Args:
            preds_b1: Predictions of the head, shape (B, 1), or (B, K) for several.
            x_btf: The windows they were made from, before the norm, shape (B, T, F).
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            Predictions in scaled target units, of the same shape.
        """
        return preds_b1


class LayerNorm(Norm):
    """Standardise each bar over its features, in training and evaluation alike.

    Args:
        num_features: Features per bar, F; at least 2.
        affine: Learn a gain and a bias per feature.
        eps: Added to the variance.
        **facts: Run-time facts of `Norm`, not needed here.

    Raises:
        ValueError: If there is one feature, which minus itself is always 0.

    Source: Ba et al. 2016, "Layer normalization".
    """

    def __init__(
        self, num_features: int, *, affine: bool = False, eps: float = 1e-5, **facts
    ) -> None:
        super().__init__(num_features, **facts)
        _require_several_features("layer", num_features, "all bars would become 0")
        self.norm = nn.LayerNorm(num_features, eps=eps, elementwise_affine=affine)

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Normalise every bar by itself; shape (B, T, F) in and out."""
        return self.norm(x_btf)


class RMSNorm(Norm):
    """Divide each bar by the root mean square of its features, with a learned gain per feature.

    Args:
        num_features: Features per bar, F; at least 2.
        eps: Added to the mean square.
        **facts: Run-time facts of `Norm`, not needed here.

    Raises:
        ValueError: If there is one feature, of which only the sign would be left.

    Source: Zhang and Sennrich 2019, "Root mean square layer normalization".
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5, **facts) -> None:
        super().__init__(num_features, **facts)
        _require_several_features("rms", num_features, "only its sign would be left")
        self.norm = nn.RMSNorm(num_features, eps=eps)

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Normalise every bar by itself; shape (B, T, F) in and out."""
        return self.norm(x_btf)


class BatchNorm(Norm):
    """Standardise each feature over batch and time; running statistics in evaluation.

    Args:
        num_features: Features per step, F.
        momentum: Share of the running statistics that each batch replaces.
        eps: Added to the variance.
        **facts: Run-time facts of `Norm`, not needed here.

    Source: Ioffe and Szegedy 2015, "Batch normalization".
    """

    def __init__(
        self, num_features: int, *, momentum: float = 0.1, eps: float = 1e-5, **facts
    ) -> None:
        super().__init__(num_features, **facts)
        self.norm = nn.BatchNorm1d(num_features, eps=eps, momentum=momentum)

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Normalise by the statistics of the real steps; shape (B, T, F) in and out."""
        if mask_bt is None:
            return self.norm(x_btf.flatten(0, 1)).view_as(x_btf)
        normed_btf = torch.zeros_like(x_btf)
        normed_btf[mask_bt] = self.norm(x_btf[mask_bt])
        return normed_btf


class FeatureNorm(Norm):
    """Standardise each feature by the mean and deviation of the training split.

    Args:
        num_features: Features per step, F.
        feature_mean: Mean of each feature over the training split, shape (F,).
        feature_std: Standard deviation of each feature, shape (F,); above 0.
        **facts: Other run-time facts of `Norm`, not needed here.

    Raises:
        ValueError: If a statistic is missing, has another shape, or a deviation is not above 0.
    """

    mean_f: Tensor
    std_f: Tensor

    def __init__(self, num_features: int, *, feature_mean=None, feature_std=None, **facts) -> None:
        super().__init__(num_features, **facts)
        if feature_mean is None or feature_std is None:
            missing = "feature_mean" if feature_mean is None else "feature_std"
            raise ValueError(
                f"norm=feature needs statistics of the training split, got no {missing}"
            )
        for name, values in {"mean_f": feature_mean, "std_f": feature_std}.items():
            tensor = torch.as_tensor(values, dtype=torch.float32).clone()
            if tensor.shape != (num_features,):
                raise ValueError(
                    f"statistics must have shape ({num_features},), got {tuple(tensor.shape)}"
                )
            self.register_buffer(name, tensor)
        if not (self.std_f > 0).all():
            raise ValueError(f"feature_std must be above 0, got {self.std_f.min().item()}")

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Standardise; shape (B, T, F) in and out."""
        return (x_btf - self.mean_f) / self.std_f


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
        self.offset: Any = 0.0 if persistence is None else persistence.offset
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


def _require_several_features(norm: str, num_features: int, consequence: str) -> None:
    if num_features < 2:
        raise ValueError(
            f"norm={norm} normalises over features and needs at least 2, got {num_features}: "
            f"{consequence}"
        )
