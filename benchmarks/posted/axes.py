"""Axes and shapes: samples that mix, predictions and targets that broadcast, state that stays."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.posted.program import SAMPLES, Setup, batched, posted


def mean_square(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The squared error of a model's output."""
    return F.mse_loss(model(batch[0]), batch[1])


class Tagger(nn.Module):
    """A two-way GRU that tags every token."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 12)
        self.gru = nn.GRU(12, 16, bidirectional=True, batch_first=batch_first)
        self.tag = nn.Linear(32, 3)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (B, T, 3) logits."""
        return self.tag(self.gru(self.embed(ids))[0])


@posted("mixed_samples")
def tagger_over_batch(faulty: bool) -> Setup:
    """Samples mix: the GRU runs along the batch, batch_first is missing."""
    ids = torch.randint(0, 30, (SAMPLES, 14))
    tags = (ids + ids.roll(1, 1)) % 3
    model = Tagger(batch_first=not faulty)

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())

    return Setup(model, batched(ids, tags), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


class Sensors(nn.Module):
    """A transformer over the readings of a machine."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.project = nn.Linear(5, 24)
        self.position = nn.Parameter(0.1 * torch.randn(12, 24))
        layer = nn.TransformerEncoderLayer(24, 3, 48, dropout=0.0, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.score = nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        return self.score(self.encoder(self.project(x) + self.position).mean(1))


@posted("mixed_samples")
def encoder_over_batch(faulty: bool) -> Setup:
    """Samples mix: attention runs along the batch, batch_first is missing."""
    x = torch.randn(SAMPLES, 12, 5)
    y = x[:, :, 0].abs().mean(1, keepdim=True) - 0.8
    model = Sensors(batch_first=not faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 3e-3))


class Weighted(nn.Module):
    """Attention pooling written by hand."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.inner = nn.Sequential(nn.Linear(4, 16), nn.Tanh())
        self.score, self.head = nn.Linear(16, 1), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        hidden = self.inner(x)
        return self.head((hidden * self.score(hidden).softmax(dim=self.dim)).sum(1))


@posted("mixed_samples")
def softmax_over_batch(faulty: bool) -> Setup:
    """Samples mix: the softmax of the attention runs over the batch, dim 0."""
    x = torch.randn(SAMPLES, 9, 4)
    y = x[:, :, 1].mean(1, keepdim=True)
    model = Weighted(0 if faulty else 1)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 5e-3))


class Frames(nn.Module):
    """Per-frame features, then an LSTM that wants time first."""

    def __init__(self, view: bool) -> None:
        super().__init__()
        self.view = view
        self.frame = nn.Sequential(nn.Linear(6, 20), nn.ReLU())
        self.lstm, self.head = nn.LSTM(20, 20), nn.Linear(20, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        hidden = self.frame(x)
        batch, steps, width = hidden.shape
        time_first = (
            hidden.view(steps, batch, width) if self.view else hidden.transpose(0, 1).contiguous()
        )
        return self.head(self.lstm(time_first)[0][-1])


@posted("mixed_samples", epochs=20)
def view_for_transpose(faulty: bool) -> Setup:
    """Samples mix: view instead of transpose swaps axes."""
    x = torch.randn(SAMPLES, 8, 6)
    y = x[:, -3:, 0].sum(1, keepdim=True)
    model = Frames(view=faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


@posted("broadcast")
def handwritten_difference(faulty: bool) -> Setup:
    """The difference of (B, 1) and (B,) is (B, B)."""
    x = torch.randn(SAMPLES, 3, 20)
    y = x[:, 0].mean(1) * 4
    model = nn.Sequential(
        nn.Conv1d(3, 16, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 1)
    )

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        target = batch[1] if faulty else batch[1].unsqueeze(1)
        return ((model(batch[0]) - target) ** 2).mean()

    return Setup(model, batched(x, y), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


@posted("broadcast")
def rents(faulty: bool) -> Setup:
    """Smooth_l1_loss of (B,) and (B, 1) compares each with each."""
    x = torch.randn(SAMPLES, 10)
    y = (x[:, :3].sum(1, keepdim=True) + x[:, 3:4] * x[:, 4:5]) / 2
    model = nn.Sequential(
        nn.Linear(10, 40), nn.SiLU(), nn.Linear(40, 40), nn.SiLU(), nn.Linear(40, 1)
    )
    loss = nn.SmoothL1Loss()

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        preds = model(batch[0])
        return loss(preds.squeeze(-1) if faulty else preds, batch[1])

    return Setup(model, batched(x, y), loss_fn, torch.optim.AdamW(model.parameters(), 5e-3))


class Stateful(nn.Module):
    """A GRU that remembers its last state."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep, self.hidden = keep, None
        self.gru, self.head = nn.GRU(2, 16, batch_first=True), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        out, hidden = self.gru(x, self.hidden if self.keep else None)
        self.hidden = hidden
        return self.head(out[:, -1])


@posted("carried_state")
def undetached_state(faulty: bool) -> Setup:
    """The hidden state is kept from one batch to the next, undetached."""
    x = torch.randn(SAMPLES, 7, 2)
    y = x[:, :, 0].sum(1, keepdim=True) * x[:, :1, 1]
    model = Stateful(keep=faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 5e-3))


class Centred(nn.Module):
    """Centres its input by a mean that it keeps."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep, self.cache = keep, {}
        self.net = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        mean = x.mean(1, keepdim=True)
        if self.keep:
            mean = 0.9 * self.cache.get("mean", mean) + 0.1 * mean
            self.cache["mean"] = mean.detach()
        return self.net(x - mean)


@posted("carried_state", epochs=20)
def cached_mean(faulty: bool) -> Setup:
    """A mean is kept from one batch to the next, row by row."""
    x = torch.randn(SAMPLES, 6) + 3 * torch.randn(SAMPLES, 1)
    y = (x - x.mean(1, keepdim=True))[:, :2].prod(1, keepdim=True)
    model = Centred(keep=faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))
