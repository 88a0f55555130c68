"""A training that goes on calmly has tried its rate itself: no copy is trained for it."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from src.diagnostics import diagnose
from src.diagnostics.causes.courses import Courses
from src.diagnostics.causes.harm import Course, Judge, Worth
from src.diagnostics.symptoms.symptoms import TrainingContext


def mean_square(model, batch):
    return nn.functional.mse_loss(model(batch[0]), batch[1])


@pytest.fixture
def asked(monkeypatch):
    """Return a function that diagnoses noise in training, and says at which rates copies went."""
    trained = []
    train = Courses.losses

    def _train(self, rates, *arguments):
        trained.extend(rates)
        return train(self, rates, *arguments)

    monkeypatch.setattr(Courses, "losses", _train)

    def ask(rate, losses, first_losses=()):
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        batches = [(torch.randn(16, 4), torch.randn(16, 1)) for _ in range(3)]
        optimizer = torch.optim.Adam(model.parameters(), rate)
        context = TrainingContext(losses=losses, first_losses=first_losses)
        trained.clear()
        diagnose(model, batches, mean_square, optimizer, context=context)
        return [rate for rate in trained if rate > 0]

    return ask


def test_small_steps_and_a_loss_that_stays_need_no_trial(asked):
    assert asked(1e-4, [1.0] * 20) == []


def test_a_loss_that_rose_or_is_no_number_is_tried(asked):
    assert asked(1e-4, [1.0] * 10 + [1.6] * 20)
    assert asked(1e-4, [1.0] * 19 + [float("nan")])


def test_large_steps_are_tried_whatever_the_loss_does(asked):
    assert asked(0.1, [1.0] * 20)


def test_a_training_shorter_than_a_trial_or_without_its_beginning_is_tried(asked):
    assert asked(1e-4, [1.0] * 15)
    assert asked(1e-4, [1.0] * 20, first_losses=None)


@pytest.fixture
def compared(monkeypatch):
    """Return a function that diagnoses noise in training, and counts the remedies compared."""
    remedies = []

    def worth(self, remedy, without=None):
        remedies.append(remedy)
        return Worth(Course(1.0, 1.0), Course(1.0, 1.0), 16)

    monkeypatch.setattr(Judge, "can_tell", True)
    monkeypatch.setattr(Judge, "worth", worth)

    def ask(rate, first_losses=(), make=torch.optim.Adam):
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        batches = [(torch.randn(16, 4), torch.randn(16, 1)) for _ in range(3)]
        optimizer = make(model.parameters(), rate)
        context = TrainingContext(losses=[1.0] * 20, first_losses=first_losses)
        remedies.clear()
        diagnose(model, batches, mean_square, optimizer, context=context)
        return [remedy.rate for remedy in remedies if remedy.rate and remedy.rate > 1]

    return ask


def test_where_a_fresh_model_moves_as_far_as_is_usual_no_higher_rate_is_tried(compared):
    assert compared(3e-3) == []
    assert compared(3e-3, first_losses=None) == []


def test_a_step_counts_as_long_as_momentum_makes_it(compared):
    assert compared(1e-3, make=torch.optim.SGD)
    assert compared(1e-3, make=partial(torch.optim.SGD, momentum=0.9)) == []
    assert compared(1e-3, make=partial(torch.optim.SGD, momentum=0.9, dampening=0.9))


def test_where_it_moves_less_higher_rates_are_tried(compared):
    assert compared(1e-4)
    assert compared(1e-4, first_losses=None)


def trained_on(target, rate, steps):
    """Train a small classifier or regressor with Adam and return its diagnosis."""
    torch.manual_seed(1)
    x = torch.randn(512, 10)
    y = target(x)
    outputs = 1 if y.is_floating_point() else 4
    loss = mse_loss if y.is_floating_point() else cross_entropy
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, outputs))
    batches = list(zip(x.split(32), y.split(32), strict=True))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for step in range(steps):
        optimizer.zero_grad()
        loss(model(batches[step % 16][0]), batches[step % 16][1]).backward()
        optimizer.step()
    return diagnose(model, batches, lambda m, b: loss(m(b[0]), b[1]), optimizer)


def test_adam_at_its_usual_rate_is_not_too_low_while_a_classifier_still_learns():
    told = trained_on(lambda x: (x @ torch.randn(10, 4)).argmax(1), 1e-3, 150)
    assert told.loss > 0.2
    assert not told.alarms


def test_a_low_rate_that_has_got_by_now_where_a_higher_one_would_is_not_too_low():
    def noisy(x):
        return 1.5 * x[:, :3].sum(1, keepdim=True) + 0.9 * torch.randn(512, 1)

    assert [f.cause for f in trained_on(noisy, 2e-4, 30).alarms] == ["learning_rate_too_low"]
    assert not trained_on(noisy, 2e-4, 1000).alarms
