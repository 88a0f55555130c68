"""Schedules that take a rate to nothing: found, tried, and left alone where nothing is lost."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from src.diagnostics import diagnose
from src.diagnostics.causes import schedules

Lr = torch.optim.lr_scheduler


def mean_square(model: nn.Module, batch: Any) -> Any:
    return mse_loss(model(batch[0]), batch[1])


def program(rate: float = 0.05, **options: Any) -> tuple[nn.Module, list[Any], Any]:
    """Return a linear program that learns within a few steps of Adam."""
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    y = x @ torch.tensor([[0.5], [-1.0], [1.5], [0.5]])
    model = nn.Linear(4, 1)
    return (
        model,
        list(zip(x.split(16), y.split(16), strict=True)),
        torch.optim.Adam(model.parameters(), rate, **options),
    )


def step(model: nn.Module, batches: list[Any], optimizer: Any, count: int) -> None:
    for n in range(count):
        optimizer.zero_grad()
        mean_square(model, batches[n % len(batches)]).backward()
        optimizer.step()


def test_a_schedule_that_has_stopped_a_training_too_early_is_named_with_both_rates() -> None:
    model, batches, optimizer = program()
    scheduler = Lr.ExponentialLR(optimizer, 0.1)
    for _ in range(6):
        step(model, batches, optimizer, 1)
        scheduler.step()
    (found,) = diagnose(model, batches, mean_square, optimizer).alarms
    assert found.cause == "learning_rate_too_low"
    assert found.evidence["learning_rate"] == pytest.approx(0.05 * 1e-6)
    assert found.evidence["initial_rate"] == 0.05
    assert found.evidence["after"] < found.evidence["before"] / 1.5
    assert found.remedy == (
        "The schedule takes the rate to nothing too early: step it once per epoch, or let it last "
        "as long as the training."
    )


def test_a_schedule_for_epochs_that_is_stepped_per_batch_is_named_before_it_does_its_harm() -> None:
    model, batches, optimizer = program(rate=0.02)
    scheduler = Lr.ExponentialLR(optimizer, 0.5)
    (found,) = diagnose(model, batches, mean_square, optimizer).alarms
    assert found.cause == "learning_rate_too_low"
    assert found.evidence["learning_rate"] == 0.02
    assert found.evidence["rate_after_10_steps"] == pytest.approx(0.02 / 2**10)
    assert found.remedy.startswith("The schedule takes the rate to nothing within ten of its steps")
    assert optimizer.param_groups[0]["lr"] == 0.02, "the schedule itself was not moved"
    assert scheduler.last_epoch == 0


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: Lr.LinearLR(o, 0.01, 1.0, total_iters=5),
        lambda o: Lr.CosineAnnealingLR(o, 1000),
        lambda o: Lr.StepLR(o, 5, 0.5),
        lambda o: Lr.CosineAnnealingWarmRestarts(o, 20),
    ],
    ids=["warm-up", "long cosine", "halved every fifth step", "restarts"],
)
def test_a_schedule_that_leaves_time_to_learn_is_none_that_collapses(schedule: Any) -> None:
    _, _, optimizer = program()
    kept = schedule(optimizer)
    assert schedules.collapsing(SimpleNamespace(optimizers=[optimizer])) == []
    del kept


def test_what_a_schedule_has_in_store_is_told_as_shares_of_its_largest_rate() -> None:
    _, _, optimizer = program(rate=0.5)
    kept = Lr.LambdaLR(optimizer, lambda n: (1.0, 0.5, 0.25)[n] if n < 3 else 0.0)
    shares = schedules.collapsing(SimpleNamespace(optimizers=[optimizer]))
    assert shares == [1.0, 0.5, 0.25] + [0.0] * 197
    assert schedules.planned_rates(kept, optimizer, 4) == [0.5, 0.25, 0.125, 0.0]
    assert kept.last_epoch == 0
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(("at_ten", "collapses"), [(0.0099, True), (0.01, False)])
def test_a_hundredth_of_the_largest_rate_is_the_least_that_may_be_left_after_ten_steps(
    at_ten: float, collapses: bool
) -> None:
    _, _, optimizer = program(rate=1.0)
    kept = Lr.LambdaLR(optimizer, lambda n: 1.0 if n < 10 else at_ten)
    assert bool(schedules.collapsing(SimpleNamespace(optimizers=[optimizer]))) is collapses
    assert schedules.schedulers_of(optimizer) == [kept]


def test_schedulers_of_other_optimisers_do_not_count() -> None:
    _, _, own = program()
    _, _, other = program()
    kept = Lr.ExponentialLR(other, 1e-3)
    assert schedules.schedulers_of(own) == []
    assert schedules.schedulers_of(other) == [kept]
    assert schedules.collapsing(SimpleNamespace(optimizers=[own])) == []


@pytest.mark.parametrize(
    ("now", "stepped", "stopped"),
    [(0.99e-3, True, True), (1e-3, True, False), (0.99e-3, False, False), (1.0, True, False)],
)
def test_a_schedule_has_stopped_below_a_thousandth_of_its_base_and_not_before_a_step(
    now: float, stepped: bool, stopped: bool
) -> None:
    group = {"lr": now, "initial_lr": 1.0}
    slower = {"lr": now / 10, "initial_lr": 0.1}
    experiment = SimpleNamespace(
        optimizers=[SimpleNamespace(param_groups=[group, slower])],
        courses=SimpleNamespace(has_stepped=stepped),
    )
    assert schedules.has_stopped(experiment) is stopped
    assert not schedules.has_stopped(
        SimpleNamespace(
            optimizers=[SimpleNamespace(param_groups=[{"lr": 0.0}])],
            courses=SimpleNamespace(has_stepped=True),
        )
    ), "without a schedule a rate of 0 is what was asked for"


def tried(stays: float, falls: float, start: float = 1.0) -> Any:
    """Return an experiment whose copies end at the one loss under the schedule, else at the other.

    The first six of eight steps are far from both, and do not count.
    """

    def losses(rates: list[float], fresh: bool, steps: int) -> list[float]:
        if steps == 1:
            assert fresh
            return [start]
        end = falls if rates == [0.1] else stays
        return [start, *[50.0] * (steps - 3), end, end]

    def one(model: Any, optimizers: Any, batch: int) -> Any:
        groups = optimizers[0].param_groups
        taken.append((groups[0]["lr"], batch))
        return SimpleNamespace(loss=losses([groups[0]["lr"], 0.0], False, 8)[len(taken) - 1])

    taken: list[tuple[float, int]] = []
    group = {"lr": 1e-5, "initial_lr": 0.1}
    optimizer = SimpleNamespace(param_groups=[group])
    return SimpleNamespace(
        optimizers=[optimizer],
        batches=[0, 1],
        taken=taken,
        step=one,
        courses=SimpleNamespace(
            rates=[0.1],
            affordable_steps=8,
            losses=losses,
            copy_for=lambda rates, fresh: (None, [SimpleNamespace(param_groups=[dict(group)])]),
            rate_evidence=lambda before, after, at_start, steps: {
                "before": before,
                "after": after,
                "loss_at_start": at_start,
                "steps": steps,
            },
        ),
    )


BOUNDS = [
    (0.61, 0.4, 1.0, True),
    (0.6, 0.4, 1.0, False),  # half as high again, and no more
    (0.6, 0.0, 1.0, True),
    (0.06, 0.031, 1.0, False),  # below 3% of the loss at the start nothing is lost
    (0.06, 0.029, 1.0, True),
    (0.3, 0.6, 1.0, False),  # the schedule is better
    (math.nan, 0.1, 1.0, False),
    (0.1, math.nan, 1.0, False),
]


@pytest.mark.parametrize(("stays", "falls", "start", "found"), BOUNDS)
def test_a_rate_that_is_left_is_too_low_where_the_one_before_ends_far_lower(
    stays: float, falls: float, start: float, found: bool
) -> None:
    candidates = schedules.go_on(tried(stays, falls, start))
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.confirmed
        assert candidate.fraction == 1.0
        told = {"learning_rate": 1e-5, "initial_rate": 0.1, "steps": 8, "loss_at_start": start}
        assert candidate.evidence == {"before": stays, "after": falls, **told}


@pytest.mark.parametrize(("stays", "falls", "start", "found"), BOUNDS)
def test_a_plan_is_followed_batch_by_batch_and_judged_by_the_same_bounds(
    stays: float, falls: float, start: float, found: bool
) -> None:
    experiment = tried(stays, falls, start)
    shares = [1.0, 0.5, 0.25, 0.0]
    candidates = schedules.follow_plan(experiment, shares)
    rates = [0.1, 0.05, 0.025, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert experiment.taken == [(rate, n % 2) for n, rate in enumerate(rates)]
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.confirmed
        assert candidate.evidence == {
            "before": stays,
            "after": falls,
            "loss_at_start": start,
            "steps": 8,
            "rate_after_10_steps": 0.0,
        }
