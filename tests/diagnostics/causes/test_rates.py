"""A training that goes on calmly has tried its rate itself: no copy is trained for it."""

import pytest
import torch
from torch import nn

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

    def ask(rate, first_losses=()):
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        batches = [(torch.randn(16, 4), torch.randn(16, 1)) for _ in range(3)]
        optimizer = torch.optim.Adam(model.parameters(), rate)
        context = TrainingContext(losses=[1.0] * 20, first_losses=first_losses)
        remedies.clear()
        diagnose(model, batches, mean_square, optimizer, context=context)
        return [remedy.rate for remedy in remedies if remedy.rate and remedy.rate > 1]

    return ask


def test_steps_of_a_usual_size_beside_a_training_need_no_trial_at_higher_rates(compared):
    assert compared(3e-3) == []


def test_small_steps_or_a_training_that_is_not_known_are_tried_at_higher_rates(compared):
    assert compared(1e-4)
    assert compared(3e-3, first_losses=None)
