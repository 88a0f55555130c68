"""Whole regressors: norm -> encoder -> pooling -> head, the baselines, and the builder of them all.

A baseline has the interface of the models: it is what a model must beat to be worth running.

Shapes: B batch, T time steps, F input features, D hidden size, K numbers that are forecast.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.models.contract import (
    PARTS,
    DropoutRates,
    History,
    Persistence,
    RegressorOutput,
    parts_used,
)
from src.models.masking import blank_padding, check_mask, last_real_step
from src.models.norm import Norm
from src.models.output import PointOutput
from src.models.pooling import Pooling
from src.models.precision import without_autocast


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
    history: History | None = None,
    num_outputs: int = 1,
    output: PointOutput | None = None,
) -> nn.Module:
    """Compose a regressor from one option per part and the facts of the data.

    A model that uses a pooling is an encoder, around which the rest is put; one that uses none is
    a regressor by itself and is given the parts it uses.

    Args:
        model: An encoder or a whole regressor, as class or `functools.partial` holding its options.
        pooling: A pooling, likewise.
        norm: A norm, likewise.
        dropout: Rates in [0, 1) by place: input, projection, encoder.
        context_length: Steps per window, T.
        num_features: Features per step, F.
        feature_mean: Mean of each feature over the training split, shape (F,).
        feature_std: Standard deviation of each feature over the training split, shape (F,).
        persistence: How "tomorrow = today" reads in the units of input and target.
        history: How windows show past closes; None where they do not.
        num_outputs: Numbers that are forecast from a window, K.
        output: What is said of each of them; None for the number itself.

    Returns:
        A module that maps (B, T, F) and an optional mask (B, T) to a `RegressorOutput`.

    Raises:
        ValueError: If a part refuses its options or the facts it is given.
    """
    uses, output = parts_used(model), output or PointOutput()
    parts: dict[str, Any] = {}
    if "persistence" in uses:
        parts["persistence"] = persistence
    if "history" in uses:
        parts["history"] = history
    if "num_outputs" in uses:
        parts["num_outputs"] = num_outputs
    if "norm" in uses:
        parts["norm"] = norm(
            num_features,
            feature_mean=feature_mean,
            feature_std=feature_std,
            persistence=persistence,
        )
    if "output" in uses:
        parts["output"] = output
    elif output.levels:
        raise ValueError("this model forecasts single numbers, no distribution: use output=point")
    if "dropout" in uses:
        parts["dropout"] = DropoutRates.from_mapping(dropout)
    if "pooling" not in uses:
        if num_outputs > 1 and "num_outputs" not in uses:
            raise ValueError(f"this model forecasts one number of a window, got {num_outputs}")
        return model(num_features, context_length, **parts)
    encoder = model(num_features, context_length, dropout=parts["dropout"])
    return SequenceRegressor(
        parts["norm"],
        encoder,
        pooling(encoder.output_size, context_length),
        input_dropout=parts["dropout"].input,
        num_outputs=num_outputs,
        output=output,
    )


class SequenceRegressor(nn.Module):
    """Predict a window's numbers: norm, input dropout, encoder, pooling, linear head.

    Args:
        norm: Brings the features to one scale; undone at the output where it is reversible.
        encoder: Maps (B, T, F) to (B, T, D); has an `output_size`.
        pooling: Maps (B, T, D) to one vector per window.
        input_dropout: Rate on the features after the norm, in [0, 1).
        num_outputs: Numbers that are forecast from a window, K.
        output: What is said of each of them; None for the number itself.
    """

    uses = PARTS

    def __init__(
        self,
        norm: Norm,
        encoder: nn.Module,
        pooling: Pooling,
        *,
        input_dropout: float = 0.0,
        num_outputs: int = 1,
        output: PointOutput | None = None,
    ) -> None:
        super().__init__()
        self.output = output or PointOutput()
        self.norm = norm
        self.input_dropout = nn.Dropout(input_dropout)
        self.encoder = encoder
        self.pooling = pooling
        self.head = nn.Linear(pooling.output_size, num_outputs * self.output.size)

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> RegressorOutput:
        """Predict every window.

        Args:
            x_btf: Input windows, shape (B, T, F).
            mask_bt: True where a step is real, shape (B, T), bool. Padded steps may hold anything.

        Returns:
            Predictions (B, K) or (B, K * P) in scaled target units, pooling weights, hidden states.

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
        # Autocast is for the encoder, where the time goes. A last layer's sum in half precision
        # would round a price to 8 bits, a pooling's layers what they tell apart.
        with without_autocast(x_btf.device):
            hidden_btd = hidden_btd.to(self.head.weight.dtype)
            pooled_bd, weights = self.pooling(hidden_btd, mask_bt)
            raw = self.head(pooled_bd)
            preds_bk = self.output(raw, lambda p: self.norm.undo(p, x_btf, mask_bt))
        return RegressorOutput(preds_bk, weights, hidden_btd)


