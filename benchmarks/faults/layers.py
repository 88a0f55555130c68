"""The building blocks of the benchmark's nets: plain modules with nothing of the project in them.

Shapes: B batch, T time steps, F input features, D model width; mask (B, T) is True on real steps.
"""

import torch
from torch import Tensor, nn

from benchmarks.faults.data import CONTEXT_LENGTH


class MaskedMean(nn.Module):
    """Mean over the real steps, (B, T, D) -> (B, D)."""

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Average over time."""
        if mask_bt is None:
            return hidden_btd.mean(1)
        weights = mask_bt.to(hidden_btd.dtype)
        return (hidden_btd * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)


class LastStep(nn.Module):
    """The last step, (B, T, D) -> (B, D); for nets that are only given full sequences."""

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Select the last step."""
        return hidden_btd[:, -1]


class SequenceNet(nn.Module):
    """The common skeleton: embed -> body -> pool -> trunk -> head -> output.

    Shape: x (B, T, F), mask (B, T) or None -> (B, outputs).
    """

    def __init__(
        self,
        embed: nn.Module,
        body: nn.Module,
        trunk: nn.Module,
        head: nn.Module,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embed = embed
        self.body = body
        self.pool = MaskedMean() if pool is None else pool
        self.trunk = trunk
        self.head = head
        self.output: nn.Module = nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Predict from a batch of sequences."""
        pooled = self.pool(self.body(self.embed(x), mask), mask)
        return self.output(self.head(self.trunk(pooled)))


class Stack(nn.Sequential):
    """A body whose layers need no mask."""

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Apply the layers in order."""
        return super().forward(hidden_btd)


class Recurrent(nn.Module):
    """The states of a recurrent layer, (B, T, F) -> (B, T, D)."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Run the recurrence from a zero state."""
        return self.rnn(hidden_btd)[0]


class ChannelsLast(nn.Sequential):
    """Convolutions over time on (B, T, D) tensors."""

    def forward(self, hidden_btd: Tensor) -> Tensor:
        """Apply the layers to (B, D, T) and transpose back."""
        return super().forward(hidden_btd.transpose(1, 2)).transpose(1, 2)


class Residual(nn.Sequential):
    """x + f(x); with `skip` off, the fault of a forgotten residual connection."""

    skip = True

    def forward(self, hidden: Tensor) -> Tensor:
        """Add the branch to its input."""
        return hidden + super().forward(hidden) if self.skip else super().forward(hidden)


class Positions(nn.Module):
    """A learned position per step, added to (B, T, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(CONTEXT_LENGTH, width))

    def forward(self, hidden_btd: Tensor) -> Tensor:
        """Add the positions."""
        return hidden_btd + self.weight[: hidden_btd.shape[1]]


class TransformerBody(nn.Module):
    """Two of PyTorch's own encoder layers, with a rectified feed-forward.

    Pre-norm layers are closed by a norm, as in Xiong et al. 2020: their sum grows with depth.
    """

    def __init__(self, width: int, *, norm_first: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                nhead=4,
                dim_feedforward=2 * width,
                dropout=0.0,
                activation=nn.ReLU(),
                batch_first=True,
                norm_first=norm_first,
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width) if norm_first else nn.Identity()

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Attend over the real steps only."""
        padding = None if mask_bt is None else ~mask_bt
        for layer in self.layers:
            hidden_btd = layer(hidden_btd, src_key_padding_mask=padding)
        return self.norm(hidden_btd)


class MixerBlock(nn.Module):
    """Mix over time, then over channels, each a residual pre-norm MLP (Tolstikhin et al. 2021)."""

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(steps, 32), nn.GELU(), nn.Linear(32, steps))
        self.channels = Residual(
            nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)
        )

    def forward(self, hidden_btd: Tensor) -> Tensor:
        """Mix a batch of sequences."""
        mixed = self.tokens(self.norm(hidden_btd).transpose(1, 2)).transpose(1, 2)
        return self.channels(hidden_btd + mixed)


class Attention(nn.Module):
    """One single-head attention block written out, with its rectified feed-forward."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.expand = nn.Linear(width, 2 * width)
        self.relu = nn.ReLU()
        self.contract = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Attend, feed forward, normalise."""
        query, key = self.query(hidden_btd), self.key(hidden_btd)
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
        if mask_bt is not None:
            scores = scores.masked_fill(~mask_bt[:, None], float("-inf"))
        hidden_btd = hidden_btd + scores.softmax(-1) @ self.value(hidden_btd)
        return self.norm(hidden_btd + self.contract(self.relu(self.expand(hidden_btd))))
