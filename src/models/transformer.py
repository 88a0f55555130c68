"""A transformer encoder over the bars of a window, and what tells it their order.

Shapes: B batch, T time steps, F input features, D model width (`hidden_size`).
"""

import math

import torch
from torch import Tensor, nn

from src.models.contract import PARTS, DropoutRates


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


class EncoderLayer(nn.TransformerEncoderLayer):
    """PyTorch's encoder layer with a scale on both residual branches: x + scale * f(x).

    Dropout acts on the output of both branches, as in Vaswani et al. 2017, section 5.4, and
    nowhere else. PyTorch's layer also drops attention weights, for which a CPU leaves the fused
    attention kernel, and units of the feed-forward block, four times as many random numbers as a
    branch. On one CPU thread, (64, 20, 129) and two layers, a training step at rate 0.1 takes
    1.10 times the step without dropout; with the other two places it takes 1.35 times.

    Args:
        hidden_size: Width of the model, D.
        num_heads: Attention heads; must divide D.
        feedforward_size: Width inside the feed-forward block.
        dropout: Rate on the output of both branches, in [0, 1).
        norm_first: Normalise before each branch (pre-norm) instead of after the sum.
        residual_scale: Factor on both branches; 1 is the usual transformer.

    Shape: (B, T, D) -> (B, T, D).
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        feedforward_size: int,
        *,
        dropout: float,
        norm_first: bool,
        residual_scale: float,
    ) -> None:
        super().__init__(
            hidden_size,
            num_heads,
            feedforward_size,
            dropout=0.0,
            batch_first=True,
            norm_first=norm_first,
        )
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.residual_scale = residual_scale
        if residual_scale != 1.0:
            # PyTorch's fused inference kernel computes the unscaled layer and asks this attribute
            # whether it may run: 0 says no.
            self.activation_relu_or_gelu = 0

    def _sa_block(self, *args, **kwargs) -> Tensor:
        return self._scaled(super()._sa_block(*args, **kwargs))

    def _ff_block(self, x: Tensor) -> Tensor:
        return self._scaled(super()._ff_block(x))

    def _scaled(self, branch: Tensor) -> Tensor:
        return branch if self.residual_scale == 1.0 else self.residual_scale * branch


class TransformerEncoder(nn.Module):
    """Project every bar to the model width, add its position, and let the bars attend.

    The path is `temporal_projection`, dropout, `positional_encoding`, `layers`, and for pre-norm
    layers a final layer norm (Xiong et al. 2020). With a mask no step attends to a padded one; a
    step keeps the position of its place in the window, padding before it included.

    Args:
        input_size: Features per bar, F.
        context_length: Bars per window, T.
        hidden_size: Width of the model, D.
        num_heads: Attention heads; must divide D.
        num_layers: Encoder layers.
        feedforward_size: Width inside the feed-forward blocks.
        positional_encoding: `sinusoidal` or `learned`.
        norm_first: Pre-norm layers when True, post-norm when False.
        residual_scale: Factor on every residual branch; above 0, 1 is the usual transformer.
        dropout: Rates; `projection` acts after `temporal_projection`, `encoder` in the layers.

    Raises:
        ValueError: If the heads do not divide the width, a size is below 1, the positional
            encoding is unknown or the residual scale is not above 0.

    Source: Vaswani et al. 2017, "Attention is all you need".

    >>> TransformerEncoder(129, 20)(torch.zeros(4, 20, 129)).shape
    torch.Size([4, 20, 128])
    """

    uses = PARTS

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        hidden_size: int = 128,
        num_heads: int = 4,
        num_layers: int = 2,
        feedforward_size: int = 512,
        positional_encoding: str = "sinusoidal",
        norm_first: bool = True,
        residual_scale: float = 1.0,
        dropout: DropoutRates = DropoutRates(),  # noqa: B008 - frozen, safe to share
    ) -> None:
        super().__init__()
        sizes = {"hidden_size": hidden_size, "num_heads": num_heads, "num_layers": num_layers}
        for name, size in (sizes | {"feedforward_size": feedforward_size}).items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if hidden_size % num_heads:
            raise ValueError(
                f"num_heads must divide hidden_size, got {num_heads} and {hidden_size}"
            )
        if positional_encoding not in POSITIONAL_ENCODINGS:
            known = list(POSITIONAL_ENCODINGS)
            raise ValueError(
                f"positional_encoding must be one of {known}, got {positional_encoding!r}"
            )
        if residual_scale <= 0:
            raise ValueError(f"residual_scale must be above 0, got {residual_scale}")
        self.output_size = hidden_size
        self.temporal_projection = nn.Linear(input_size, hidden_size)
        self.projection_dropout = nn.Dropout(dropout.projection)
        self.positional_encoding = POSITIONAL_ENCODINGS[positional_encoding](
            context_length, hidden_size
        )
        self.layers = nn.ModuleList(
            EncoderLayer(
                hidden_size,
                num_heads,
                feedforward_size,
                dropout=dropout.encoder,
                norm_first=norm_first,
                residual_scale=residual_scale,
            )
            for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(hidden_size) if norm_first else nn.Identity()

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Encode every bar in the light of the others.

        Args:
            x_btf: Input windows, shape (B, T, F); padded steps must hold finite values.
            mask_bt: True where a step is real, shape (B, T).

        Returns:
            One vector per bar, shape (B, T, D).
        """
        padding_bt = None if mask_bt is None else ~mask_bt
        hidden_btd = self.projection_dropout(self.temporal_projection(x_btf))
        hidden_btd = self.positional_encoding(hidden_btd)
        for layer in self.layers:
            hidden_btd = layer(hidden_btd, src_key_padding_mask=padding_bt)
        return self.final_norm(hidden_btd)
