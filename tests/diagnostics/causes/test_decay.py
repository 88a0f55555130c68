"""Weight decay is named where it keeps a model from learning, and only there."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.diagnostics import TrainingContext, diagnose


def trained(make, decay, steps=60, rate=1e-2):
    """Train a small regressor and return the causes of its alarms, and the loss."""
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    batches = list(zip(x.split(32), x[:, :2].sum(1, keepdim=True).split(32), strict=True))
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = make(model.parameters(), rate, weight_decay=decay)

    def loss_fn(model, batch):
        return F.mse_loss(model(batch[0]), batch[1])

    for step in range(steps):
        optimizer.zero_grad()
        loss_fn(model, batches[step % 8]).backward()
        optimizer.step()
    told = diagnose(model, batches, loss_fn, optimizer, context=TrainingContext(step=steps))
    return [finding.cause for finding in told.alarms], told


@pytest.mark.parametrize(
    ("make", "decay"),
    [(torch.optim.SGD, 10.0), (torch.optim.Adam, 10.0), (torch.optim.AdamW, 30.0)],
)
def test_a_decay_under_which_nothing_is_learnt_is_named_first(make, decay):
    causes, told = trained(make, decay)
    assert causes == ["weight_decay_too_strong"]
    assert told.worst.evidence["weight_decay"] == decay
    assert told.worst.evidence["harm"] > 1.5


@pytest.mark.parametrize("decay", [1e-5, 1e-2, 0.1])
@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW])
def test_a_usual_decay_is_no_alarm(make, decay):
    assert trained(make, decay)[0] == []


def test_without_an_optimizer_that_decays_it_is_not_looked_for():
    _, told = trained(torch.optim.Adam, 0.0, steps=1)
    check = next(c for c in told.checks if c.cause == "weight_decay_too_strong")
    assert (check.outcome, check.why) == ("not applicable", "no optimizer decays weights")


def test_one_group_that_decays_is_enough():
    torch.manual_seed(0)
    model, x = nn.Linear(8, 1), torch.randn(64, 8)
    batches = list(zip(x.split(16), x[:, :1].split(16), strict=True))
    groups = [
        {"params": [model.weight], "weight_decay": 100.0},
        {"params": [model.bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, 1e-2)
    context = TrainingContext(step=60)
    told = diagnose(
        model, batches, lambda m, b: F.mse_loss(m(b[0]), b[1]), optimizer, context=context
    )
    assert told.worst is not None
    assert told.worst.cause == "weight_decay_too_strong"
