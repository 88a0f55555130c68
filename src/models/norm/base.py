"""What all norms share: the constructor, the two methods, and the norm that does nothing.

Shapes: B batch, T time steps, F input features.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn


class Persistence(Protocol):
    """The map from the input to scaled targets under which tomorrow equals today.

    A scaled prediction is `scale * x[:, -1, feature] + offset`; the scale is 0 where the target is
    a difference or a return.
    """

    @property
    def feature(self) -> int:
        """Index of the price among the features."""

    @property
    def scale(self) -> float:
        """Target units per input unit."""

    @property
    def offset(self) -> float:
        """Target value of an input of 0."""


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
            preds_b1: Predictions of the head, shape (B, 1).
            x_btf: The windows they were made from, before the norm, shape (B, T, F).
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            Predictions in scaled target units, shape (B, 1).
        """
        return preds_b1
