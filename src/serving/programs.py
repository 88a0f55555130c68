"""A trained model as one program, prices in and price out, with its scalings inside.

Shapes: B batch, T days of a window, F input features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.data.facts import DataFacts


class ClosesProgram(nn.Module):
    """Closes (B, T) to the following day's price (B, 1), both in price units.

    Args:
        model: Maps scaled windows (B, T, 1) to an output with `preds` (B, 1).
        facts: Sizes and scalings of its data.
    """

    def __init__(self, model: nn.Module, facts: DataFacts) -> None:
        super().__init__()
        self.model, self.facts = model, facts

    def forward(self, closes: Tensor) -> Tensor:
        """Forecast from raw closes."""
        assert self.facts.input_scaling is not None
        closes_bt1 = closes.unsqueeze(-1)
        preds = self.model(self.facts.input_scaling(closes_bt1)).preds
        return self.facts.to_price(preds, closes_bt1[:, -1])


class BarsProgram(nn.Module):
    """Features (B, T, F) and last prices (B, 1) to the following day's price (B, 1).

    Args:
        model: Maps windows (B, T, F) to an output with `preds` (B, 1).
        facts: Sizes and scalings of its data.
    """

    def __init__(self, model: nn.Module, facts: DataFacts) -> None:
        super().__init__()
        self.model, self.facts = model, facts

    def forward(self, features: Tensor, last_price: Tensor) -> Tensor:
        """Forecast from the features of bars."""
        return self.facts.to_price(self.model(features).preds, last_price)


def build_program(model: nn.Module, facts: DataFacts) -> nn.Module:
    """Return the program that fits the data a model was trained on, in evaluation mode."""
    program = BarsProgram if facts.input_scaling is None else ClosesProgram
    return program(model, facts).eval()


def example_inputs(facts: DataFacts, batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Return made-up inputs of the program by name: a random walk of prices, or random features.

    Args:
        facts: Sizes and statistics of the data.
        batch: B.
        seed: Seed of the numbers; the global generator is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, facts.context_length)
    closes = 100 * torch.exp(0.01 * torch.randn(shape, generator=generator).cumsum(1))
    if facts.input_scaling is not None:
        return {"closes": closes}
    noise = torch.randn(*shape, facts.num_features, generator=generator)
    features = facts.feature_mean + facts.feature_std * noise
    return {"features": features, "last_price": closes[:, -1:]}
