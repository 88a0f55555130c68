"""A softmax in front of a loss that takes one itself."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 8)
y = (x[:, 0] > 0).long()
batches = list(zip(x.split(64), y.split(64), strict=True))
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2), nn.Softmax(-1))
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])
