"""The regressor: norm -> encoder -> pooling -> head, and the builder that composes one.

Shapes: B batch, T time steps, F input features, D hidden size.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from src.models.baselines import LinearRegressor, NaiveRegressor
from src.models.dropout import DropoutRates
from src.models.masking import blank_padding
from src.models.norm import Norm, Persistence
from src.models.output import RegressorOutput
from src.models.pooling import Pooling

__all__ = ["RegressorOutput", "SequenceRegressor", "build_regressor"]


class SequenceRegressor(nn.Module):
    """Predict one number per window: norm, input dropout, encoder, pooling, linear head.

    Args:
        norm: Brings the features to one scale; undone at the output where it is reversible.
        encoder: Maps (B, T, F) to (B, T, D); has an `output_size`.
        pooling: Maps (B, T, D) to one vector per window.
        input_dropout: Rate on the features after the norm, in [0, 1).
    """

    def __init__(
        self, norm: Norm, encoder: nn.Module, pooling: Pooling, *, input_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = norm
        self.input_dropout = nn.Dropout(input_dropout)
        self.encoder = encoder
        self.pooling = pooling
        self.head = nn.Linear(pooling.output_size, 1)

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> RegressorOutput:
        """Predict every window.

        Args:
            x_btf: Input windows, shape (B, T, F).
            mask_bt: True where a step is real, shape (B, T), bool. Padded steps may hold anything.

        Returns:
            Predictions (B, 1) in scaled target units, pooling weights, hidden states.

        Raises:
            ValueError: If the windows or the mask have another shape than announced, or a sample
                has no real step.
        """
        expected = (self.pooling.context_length, self.norm.num_features)
        if x_btf.shape[1:] != expected:
            raise ValueError(
                f"windows must have shape (batch, {expected[0]}, {expected[1]}), "
                f"got {tuple(x_btf.shape)}"
            )
        if mask_bt is not None:
            x_btf = blank_padding(x_btf, mask_bt)
        normed_btf = self.input_dropout(self.norm(x_btf, mask_bt))
        hidden_btd = self.encoder(normed_btf, mask_bt)
        pooled_bd, weights = self.pooling(hidden_btd, mask_bt)
        preds_b1 = self.norm.undo(self.head(pooled_bd), x_btf, mask_bt)
        return RegressorOutput(preds_b1, weights, hidden_btd)


def build_regressor(
    model: Callable[..., nn.Module],
    pooling: Callable[..., Pooling],
    norm: Callable[..., Norm],
    dropout: Mapping[str, Any],
    *,
    context_length: int,
    num_features: int,
    feature_mean: Tensor | None = None,
    feature_std: Tensor | None = None,
    persistence: Persistence | None = None,
) -> nn.Module:
    """Compose a regressor from one option per part and the facts of the data.

    `NaiveRegressor` takes no part but the persistence, `LinearRegressor` no pooling.

    Args:
        model: An encoder or a baseline, as class or `functools.partial` holding its options.
        pooling: A pooling, likewise.
        norm: A norm, likewise.
        dropout: Rates in [0, 1) by place: input, projection, encoder.
        context_length: Steps per window, T.
        num_features: Features per step, F.
        feature_mean: Mean of each feature over the training split, shape (F,).
        feature_std: Standard deviation of each feature over the training split, shape (F,).
        persistence: How "tomorrow = today" reads in the units of input and target.

    Returns:
        A module that maps (B, T, F) and an optional mask (B, T) to a `RegressorOutput`.

    Raises:
        ValueError: If a part refuses its options or the facts it is given.
    """
    kind = getattr(model, "func", model)
    if kind is NaiveRegressor:
        return model(persistence=persistence)
    rates = DropoutRates.from_mapping(dropout)
    norm_module = norm(
        num_features,
        feature_mean=feature_mean,
        feature_std=feature_std,
        persistence=persistence,
    )
    if kind is LinearRegressor:
        return model(num_features, context_length, norm=norm_module, dropout=rates)
    encoder = model(num_features, context_length, dropout=rates)
    return SequenceRegressor(
        norm_module,
        encoder,
        pooling(encoder.output_size, context_length),
        input_dropout=rates.input,
    )
