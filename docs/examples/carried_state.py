"""What one batch leaves behind, the next one starts from."""

import torch
from torch import nn
from torch.nn import functional as F

x = torch.randn(256, 10, 8)
y = x[:, -1, :2].sum(1, keepdim=True)
batches = list(zip(x.split(64), y.split(64), strict=True))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head, self.state = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 1), None

    def forward(self, x):
        out, self.state = self.rnn(x, self.state)
        return self.head(out[:, -1])


model = Net()
optimizer = torch.optim.Adam(model.parameters(), 1e-3)


def loss_fn(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])
