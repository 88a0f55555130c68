"""Attention masks the padding, the mean over time does not."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 10, 8)
mask = torch.arange(10) < torch.randint(2, 8, (256, 1))
x = x * mask[..., None]
y = x.sum((1, 2))[:, None]
batches = list(zip(x.split(64), y.split(64), mask.split(64), strict=True))
model = nn.ModuleDict(
    {"layer": nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), "head": nn.Linear(8, 1)}
)
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    x, y, mask = batch
    return F.mse_loss(model["head"](model["layer"](x, src_key_padding_mask=~mask).mean(1)), y)
