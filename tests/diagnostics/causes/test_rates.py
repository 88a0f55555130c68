"""A training that goes on calmly has tried its rate itself: no copy is trained for it."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from src.diagnostics import diagnose
from src.diagnostics.causes import rates
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


def courses_of(ends, start=1.0, batches=2, steps=8):
    """Return an experiment whose copies end at a loss for each rate; 0 is that of the start.

    All but the last two of eight steps are far off, and do not count.
    """

    def losses(rates, fresh, steps):
        end = ends[rates[0]] if rates[0] else start
        return [end] * steps if not rates[0] else [7.0 * start] * (steps - 2) + [end, end]

    def evidence(before, after, at_start, steps):
        return {"before": before, "after": after, "loss_at_start": at_start, "steps": steps}

    courses = SimpleNamespace(
        rates=[1.0], affordable_steps=steps, losses=losses, rate_evidence=evidence
    )
    return SimpleNamespace(courses=courses, batches=[None] * batches)


@pytest.mark.parametrize(
    ("ends", "factor"),
    [
        ({1.0: 5.0, 0.1: 0.5}, 0.1),
        ({1.0: 5.0, 0.1: 4.0, 0.01: 0.5}, 0.01),  # the mildest that learns is named
        ({1.0: 5.0, 0.1: 4.0, 0.01: 4.0, 1e-4: 0.5}, 1e-4),
        ({1.0: math.nan, 0.1: 0.5}, 0.1),
        ({1.0: 0.76, 0.1: 0.5}, 0.1),
        ({1.0: 0.75, 0.1: 0.5}, None),  # half as high again, and no more
        ({1.0: 0.89, 0.1: 0.8, 0.01: 0.1}, None),  # what learns at its rate has one ten times off
        ({1.0: 0.91, 0.1: 0.8, 0.01: 0.1}, 0.01),
        ({1.0: 5.0, 0.1: 2.0, 0.01: 1.5, 1e-4: 1.1}, None),  # no calmer one learns either
        ({1.0: 0.029, 0.1: 0.001}, None),  # next to nothing is left
        ({1.0: 0.05, 0.1: 0.025}, None),  # and the gain is next to nothing
        ({1.0: -1.0, 0.1: -2.0}, None),  # a loss below zero has no share
    ],
)
def test_a_rate_is_too_high_where_a_calmer_one_ends_far_lower_on_the_batches_learnt(ends, factor):
    found = rates._on_batches_learnt(courses_of(ends))
    assert len(found) == (factor is not None)
    for candidate in found:
        assert candidate.confirmed
        assert candidate.remedy == f"Lower the learning rate, for example to {factor:.1g}."
        told = {"after": ends[factor], "loss_at_start": 1.0, "steps": 8}
        assert candidate.evidence == pytest.approx({"before": ends[1.0], **told}, nan_ok=True)


@pytest.mark.parametrize("start", [0.0, -1.0, math.inf, math.nan])
def test_of_a_start_that_is_no_positive_number_nothing_is_said(start):
    assert rates._on_batches_learnt(courses_of({1.0: 5.0, 0.1: 0.5}, start)) == []


def test_the_last_quarter_of_the_steps_counts_or_a_round_of_the_batches():
    ends = {1.0: 5.0, 0.1: 0.5, 0.01: 0.5, 1e-4: 0.5}
    assert rates._on_batches_learnt(courses_of(ends, batches=4)) == [], "two of four are far off"
    assert rates._on_batches_learnt(courses_of(ends, batches=1))


@pytest.mark.parametrize(
    ("moved", "here", "usual", "confirmed"),
    [(1e-7, 0.9, 0.5, True), (1e-7, 0.5, 0.9, False), (0.0, 0.9, 0.5, True)],
)
def test_a_rate_that_moves_nothing_is_raised_to_what_is_usual(moved, here, usual, confirmed):
    def losses(rates, fresh, steps=None):
        assert not fresh
        asked.append(rates[0])
        return [1.0, 1.0, here if rates[0] == 1e-3 else usual]

    asked = []
    courses = SimpleNamespace(
        rates=[1e-3],
        first_steps=(moved, moved / 2),
        losses=losses,
        rate_evidence=lambda *numbers: {"numbers": numbers},
    )
    (found,) = rates._at_usual_rate(SimpleNamespace(courses=courses, batches=[None]))
    factor = 1e-3 / max(moved, 1e-12)
    assert asked == [1e-3, pytest.approx(1e-3 * factor)]
    assert found.confirmed is confirmed
    assert found.remedy == f"Raise the learning rate, for example to {1e-3 * factor:.1g}."
    assert found.evidence == {"numbers": (here, usual, 1.0, rates.TRIAL_STEPS)}
    courses.losses = lambda rates, fresh: [math.nan]
    assert rates._at_usual_rate(SimpleNamespace(courses=courses, batches=[None])) == []
