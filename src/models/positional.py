"""Positional encodings: what tells a transformer the order of its steps.

Shapes: B batch, T time steps, D model width.
"""

import math

import torch
from torch import Tensor, nn


class SinusoidalEncoding(nn.Module):
    """Add fixed sines and cosines of the position (Vaswani et al. 2017, section 3.5).

    Args:
        context_length: Longest window, T.
        hidden_size: Width of the model, D.

    Shape: (B, T, D) -> (B, T, D).

    >>> SinusoidalEncoding(3, 2)(torch.zeros(1, 3, 2))[0, 0]
    tensor([0., 1.])
    """

    table_td: Tensor

    def __init__(self, context_length: int, hidden_size: int) -> None:
        super().__init__()
        position = torch.arange(context_length).unsqueeze(1)
        rates = torch.exp(torch.arange(0, hidden_size, 2) * (-math.log(10_000.0) / hidden_size))
        table_td = torch.zeros(context_length, hidden_size)
        table_td[:, 0::2] = torch.sin(position * rates)
        table_td[:, 1::2] = torch.cos(position * rates)[:, : hidden_size // 2]
        self.register_buffer("table_td", table_td, persistent=False)

    def forward(self, x_btd: Tensor) -> Tensor:
        """Add each step's code; shape (B, T, D) in and out."""
        return x_btd + self.table_td[: x_btd.shape[1]]


class LearnedEncoding(nn.Module):
    """Add one learned vector per position, N(0, 0.02) at the start (Devlin et al. 2019).

    Args:
        context_length: Longest window, T.
        hidden_size: Width of the model, D.

    Shape: (B, T, D) -> (B, T, D).
    """

    def __init__(self, context_length: int, hidden_size: int) -> None:
        super().__init__()
        self.table_td = nn.Parameter(torch.empty(context_length, hidden_size))
        nn.init.normal_(self.table_td, std=0.02)

    def forward(self, x_btd: Tensor) -> Tensor:
        """Add each step's vector; shape (B, T, D) in and out."""
        return x_btd + self.table_td[: x_btd.shape[1]]


POSITIONAL_ENCODINGS = {"sinusoidal": SinusoidalEncoding, "learned": LearnedEncoding}
