"""A layer that is made and never called."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 8)
y = x[:, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))
model = nn.ModuleDict({"body": nn.Linear(8, 1), "spare": nn.Linear(8, 1)})
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.mse_loss(model["body"](batch[0]), batch[1])
