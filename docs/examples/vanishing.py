"""Twelve sigmoids, each of which passes a quarter at most."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 8)
y = x[:, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))
tower = [layer for _ in range(12) for layer in (nn.Linear(32, 32), nn.Sigmoid())]
model = nn.Sequential(nn.Linear(8, 32), *tower, nn.Linear(32, 1))
optimizer = None


def loss_fn(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])
