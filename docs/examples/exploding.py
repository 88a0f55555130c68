"""A recurrence that doubles what goes around."""

import torch
from torch import nn
from torch.nn import functional as F

x = 0.3 * torch.randn(256, 40, 8)
y = x[:, -1, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))
model = nn.ModuleDict({"rnn": nn.RNN(8, 32, batch_first=True), "head": nn.Linear(32, 1)})
nn.init.orthogonal_(model["rnn"].weight_hh_l0, gain=2.0)
optimizer = None


def loss_fn(model, batch):
    return F.mse_loss(model["head"](model["rnn"](batch[0])[0][:, -1]), batch[1])
