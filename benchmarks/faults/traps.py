"""The clean traps: healthy runs that look faulty to a careless rule, and must stay silent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.data import NUM_FEATURES
from benchmarks.faults.layers import MaskedMean, Residual
from benchmarks.faults.trial import Trial

VOCABULARY = 200
SEEN_TOKENS = 50
NUM_EXPERTS = 8
EVERY = tuple(ARCHITECTURES)
MASKABLE = tuple(name for name in EVERY if name not in ("rnn", "stacked_rnn"))


@dataclass(frozen=True)
class Trap:
    """One clean trap: as a `Fault`, with nothing to find."""

    name: str
    says: str
    prepare: Callable[[Trial], None]
    architectures: tuple[str, ...] = EVERY
    setup: dict[str, Any] = field(default_factory=dict)


class TopExperts(nn.Module):
    """A residual mixture of experts that calls the two best of eight per sample, (B, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, NUM_EXPERTS)
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(NUM_EXPERTS))

    def forward(self, hidden_bd: Tensor) -> Tensor:
        """Route each sample to its experts; an expert nobody chose is not called."""
        weights, chosen = self.gate(self.norm(hidden_bd)).softmax(-1).topk(2, dim=-1)
        routed = hidden_bd
        for number, expert in enumerate(self.experts):
            rows, slot = torch.where(chosen == number)
            if len(rows):
                answer = weights[rows, slot, None] * expert(hidden_bd[rows])
                routed = routed.index_add(0, rows, answer)
        return routed


class QueryPool(nn.Module):
    """Attention pooling whose learned query starts at zero, so its weights start uniform."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Weigh the steps by their score."""
        scores = hidden_btd @ self.query
        if mask_bt is not None:
            scores = scores.masked_fill(~mask_bt, float("-inf"))
        return (hidden_btd * scores.softmax(1)[..., None]).sum(1)


