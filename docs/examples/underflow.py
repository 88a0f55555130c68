"""A loss so small that its gradients are zero in half precision."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 8)
y = x[:, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = None


def loss_fn(model, batch):
    with torch.autocast("cpu", torch.float16):
        out = model(batch[0])
    return 1e-7 * F.mse_loss(out.float(), batch[1])
