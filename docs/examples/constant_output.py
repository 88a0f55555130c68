"""The input was forgotten."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 8)
y = x[:, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.bias.expand(len(x), 1)


model = Net()
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])
