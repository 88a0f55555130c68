"""Words that this data does not hold."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randint(0, 20, (256, 6))
y = (x < 10).float().mean(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))
model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(48, 1))
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])