class SelfAttentionPool(nn.Module):
    """Self-attention with biases, then the mean: its key bias has no gradient by construction."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mean = MaskedMean()
        nn.init.normal_(self.attention.in_proj_bias, std=0.1)

    def forward(self, hidden_btd: Tensor, mask_bt: Tensor | None = None) -> Tensor:
        """Attend and average."""
        padding = None if mask_bt is None else ~mask_bt
        mixed = self.attention(
            hidden_btd, hidden_btd, hidden_btd, key_padding_mask=padding, need_weights=False
        )[0]
        return self.mean(hidden_btd + mixed, mask_bt)


def pooled_width(trial: Trial) -> int:
    """Width of the pooled vector."""
    first = next((m for m in trial.model.trunk.modules() if isinstance(m, nn.Linear)), None)
    layer = trial.model.head if first is None else first
    return layer.get_parameter("weight").shape[1]


def trunk_width(trial: Trial) -> int:
    """Width of what the head reads."""
    return trial.model.head.get_parameter("weight").shape[1]


def read_tokens(trial: Trial) -> None:
    """Token ids of which most never occur, with `padding_idx`, in front of the net."""
    task = trial.task
    assert task.mask is not None
    generator = torch.Generator().manual_seed(trial.seed)
    noisy = task.y + torch.randn(task.x.shape[:2], generator=generator)
    level = torch.special.ndtr(noisy / 2**0.5)
    task.x = (1 + (SEEN_TOKENS * level).long().clamp(max=SEEN_TOKENS - 1)) * task.mask
    embedding = nn.Embedding(VOCABULARY, NUM_FEATURES, padding_idx=0)
    trial.model.embed = nn.Sequential(embedding, trial.model.embed)


def route_to_experts(trial: Trial) -> None:
    """Two of eight experts per sample, between pooling and trunk."""
    trial.model.trunk = nn.Sequential(TopExperts(pooled_width(trial)), trial.model.trunk)


def sparse_relu(trial: Trial) -> None:
    """A residual block with a wide ReLU layer whose every unit fires on three samples in ten."""
    width = pooled_width(trial)
    norm, expand = nn.LayerNorm(width), nn.Linear(width, 8 * width)
    batch = trial.task.select(torch.arange(512))
    with torch.no_grad():
        pooled = trial.model.pool(trial.model.body(trial.model.embed(batch.x), None), None)
        expand.bias.sub_(expand(norm(pooled)).quantile(0.7, dim=0))
    wide = Residual(norm, expand, nn.ReLU(), nn.Linear(8 * width, width))
    trial.model.trunk = nn.Sequential(wide, trial.model.trunk)
    trial.lr, trial.steps = 0.3 * trial.lr, 30


def freeze_on_purpose(trial: Trial) -> None:
    """A frozen module that the optimiser was not given."""
    prefix = trial.architecture.upstream + "."
    trial.model.get_submodule(trial.architecture.upstream).requires_grad_(False)
    trial.trained = lambda name: not name.startswith(prefix)


def rare_features(trial: Trial) -> None:
    """Ten one-hot features that are on in one cell of 300."""
    generator = torch.Generator().manual_seed(trial.seed)
    chosen = torch.randperm(NUM_FEATURES, generator=generator)[:10]
    shape = (*trial.task.x.shape[:2], len(chosen))
    trial.task.x[:, :, chosen] = (torch.rand(shape, generator=generator) < 1 / 300).float()


def warm_up(trial: Trial) -> None:
    """Thirty steps into a warm-up of a thousand from learning rate 0."""
    trial.warmup, trial.steps = 1000, 30


def batch_of_one(trial: Trial) -> None:
    """One sample per step, the rate scaled down by 32 for SGD and by its root for Adam."""
    trial.lr /= 32 if trial.optimizer == "sgd" else 32**0.5
    trial.steps = 150


def pool_by_query(trial: Trial) -> None:
    """Attention pooling that still is uniform, five steps into training."""
    trial.model.pool, trial.steps = QueryPool(pooled_width(trial)), 5


def pool_by_self_attention(trial: Trial) -> None:
    """Self-attention with a key bias."""
    trial.model.pool = SelfAttentionPool(pooled_width(trial))


def clip_at_one(trial: Trial) -> None:
    """Gradient clipping at norm 1."""
    trial.clip_norm = 1.0


def accumulate(trial: Trial) -> None:
    """Four batches per step."""
    trial.accumulate, trial.steps = 4, 30


def mix_precision(trial: Trial) -> None:
    """Half precision with a scaler that finds its scale."""
    trial.precision, trial.steps = "16-mixed", 30
    trial.scaler = torch.amp.GradScaler("cpu")


def nothing(trial: Trial) -> None:
    """A plain healthy run."""


_TRAPS = (
    Trap(
        "unseen_tokens",
        "padding_idx and vocabulary rows that never occur",
        read_tokens,
        MASKABLE,
        {"padded": True},
    ),
    Trap("top_experts", "two of eight experts per sample", route_to_experts),
    Trap("sparse_relu", "healthy ReLU sparsity", sparse_relu),
    Trap("frozen_on_purpose", "frozen, and not in the optimiser", freeze_on_purpose),
    Trap("rare_one_hot", "one-hot features on in 1 cell of 300", rare_features),
    Trap("warm_up", "warm-up from learning rate 0", warm_up),
    Trap(
        "batch_of_one",
        "batch size 1, without batch norm",
        batch_of_one,
        tuple(name for name in EVERY if name != "rescnn"),
        {"batch_size": 1},
    ),
    Trap("uniform_attention", "uniform attention at the start", pool_by_query),
    Trap("key_bias", "key bias of attention", pool_by_self_attention),
    Trap("padded", "sequences of varying length", nothing, MASKABLE, {"padded": True}),
    Trap("clip_at_one", "gradient clipping at norm 1", clip_at_one),
    Trap("accumulation", "four batches per step", accumulate),
    Trap(
        "mixed_precision",
        "half precision with a scaler",
        mix_precision,
        tuple(name for name in EVERY if name != "lstm"),
    ),
)

TRAPS: dict[str, Trap] = {trap.name: trap for trap in _TRAPS}
