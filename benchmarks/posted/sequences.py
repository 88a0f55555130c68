"""Sequences: masks that hide everything or nothing, padding that is read, futures that are seen."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.posted.program import SAMPLES, Setup, batched, posted


class HandMade(nn.Module):
    """Attention with queries and keys written out, averaged over the real steps."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return (B, 1)."""
        h = self.embed(x)
        scores = self.query(h) @ self.key(h).transpose(1, 2) / 4
        scores = scores.masked_fill(~real[:, None], float("-inf"))
        h = h + scores.softmax(-1) @ self.value(h)
        return self.head((h * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1))


@posted("fully_masked", "nonfinite", "nonfinite_gradient")
def empty_sequences(faulty: bool) -> Setup:
    """Rows in which every key is masked: NaN is born in the softmax."""
    x = torch.randn(SAMPLES, 8, 3)
    length = torch.randint(0 if faulty else 1, 9, (SAMPLES, 1))
    real = torch.arange(8) < length
    x = x * real[..., None]
    y = x[:, :, :1].sum(1) / 2
    model = HandMade()

    def loss_fn(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        keep = batch[1].any(1)
        return F.mse_loss(model(batch[0], batch[1])[keep], batch[2][keep])

    return Setup(model, batched(x, real, y), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


class Reviews(nn.Module):
    """Tokens, padded at the end, through a GRU."""

    def __init__(self, last_step: bool) -> None:
        super().__init__()
        self.last_step = last_step
        self.embed = nn.Embedding(40, 12, padding_idx=0)
        self.gru, self.head = nn.GRU(12, 16, batch_first=True), nn.Linear(16, 2)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (B, 2)."""
        out = self.gru(self.embed(ids))[0]
        last = (ids != 0).sum(1) - 1
        return self.head(out[:, -1] if self.last_step else out[torch.arange(len(ids)), last])


@posted("padding_read", epochs=20)
def reads_padding(faulty: bool) -> Setup:
    """The last step is read, which is padding in most rows."""
    ids = torch.randint(1, 40, (SAMPLES, 50))
    length = torch.randint(3, 9, (SAMPLES,))
    length[::32] = 50
    ids = ids * (torch.arange(50) < length[:, None])
    y = (ids[torch.arange(SAMPLES), length - 1] > 20).long()
    model = Reviews(last_step=faulty)

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    return Setup(model, batched(ids, y), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


class Language(nn.Module):
    """A causal transformer over tokens."""

    def __init__(self, inverted: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.position = nn.Parameter(0.1 * torch.randn(12, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 20)
        seen = torch.ones(12, 12, dtype=torch.bool).tril()
        self.register_buffer("mask", seen if inverted else ~seen)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (B, T, 20) logits of the next token."""
        return self.head(self.encoder(self.embed(ids) + self.position, mask=self.mask))


@posted("future_leak", "masked", "fully_masked", "nonfinite")
def inverted_causal_mask(faulty: bool) -> Setup:
    """Outputs see the future: the mask is True where attention is not allowed."""
    start = torch.randint(0, 20, (SAMPLES, 1))
    step = torch.randint(1, 4, (SAMPLES, 1))
    ids = (start + step * torch.arange(13)) % 20
    model = Language(inverted=False)
    if faulty:
        model.mask = ~model.mask
        model.mask[-1] = False  # the last row would hide everything

    def loss_fn(model: nn.Module, batch: tuple[Tensor]) -> Tensor:
        logits = model(batch[0][:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), batch[0][:, 1:].flatten())

    return Setup(model, batched(ids), loss_fn, torch.optim.Adam(model.parameters(), 5e-3))


class Forecast(nn.Module):
    """Self-attention by hand, with a mask that is added to the scores."""

    def __init__(self, zeros_and_ones: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(2, 16), nn.Linear(16, 1)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        mask = torch.ones(10, 10).tril()
        added = mask if zeros_and_ones else torch.where(mask > 0, 0.0, float("-inf"))
        self.register_buffer("added", added)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T)."""
        h = self.embed(x)
        scores = self.query(h) @ self.key(h).transpose(1, 2) / 4 + self.added
        return self.head(h + scores.softmax(-1) @ self.value(h)).squeeze(2)


@posted("future_leak")
def added_mask(faulty: bool) -> Setup:
    """Outputs see the future: adding a mask of ones and zeros hides nothing."""
    x = torch.randn(SAMPLES, 10, 2)
    y = x[:, :, 0].cumsum(1) / torch.arange(1, 11)
    model = Forecast(zeros_and_ones=faulty)

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    return Setup(model, batched(x, y), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


class Padded(nn.Module):
    """A masked encoder with mean pooling."""

    def __init__(self, all_steps: bool) -> None:
        super().__init__()
        self.all_steps = all_steps
        self.embed = nn.Linear(2, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Return (B, 1)."""
        h = self.layer(self.embed(x), src_key_padding_mask=padding)
        if self.all_steps:
            return self.head(h.mean(1))
        real = (~padding)[..., None]
        return self.head((h * real).sum(1) / real.sum(1))


@posted("padding_leak")
def mean_over_padding(faulty: bool) -> Setup:
    """Padded steps reach the output: the mean runs over them though attention masks them."""
    x = torch.randn(SAMPLES, 12, 2)
    padding = torch.arange(12) >= torch.randint(2, 11, (SAMPLES, 1))
    x = x.masked_fill(padding[..., None], 0.0)
    y = x[:, :, :1].sum(1) / (~padding).sum(1, keepdim=True)
    model = Padded(all_steps=faulty)

    def loss_fn(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return F.mse_loss(model(batch[0], batch[1]), batch[2])

    return Setup(model, batched(x, padding, y), loss_fn, torch.optim.Adam(model.parameters(), 5e-3))
