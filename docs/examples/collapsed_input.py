"""What reaches the layer is the same for all samples."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 8)
y = x[:, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))
model = nn.Sequential(
    nn.Linear(8, 32), nn.Softmax(0), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
)
model[1].register_forward_hook(lambda module, args, output: torch.ones_like(output))
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])
