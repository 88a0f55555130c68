"""Losses that do not fit the labels, rates that do not fit the net, weights that start wrong."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.posted.axes import mean_square
from benchmarks.posted.program import SAMPLES, Setup, batched, posted


def blobs(classes: int, width: int) -> tuple[Tensor, Tensor]:
    """Draw one cloud of points per class."""
    labels = torch.randint(0, classes, (SAMPLES,))
    return 2.5 * torch.randn(classes, width)[labels] + torch.randn(SAMPLES, width), labels


@posted("loss_mismatch")
def labels_as_numbers(faulty: bool) -> Setup:
    """Class labels under a squared loss: cross entropy with 6 outputs."""
    x, labels = blobs(6, 10)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1 if faulty else 6))

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        out = model(batch[0])
        if faulty:
            return nn.MSELoss()(out.squeeze(1), batch[1].float())
        return F.cross_entropy(out, batch[1])

    return Setup(model, batched(x, labels), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


@posted("loss_mismatch")
def nll_of_probabilities(faulty: bool) -> Setup:
    """A negative loss: nll_loss is given probabilities, not their logarithms."""
    x, labels = blobs(4, 8)
    end = nn.Softmax(1) if faulty else nn.LogSoftmax(1)
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 4), end)

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.nll_loss(model(batch[0]), batch[1])

    return Setup(model, batched(x, labels), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


@posted("loss_mismatch")
def loss_with_a_minus(faulty: bool) -> Setup:
    """The sign of the loss is turned: training moves away."""
    x = torch.randn(SAMPLES, 6)
    y = x[:, :1] * 0.5 + x[:, 1:2].sin()
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 1))

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        loss = F.mse_loss(model(batch[0]), batch[1])
        return -loss if faulty else loss

    return Setup(model, batched(x, y), loss_fn, torch.optim.Adam(model.parameters(), 5e-3))


@posted("loss_mismatch")
def sigmoid_twice(faulty: bool) -> Setup:
    """A sigmoid before a loss that applies it again."""
    x, labels = blobs(2, 6)
    layers = [nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 1)]
    model = nn.Sequential(*layers, *([nn.Sigmoid()] if faulty else []))

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1].float())

    return Setup(model, batched(x, labels), loss_fn, torch.optim.Adam(model.parameters(), 1e-2))


class Waves(nn.Module):
    """A recurrent forecaster of waves."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1)."""
        return self.head(self.gru(x)[0][:, -1])


def waves() -> tuple[Tensor, Tensor]:
    """Draw windows of sines and the value that follows."""
    phase, speed = 6.28 * torch.rand(SAMPLES, 1), 0.2 + 0.4 * torch.rand(SAMPLES, 1)
    wave = torch.sin(phase + speed * torch.arange(17))
    return wave[:, :16, None], wave[:, 16:]


@posted("learning_rate_too_high", epochs=20)
def rate_for_the_gru(faulty: bool) -> Setup:
    """The learning rate is some 30 times too high."""
    x, y = waves()
    model = Waves()
    rate = 0.3 if faulty else 0.01
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), rate))


@posted("learning_rate_too_high", epochs=20)
def rate_for_the_transformer(faulty: bool) -> Setup:
    """The learning rate is some 20 times too high."""
    x = torch.randn(SAMPLES, 10, 4)
    y = (x[:, :, 0] * x[:, :, 1]).mean(1, keepdim=True) * 3
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
    body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    model = nn.Sequential(nn.Linear(4, 32), body, nn.Flatten(), nn.Linear(320, 1))
    rate = 0.04 if faulty else 2e-3
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), rate))


@posted("learning_rate_too_low", epochs=20)
def schedule_to_zero(faulty: bool) -> Setup:
    """The schedule takes the learning rate to zero after a few steps."""
    x, y = waves()
    model = Waves()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    # Stepped once per batch, as if it were once per epoch.
    gamma = 0.5 if faulty else 0.998
    return Setup(
        model,
        batched(x, y),
        mean_square,
        optimizer,
        torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma),
    )


@posted("dead_unit", "zero_gradient", "unreachable_target", epochs=20)
def dead_output(faulty: bool) -> Setup:
    """The output's ReLU starts dead for every sample."""
    x = torch.rand(SAMPLES, 5)
    y = x.sum(1, keepdim=True)
    end = nn.ReLU() if faulty else nn.Softplus()
    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1), end)
    nn.init.constant_(model[2].bias, -1.5)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 5e-3))


@posted("symmetric_init", "zero_init")
def equal_weights(faulty: bool) -> Setup:
    """All weights start at the same number."""
    x = torch.randn(SAMPLES, 8)
    y = (x[:, :1] * x[:, 1:2]).tanh() + x[:, 2:3]
    model = nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 1))
    if faulty:
        for layer in (model[0], model[2]):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


@posted("misscaled_target")
def prices_unscaled(faulty: bool) -> Setup:
    """Targets in the thousands, unscaled."""
    x = torch.randn(SAMPLES, 7)
    y = x[:, :1] + x[:, 1:2] * x[:, 2:3]
    y = 25_000 + 6_000 * y if faulty else y
    model = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 1))
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 1e-2))


@posted("misscaled_input")
def volume_unscaled(faulty: bool) -> Setup:
    """Features in the ten thousands beside others near one."""
    x = torch.randn(SAMPLES, 8, 4)
    y = x[:, :, 0].mean(1, keepdim=True) * 2
    if faulty:
        x[:, :, 3] = 40_000 + 9_000 * x[:, :, 3]
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    return Setup(model, batched(x, y), mean_square, torch.optim.Adam(model.parameters(), 5e-3))
