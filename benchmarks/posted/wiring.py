"""Wiring: parameters nobody knows, losses cut off, inputs and outputs that lead nowhere."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.posted.axes import mean_square
from benchmarks.posted.program import SAMPLES, Setup, batched, posted


class TwoTasks(nn.Module):
    """A shared body with one head per task."""

    def __init__(self, registered: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 24), nn.ReLU())
        heads = {
            "level": nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 1)),
            "slope": nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 1)),
        }
        self.heads = nn.ModuleDict(heads) if registered else heads

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 2)."""
        hidden = self.body(x)
        return torch.cat([self.heads["level"](hidden), self.heads["slope"](hidden)], 1)


@posted("unregistered")
def heads_in_a_dict(faulty: bool) -> Setup:
    """Heads in a plain dictionary are not among the parameters."""
    x = torch.randn(SAMPLES, 6)
    y = torch.stack([x[:, 0] + x[:, 1], x[:, 2] * 2], 1)
    model = TwoTasks(registered=not faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


class Mixture(nn.Module):
    """A bilinear layer with a hand-made weight."""

    def __init__(self, registered: bool) -> None:
        super().__init__()
        weight = 0.1 * torch.randn(8, 8)
        self.weight = nn.Parameter(weight) if registered else weight.requires_grad_(True)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        return self.scale * ((x @ self.weight) * x).sum(1, keepdim=True)


@posted("unregistered", epochs=20)
def plain_tensor_weight(faulty: bool) -> Setup:
    """A weight is a plain tensor and no nn.Parameter."""
    x = torch.randn(SAMPLES, 8)
    y = (x[:, :1] * x[:, 1:2]) - x[:, 2:3] * x[:, 3:4]
    model = Mixture(registered=not faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 2e-2))


class Lazy(nn.Module):
    """A convolution whose readout is made where its size is known."""

    def __init__(self, in_forward: bool) -> None:
        super().__init__()
        self.in_forward = in_forward
        self.conv = nn.Conv1d(2, 8, 3)
        self.readout = None if in_forward else nn.LazyLinear(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        hidden = F.relu(self.conv(x)).flatten(1)
        readout = nn.Linear(hidden.shape[1], 1) if self.readout is None else self.readout
        return readout(hidden)


@posted("unregistered")
def layer_made_in_forward(faulty: bool) -> Setup:
    """A layer is made anew in every forward pass."""
    x = torch.randn(SAMPLES, 2, 16)
    y = x[:, 0, 3:6].sum(1, keepdim=True)
    model = Lazy(in_forward=faulty)
    model(x[:2])
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 5e-3))


@posted("stale_optimizer", "not_optimized")
def head_replaced(faulty: bool) -> Setup:
    """The head was replaced after the optimiser was made."""
    x = torch.randn(SAMPLES, 12)
    y = (x[:, 0] + x[:, 1] > 0).long() + (x[:, 2] > 0.5).long()
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.3, momentum=0.9)
    fresh = copy.deepcopy(model[2])
    nn.init.normal_(fresh.weight, std=0.05)
    model[2] = fresh
    if not faulty:
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    return Setup(model, batched(x, y), loss_fn, optimizer)


@posted("stale_optimizer", "not_optimized")
def optimizer_of_the_original(faulty: bool) -> Setup:
    """A copy of the model is trained: the optimiser holds the parameters of the original."""
    x = torch.randn(SAMPLES, 6, 3)
    y = x[:, :, 0].mean(1, keepdim=True)
    original = nn.Sequential(nn.Flatten(), nn.Linear(18, 30), nn.Tanh(), nn.Linear(30, 1))
    optimizer = torch.optim.Adam(original.parameters(), 5e-3)
    model = copy.deepcopy(original) if faulty else original
    return Setup(model, batched(x, y), mean_square, optimizer)


@posted("detached_loss")
def loss_from_items(faulty: bool) -> Setup:
    """The loss is made anew from numbers and hangs on no parameter."""
    x = torch.randn(SAMPLES, 5)
    y = x[:, :1] - x[:, 1:2]
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        error = F.mse_loss(model(batch[0]), batch[1])
        return torch.tensor(error.item(), requires_grad=True) if faulty else error

    return Setup(model, batched(x, y), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


@posted("detached_loss")
def loss_from_argmax(faulty: bool) -> Setup:
    """The loss compares classes chosen by argmax, which has no gradient."""
    x = torch.randn(SAMPLES, 8)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        logits = model(batch[0])
        if faulty:
            chosen = logits.argmax(1).float()
            return F.mse_loss(chosen, batch[1].float()).requires_grad_(True)
        return F.cross_entropy(logits, batch[1])

    return Setup(model, batched(x, y), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


class Window(nn.Module):
    """A convolution over a window, read at its last steps or at all."""

    def __init__(self, last_only: bool) -> None:
        super().__init__()
        self.last_only = last_only
        self.conv = nn.Conv1d(3, 16, 3)
        self.head = nn.Linear(16 if last_only else 16 * 18, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        hidden = F.relu(self.conv(x.transpose(1, 2)))
        return self.head(hidden[..., -1] if self.last_only else hidden.flatten(1))


@posted("ignored_input")
def reads_the_last_steps(faulty: bool) -> Setup:
    """17 of 20 steps have no influence on the output."""
    x = torch.randn(SAMPLES, 20, 3)
    y = x[:, :, 0].mean(1, keepdim=True) * 3
    model = Window(last_only=faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 5e-3))


class Columns(nn.Module):
    """An MLP that picks the columns it reads."""

    def __init__(self, columns: slice) -> None:
        super().__init__()
        self.columns = columns
        width = len(range(*columns.indices(9)))
        self.net = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        return self.net(x[:, self.columns])


@posted("ignored_input")
def wrong_slice(faulty: bool) -> Setup:
    """Features 4 to 8 have no influence on the output."""
    x = torch.randn(SAMPLES, 9)
    y = x[:, 5:6] + x[:, 6:7] * x[:, 7:8]
    model = Columns(slice(0, 4) if faulty else slice(0, 9))
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


class Decoder(nn.Module):
    """An encoder's summary, repeated as the input of a decoder."""

    def __init__(self, first_only: bool) -> None:
        super().__init__()
        self.first_only = first_only
        self.encoder = nn.GRU(2, 16, batch_first=True)
        self.decoder = nn.GRU(16, 16, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4)."""
        state = self.encoder(x)[1]
        context = state[0, 0].expand(len(x), -1) if self.first_only else state[0]
        return self.head(self.decoder(context[:, None].expand(-1, 4, -1))[0]).squeeze(2)


@posted("mixed_samples", "collapsed_input", "constant_output", epochs=20)
def first_state_for_all(faulty: bool) -> Setup:
    """The decoder gets the first sample's state for all samples."""
    x = torch.randn(SAMPLES, 10, 2)
    y = x[:, -4:, 0]
    model = Decoder(first_only=faulty)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))
