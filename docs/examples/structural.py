"""A bias of the keys changes no attention."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 6, 8)
y = x[:, 0, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))
model = nn.ModuleDict(
    {"layer": nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), "head": nn.Linear(8, 1)}
)
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.mse_loss(model["head"](model["layer"](batch[0])[:, 0]), batch[1])
