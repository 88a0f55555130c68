"""Losses and scores of variances and directions, by hand."""

import math

import pytest
import torch

from src.training.metrics import DirectionMetrics, VolatilityMetrics
from src.training.tasks import TASKS, qlike_loss


def test_qlike_is_zero_for_a_perfect_forecast_and_least_at_the_mean_variance():
    came = torch.tensor([1.0, 3.0]).log()
    assert qlike_loss(came, came).item() == 0
    at = {f: qlike_loss(torch.full((2,), math.log(f)), came).item() for f in (1.8, 2.0, 2.2)}
    assert min(at, key=at.get) == 2.0
    # 3 / 2 - ln 1.5 - 1 and 1 / 2 - ln 0.5 - 1, on average.
    assert at[2.0] == pytest.approx((0.5 - math.log(1.5) - 0.5 - math.log(0.5)) / 2, abs=1e-6)


def test_scores_of_a_variance_equal_hand_computed_values():
    metrics = VolatilityMetrics()
    metrics.update(
        preds=torch.tensor([[2.0]]), reference=torch.tensor([[4.0]]), actual=torch.tensor([[4.0]])
    )
    metrics.update(
        preds=torch.tensor([[1.0]]), reference=torch.tensor([[2.0]]), actual=torch.tensor([[1.0]])
    )
    scores = metrics.compute()
    assert scores["model"]["qlike"] == pytest.approx((2 - math.log(2) - 1) / 2)
    assert scores["model"]["log_mse"] == pytest.approx(math.log(2) ** 2 / 2)
    assert scores["baseline"]["qlike"] == pytest.approx((0.5 - math.log(0.5) - 1) / 2)
    metrics.reset()
    assert metrics.count == 0


def test_scores_of_a_probability_equal_hand_computed_values():
    metrics = DirectionMetrics()
    metrics.update(
        preds=torch.tensor([[0.8], [0.6]]),
        reference=torch.tensor([[0.5], [0.5]]),
        actual=torch.tensor([[1.0], [0.0]]),
    )
    scores = metrics.compute()
    assert scores["model"]["accuracy"] == 0.5
    assert scores["model"]["brier"] == pytest.approx((0.04 + 0.36) / 2)
    assert scores["model"]["log_loss"] == pytest.approx(-(math.log(0.8) + math.log(0.4)) / 2)
    assert scores["baseline"]["log_loss"] == pytest.approx(math.log(2))


def test_a_sure_forecast_that_fails_has_a_finite_loss():
    metrics = DirectionMetrics()
    metrics.update(torch.tensor([[1.0]]), torch.tensor([[0.5]]), torch.tensor([[0.0]]))
    assert math.isfinite(metrics.compute()["model"]["log_loss"])


@pytest.mark.parametrize("target", TASKS)
def test_every_task_scores_what_it_says(target):
    task = TASKS[target]
    metrics = task.metrics()
    half = torch.full((2, 1), 0.5)
    metrics.update(half, half, torch.tensor([[0.4], [1.0]]))
    assert set(metrics.compute()["model"]) == set(task.scores)
    assert task.error in task.scores
