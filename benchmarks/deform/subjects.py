"""What the operators are tried on: our encoder on bars, a causal decoder on tokens.

Shapes: B batch, T steps, F features, D width, V tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.deform.attention import Attention
from src.models.pooling import MeanPooling
from src.models.transformer import EncoderLayer, LearnedEncoding, TransformerEncoder

STEPS, WIDTH, HEADS, LAYERS, BATCH = 12, 32, 4, 2, 32
FEATURES, TYPES = 6, 2
VOCABULARY, PERIOD = 12, 4
RATE, FINE_RATE = 3e-3, 1e-3


@dataclass
class Subject:
    """A model, its task, and how it is trained.

    Args:
        draw: (samples, seed) -> batches.
        loss_fn: (model, batch) -> loss, by which the task is judged, too.
        clip: Threshold of the gradient's norm.
        rate: Learning rate.
        decay: Weight decay per parameter whose name ends in a suffix; all others get none.
    """

    model: nn.Module
    draw: Callable[[int, int], list[Any]]
    loss_fn: Callable[[Any, Any], Tensor]
    clip: float = 1.0
    rate: float = FINE_RATE
    decay: dict[str, float] = field(default_factory=dict)

    @property
    def attentions(self) -> list[Attention]:
        """Attention of every layer."""
        return [m for m in self.model.modules() if isinstance(m, Attention)]

    @property
    def layers(self) -> list[EncoderLayer]:
        """The transformer's layers."""
        return [m for m in self.model.modules() if isinstance(m, EncoderLayer)]

    @property
    def norms(self) -> list[nn.LayerNorm]:
        """All normalisations."""
        return [m for m in self.model.modules() if isinstance(m, nn.LayerNorm)]

    def optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW over all parameters, in groups by their decay."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            decays = [d for part, d in self.decay.items() if part in name]
            groups.setdefault(decays[0] if decays else 0.0, []).append(parameter)
        return torch.optim.AdamW(
            [{"params": own, "weight_decay": decay} for decay, own in groups.items()], lr=self.rate
        )


class BarModel(nn.Module):
    """Our encoder, mean pooling over real steps, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TransformerEncoder(
            FEATURES + TYPES,
            STEPS,
            hidden_size=WIDTH,
            num_heads=HEADS,
            num_layers=LAYERS,
            feedforward_size=2 * WIDTH,
            positional_encoding="learned",
        )
        self.pooling = MeanPooling(WIDTH, STEPS)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x_btf: Tensor, mask_bt: Tensor) -> Tensor:
        """Return (B, 1)."""
        return self.head(self.pooling(self.encoder(x_btf, mask_bt), mask_bt)[0])


def draw_bars(samples: int, seed: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return batches of (windows, mask, target): a recall, a place in time and a type matter."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, STEPS, FEATURES, generator=generator)
    types = torch.randint(TYPES, (samples, 1), generator=generator).expand(-1, STEPS)
    lengths = torch.randint(STEPS // 2, STEPS + 1, (samples,), generator=generator)
    mask = torch.arange(STEPS) < lengths[:, None]
    weights = torch.linspace(-1, 1, STEPS) * mask
    marked = (x[..., 1].masked_fill(~mask, -1e9)).argmax(1)
    recalled = x[torch.arange(samples), marked, 2]
    target = recalled + (weights * x[..., 0]).sum(1) / lengths**0.5 + 0.5 * (2 * types[:, 0] - 1)
    x = torch.cat([x, F.one_hot(types, TYPES).float()], -1) * mask[..., None]
    whole = (x, mask, target[:, None])
    return list(zip(*(part.split(BATCH) for part in whole), strict=True))


def bar_loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the squared error."""
    return F.mse_loss(model(batch[0], batch[1]), batch[2])


class TokenModel(nn.Module):
    """A causal decoder that takes a prompt, keeps keys and values, and goes on from them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY + 1, WIDTH)
        self.types = nn.Embedding(TYPES, WIDTH)
        self.position = LearnedEncoding(STEPS, WIDTH)
        layer = partial(EncoderLayer, dropout=0.0, norm_first=True, residual_scale=1.0)
        self.layers = nn.ModuleList(layer(WIDTH, HEADS, 2 * WIDTH) for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids_bt: Tensor) -> Tensor:
        """Return (B, T, V) logits of each next token; 0 is padding."""
        hidden = self.position(self.embedding(ids_bt) + self.types((ids_bt > VOCABULARY // 2) * 1))
        padding = ids_bt == 0
        parts, half = [], ids_bt.shape[1] // 2
        for part in (slice(0, half), slice(half, None)):
            x = hidden[:, part]
            for layer in self.layers:
                layer.self_attn.keeps = part.start == 0
                if part.start == 0:
                    layer.self_attn.cache = None
                shown = padding[:, : half if part.start == 0 else None]
                x = self.through(layer, x, shown)
            parts.append(x)
        for layer in self.layers:
            layer.self_attn.cache = None
        return self.head(self.norm(torch.cat(parts, 1)))

    @staticmethod
    def through(layer: Any, x: Tensor, padding: Tensor) -> Tensor:
        """Run one layer over new steps; the padding mask covers the cached ones too."""
        normed = layer.norm1(x)
        attended = layer.self_attn(normed, normed, normed, key_padding_mask=padding)[0]
        x = x + layer.dropout1(attended)
        return x + layer._ff_block(layer.norm2(x))


def draw_tokens(samples: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return batches of (tokens, next tokens): each repeats the one PERIOD steps before it."""
    generator = torch.Generator().manual_seed(seed)
    motif = torch.randint(1, VOCABULARY + 1, (samples, PERIOD), generator=generator)
    whole = motif.repeat(1, STEPS // PERIOD + 1)[:, : STEPS + 1]
    noise = torch.randint(1, VOCABULARY + 1, whole.shape, generator=generator)
    whole = torch.where(torch.rand(whole.shape, generator=generator) < 0.05, noise, whole)
    lengths = torch.randint(2 * PERIOD, STEPS + 1, (samples,), generator=generator)
    padded = torch.arange(STEPS) >= lengths[:, None]
    ids = whole[:, :-1].masked_fill(padded, 0)
    target = (whole[:, 1:] - 1).masked_fill(padded, -100)
    target[:, : PERIOD - 1] = -100
    return list(zip(ids.split(BATCH), target.split(BATCH), strict=True))


def token_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the cross entropy of the next tokens."""
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten(), ignore_index=-100)


def make(scope: str) -> Subject:
    """Make a fresh subject, `encoder` or `decoder`."""
    if scope == "encoder":
        subject = Subject(BarModel(), draw_bars, bar_loss)
    else:
        subject = Subject(TokenModel(), draw_tokens, token_loss)
    for layer in subject.layers:
        layer.self_attn = Attention(WIDTH, HEADS)
        layer.self_attn.causal = scope == "decoder"
    return subject
