"""Dropout as a function that nobody tells of the evaluation mode."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 8)
y = x[:, :1] * x[:, 1:2]
batches = list(zip(x.split(64), y.split(64), strict=True))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 32), nn.Linear(32, 1)

    def forward(self, x):
        return self.head(F.dropout(torch.relu(self.body(x)), 0.3))  # training=True is the default


model = Net()
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])
