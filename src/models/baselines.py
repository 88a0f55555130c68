"""Baselines of the same interface as the models: what a model must beat to be worth running.

Shapes: B batch, T time steps, F input features.
"""

import torch
from torch import Tensor, nn

from src.models.dropout import DropoutRates
from src.models.masking import blank_padding, check_mask, last_real_step
from src.models.norm import Norm, Persistence
from src.models.output import RegressorOutput


class NaiveRegressor(nn.Module):
    """Predict that tomorrow is as today; nothing is learned.

    Args:
        persistence: Which feature is today's price and how it maps to the scaled target.

    Raises:
        ValueError: If the persistence is missing.
    """

    def __init__(self, *, persistence: Persistence | None = None) -> None:
        super().__init__()
        if persistence is None:
            raise ValueError("model=naive needs the persistence of the data, got None")
        self.feature = persistence.feature
        self.scale = persistence.scale
        self.offset = persistence.offset

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> RegressorOutput:
        """Predict from the last real step alone.

        Args:
            x_btf: Input windows, shape (B, T, F).
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            Predictions (B, 1), without weights and hidden states.
        """
        today_bt = x_btf[:, :, self.feature]
        if mask_bt is None:
            today_b1 = today_bt[:, -1:]
        else:
            check_mask(mask_bt, x_btf)
            today_b1 = today_bt.gather(1, last_real_step(mask_bt).unsqueeze(1))
        return RegressorOutput(self.scale * today_b1 + self.offset, None, None)


class LinearRegressor(nn.Module):
    """Predict by one linear map of the whole window.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        norm: What is applied to the windows first.
        dropout: Rates; only `input` has a place to act.

    Raises:
        ValueError: If a dropout rate other than `input` is above 0.
    """

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        norm: Norm | None = None,
        dropout: DropoutRates = DropoutRates(),  # noqa: B008 - frozen, safe to share
    ) -> None:
        super().__init__()
        if dropout.projection > 0 or dropout.encoder > 0:
            raise ValueError(
                f"a linear model has neither projection nor encoder, got {dropout}; "
                f"use dropout=none or input"
            )
        self.norm = norm if norm is not None else Norm(input_size)
        self.input_dropout = nn.Dropout(dropout.input)
        self.head = nn.Linear(context_length * input_size, 1)

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> RegressorOutput:
        """Predict from the flattened window; padded steps count as 0 after the norm.

        Args:
            x_btf: Input windows, shape (B, T, F).
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            Predictions (B, 1), without weights and hidden states.
        """
        if mask_bt is not None:
            x_btf = blank_padding(x_btf, mask_bt)
        normed_btf = self.norm(x_btf, mask_bt)
        if mask_bt is not None:
            normed_btf = torch.where(mask_bt.unsqueeze(-1), normed_btf, 0.0)
        preds_b1 = self.head(self.input_dropout(normed_btf).flatten(1))
        return RegressorOutput(self.norm.undo(preds_b1, x_btf, mask_bt), None, None)