class LinearRegressor(nn.Module):
    """Predict by one linear map of the whole window.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        norm: What is applied to the windows first.
        dropout: Rates; only `input` has a place to act.
        num_outputs: Numbers that are forecast from a window, K.
        output: What is said of each of them; None for the number itself.

    Raises:
        ValueError: If a dropout rate other than `input` is above 0.
    """

    uses = frozenset({"norm", "dropout", "num_outputs", "output"})

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        norm: Norm | None = None,
        dropout: DropoutRates = DropoutRates(),  # noqa: B008 - frozen, safe to share
        num_outputs: int = 1,
        output: PointOutput | None = None,
    ) -> None:
        super().__init__()
        self.output = output or PointOutput()
        if dropout.projection > 0 or dropout.encoder > 0:
            raise ValueError(
                f"a linear model has neither projection nor encoder, got {dropout}; "
                f"use dropout=none or input"
            )
        self.norm = norm if norm is not None else Norm(input_size)
        self.input_dropout = nn.Dropout(dropout.input)
        self.head = nn.Linear(context_length * input_size, num_outputs * self.output.size)

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> RegressorOutput:
        """Predict from the flattened window; padded steps count as 0 after the norm.

        Args:
            x_btf: Input windows, shape (B, T, F).
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            Predictions (B, K), or (B, K * P), without weights and hidden states.
        """
        if mask_bt is not None:
            x_btf = blank_padding(x_btf, mask_bt)
        normed_btf = self.norm(x_btf, mask_bt)
        if mask_bt is not None:
            normed_btf = torch.where(mask_bt.unsqueeze(-1), normed_btf, 0.0)
        with without_autocast(x_btf.device):
            raw = self.head(self.input_dropout(normed_btf).flatten(1))
            preds_bk = self.output(raw, lambda p: self.norm.undo(p, x_btf, mask_bt))
        return RegressorOutput(preds_bk, None, None)


class NaiveRegressor(nn.Module):
    """Predict that tomorrow is as today; nothing is learned.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        persistence: Which feature is today's price, or log variance, and how it maps to the scaled
            target.
        num_outputs: Numbers that are forecast from a window, K.

    Raises:
        ValueError: If the persistence is missing.
    """

    uses = frozenset({"persistence", "num_outputs"})

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        persistence: Persistence | None = None,
        num_outputs: int = 1,
    ) -> None:
        super().__init__()
        if persistence is None:
            raise ValueError("model=naive needs the persistence of the data, got None")
        self.feature, self.scale = persistence.feature, persistence.scale
        self.offset: Any = persistence.offset
        self.bars = persistence.bars
        self.num_outputs = num_outputs

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> RegressorOutput:
        """Predict from the latest real steps alone.

        Args:
            x_btf: Input windows, shape (B, T, F).
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            Predictions (B, K), without weights and hidden states.
        """
        feature_bt = x_btf[:, :, self.feature]
        if mask_bt is not None:
            check_mask(mask_bt, x_btf)
        if self.bars > 1:
            return RegressorOutput(self._average(feature_bt, mask_bt), None, None)
        if mask_bt is None:
            today_b1 = feature_bt[:, -1:]
        else:
            today_b1 = feature_bt.gather(1, last_real_step(mask_bt).unsqueeze(1))
        offset = self.offset if isinstance(self.offset, float) else x_btf.new_tensor(self.offset)
        preds_bk = (self.scale * today_b1 + offset).expand(-1, self.num_outputs)
        return RegressorOutput(preds_bk, None, None)

    def _average(self, feature_bt: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Return the log of the mean of exponentials (B, 1) over the latest real steps."""
        level_bt = self.scale * feature_bt + self.offset
        if mask_bt is None:
            return level_bt[:, -self.bars :].logsumexp(1, keepdim=True) - math.log(self.bars)
        still_to_come = mask_bt.flip(1).cumsum(1).flip(1)
        recent_bt = mask_bt & (still_to_come <= self.bars)
        level_bt = level_bt.masked_fill(~recent_bt, -torch.inf)
        return level_bt.logsumexp(1, keepdim=True) - recent_bt.sum(1, keepdim=True).log()
