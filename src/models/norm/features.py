"""Norms over the features of a bar, or over the values of a feature.

Shapes: B batch, T time steps, F input features.
"""

import torch
from torch import Tensor, nn

from src.models.norm.base import Norm


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


def _require_several_features(norm: str, num_features: int, consequence: str) -> None:
    if num_features < 2:
        raise ValueError(
            f"norm={norm} normalises over features and needs at least 2, got {num_features}: "
            f"{consequence}"
        )
