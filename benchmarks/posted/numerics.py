"""Numbers: operations that pass nothing back, that make NaN, or that normalise a single entry."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.posted.axes import mean_square
from benchmarks.posted.program import SAMPLES, Setup, batched, posted


class Hashing(nn.Module):
    """A binary code in the middle of the net."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.hard = hard
        self.code, self.head = nn.Linear(10, 24), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        code = self.code(x)
        return self.head(torch.sign(code) if self.hard else torch.tanh(code))


@posted("zero_gradient")
def sign_in_the_middle(faulty: bool) -> Setup:
    """Sign passes no gradient: the layer before it never learns."""
    x = torch.randn(SAMPLES, 10)
    y = (x[:, :1] * 2).tanh() + x[:, 1:2]
    model = Hashing(hard=faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


class Bounded(nn.Module):
    """Outputs forced between two bounds."""

    def __init__(self, clamp: bool) -> None:
        super().__init__()
        self.clamp = clamp
        self.net = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 1))
        nn.init.constant_(self.net[2].bias, -2.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        out = self.net(x)
        return out.clamp(0, 5) if self.clamp else out


@posted("zero_gradient")
def clamped_output(faulty: bool) -> Setup:
    """Clamp passes nothing back while all outputs lie outside."""
    x = torch.randn(SAMPLES, 4)
    y = 1 + x[:, :1].abs()
    model = Bounded(clamp=faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


@posted("zero_gradient")
def floored_counts(faulty: bool) -> Setup:
    """Nothing flows back: outputs are floored before the loss."""
    x = torch.randn(SAMPLES, 8, 2)
    y = (x[:, :, 1] > 0.3).float().sum(1)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 40), nn.ReLU(), nn.Linear(40, 1), nn.Flatten(0)
    )

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        count = model(batch[0])
        return F.l1_loss(torch.floor(count) if faulty else count, batch[1])

    return Setup(model, batched(x, y), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


class Siamese(nn.Module):
    """Two windows are compared by the distance of their embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return (B, 8), the difference of embeddings."""
        return self.net(a) - self.net(b)


@posted("nonfinite_gradient")
def distance_of_equals(faulty: bool) -> Setup:
    """The norm at zero has a NaN gradient: some pairs are equal."""
    a, b = torch.randn(2, SAMPLES, 6)
    b[::16] = a[::16]
    y = (a - b)[:, :3].square().sum(1).sqrt()
    model = Siamese()

    def loss_fn(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        difference = model(batch[0], batch[1])
        square = difference.square().sum(1)
        return F.mse_loss((square if faulty else square + 1e-12).pow(0.5), batch[2])

    return Setup(model, batched(a, b, y), loss_fn, torch.optim.Adam(model.parameters(), 5e-3))


class Standardised(nn.Module):
    """Divides hidden features by their spread over the steps."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.project, self.head = nn.Linear(2, 12), nn.Linear(12, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        hidden = torch.relu(self.project(x))
        spread = hidden.var(1, correction=0).add(self.floor).sqrt()
        return self.head(torch.log1p(spread))


@posted("nonfinite_gradient")
def flat_series(faulty: bool) -> Setup:
    """The root of a variance of zero has no finite gradient: some series are flat."""
    x = torch.randn(SAMPLES, 9, 2) * (torch.rand(SAMPLES, 1, 1) > 0.1)
    y = x[:, :, 0].std(1, keepdim=True)
    model = Standardised(0.0 if faulty else 1e-6)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


@posted("nonfinite_gradient")
def division_behind_where(faulty: bool) -> Setup:
    """Where() hides a division by zero in the loss, not in the gradient."""
    x = torch.randn(SAMPLES, 6, 4)
    traded = (torch.rand(SAMPLES, 6) > 0.2) & (torch.rand(SAMPLES, 1) > 0.1)
    y = (x[..., 0] * traded).sum(1) / traded.sum(1).clamp(min=1)
    model = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 1))

    def loss_fn(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        count = batch[1].sum(1)
        total = (model(batch[0])[..., 0] * batch[1]).sum(1)
        mean = total / (count if faulty else count.clamp(min=1))
        return F.mse_loss(torch.where(count > 0, mean, 0.0), batch[2])

    return Setup(model, batched(x, traded, y), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


class Bahdanau(nn.Module):
    """Additive attention over encoder states, by hand."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.encoder = nn.GRU(3, 16, batch_first=True)
        self.key, self.score, self.head = nn.Linear(16, 16), nn.Linear(16, 1), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        states, last = self.encoder(x)
        energy = self.score(torch.tanh(self.key(states) + last[0][:, None])).transpose(1, 2)
        weight = F.softmax(energy, dim=self.dim)  # (B, 1, T)
        return self.head((weight @ states).squeeze(1))


@posted("degenerate_norm", epochs=20)
def attention_over_one(faulty: bool) -> Setup:
    """The softmax of the attention runs over one entry and is always 1."""
    x = torch.randn(SAMPLES, 8, 3)
    y = x[:, -1:, 0] + x[:, 0:1, 1]
    model = Bahdanau(1 if faulty else 2)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


@posted("degenerate_norm")
def group_of_one(faulty: bool) -> Setup:
    """A group normalisation over one entry per group returns its bias."""
    x = torch.randn(SAMPLES, 12)
    y = x[:, :1] - x[:, 2:3]
    model = nn.Sequential(
        nn.Linear(12, 32), nn.GroupNorm(32 if faulty else 4, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


class OneToken(nn.Module):
    """A transformer that is handed its window as a single token."""

    def __init__(self, as_one: bool) -> None:
        super().__init__()
        self.as_one = as_one
        self.embed = nn.Linear(16 * 2 if as_one else 2, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        tokens = x.flatten(1)[:, None] if self.as_one else x
        return self.head(self.layer(self.embed(tokens)).mean(1))


@posted("degenerate_norm")
def one_token(faulty: bool) -> Setup:
    """Attention over one key: queries and keys do nothing."""
    x = torch.randn(SAMPLES, 16, 2)
    y = x[:, :, 0].abs().mean(1, keepdim=True)
    model = OneToken(as_one=faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 5e-3))
