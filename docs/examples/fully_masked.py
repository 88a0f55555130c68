"""A sample whose steps are all masked: a softmax over nothing."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 6, 8)
y = x.mean((1, 2))[:, None]
mask = torch.rand(256, 6) > 0.3
mask[7] = False  # a sample without any step
batches = list(zip(x.split(64), y.split(64), mask.split(64), strict=True))
model = nn.ModuleDict(
    {"attend": nn.MultiheadAttention(8, 2, batch_first=True), "head": nn.Linear(8, 1)}
)
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    x, y, mask = batch
    return F.mse_loss(model["head"](model["attend"](x, x, x, ~mask)[0][:, 0]), y)
