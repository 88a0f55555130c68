"""Programs small enough to know what would help them: two inputs, one layer or two."""

import torch
import torch.nn.functional as F
from torch import nn

SAMPLES, BATCH = 512, 32


def drawn(width=2, seed=0):
    return torch.randn(SAMPLES, width, generator=torch.Generator().manual_seed(seed))


def batched(*tensors):
    return list(zip(*(tensor.split(BATCH) for tensor in tensors), strict=True))


def mean_square(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])


def net(*end, hidden=16, outputs=1, width=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, outputs), *end)


def adam(model, rate=1e-2):
    return torch.optim.Adam(model.parameters(), rate)


def healthy():
    x, model = drawn(), net()
    return model, batched(x, x[:, :1] - x[:, 1:]), mean_square, adam(model)


def noise():
    x, model = drawn(), net()
    return model, batched(x, drawn(1, seed=1)), mean_square, adam(model)


def slow():
    x, model = drawn(), net()
    optimizer = torch.optim.SGD(model.parameters(), 3e-4)
    return model, batched(x, x[:, :1] - x[:, 1:]), mean_square, optimizer


def large_targets():
    x, model = drawn(), net()
    y = 20_000 + 5_000 * (x[:, :1] - x[:, 1:])
    return model, batched(x, y), mean_square, adam(model)


def large_inputs():
    x, model = drawn(), net()
    return model, batched(3e4 + 100 * x, x[:, :1] - x[:, 1:]), mean_square, adam(model)


def high_rate():
    x, model = drawn(), net(hidden=64)
    return model, batched(x, (x[:, :1] - x[:, 1:]).sin()), mean_square, adam(model, 3.0)


def sigmoid_output():
    x, model = drawn(), net(nn.Sigmoid())
    return model, batched(x, 3 * (x[:, :1] - x[:, 1:])), mean_square, adam(model)


def dead_relu():
    x = drawn()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
    nn.init.constant_(model[0].bias, -20.0)
    return model, batched(x, x[:, :1] - x[:, 1:]), mean_square, adam(model)


def labels_as_shares():
    x, model = drawn(), net()
    labels = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()

    def loss_fn(model, batch):
        out = model(batch["x"])[:, 0]
        return F.binary_cross_entropy_with_logits(out, batch["label"].float())

    batches = [{"x": x, "label": label} for x, label in batched(x, labels)]
    return model, batches, loss_fn, adam(model)


class Forgetful(nn.Module):
    """Hidden layers in a plain list: the optimiser never hears of them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.hidden = [nn.Linear(2, 16)]
        self.head = nn.Linear(16, 1)
        nn.init.constant_(self.hidden[0].weight, 0.01)

    def forward(self, x):
        return self.head(torch.tanh(self.hidden[0](x)))


def unregistered():
    x, model = drawn(), Forgetful()
    return model, batched(x, x[:, :1] - x[:, 1:]), mean_square, adam(model)


def half_registered():
    x, model = drawn(), Forgetful()
    torch.nn.init.normal_(model.hidden[0].weight)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    return model, batched(x, (x[:, :1] * x[:, 1:]).tanh()), mean_square, optimizer


class Deaf(nn.Module):
    """Uses nothing of what it is given."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.level + 0.0 * x[:, :1]


def deaf():
    x, model = drawn(), Deaf()
    return model, batched(x, x[:, :1]), mean_square, adam(model)
