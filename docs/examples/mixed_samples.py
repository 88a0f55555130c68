"""The recurrence runs over the samples."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 10, 8)
y = x[:, -1, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))
model = nn.ModuleDict({"rnn": nn.LSTM(8, 32), "head": nn.Linear(32, 1)})  # not batch_first
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.mse_loss(model["head"](model["rnn"](batch[0])[0][:, -1]), batch[1])
