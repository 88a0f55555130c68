import math

import pytest
import torch

from src.training.metrics import (
    AbsolutePercentageError,
    DirectionalAccuracy,
    DirectionMetrics,
    PriceMetrics,
    VolatilityMetrics,
    skill_score,
)


def test_directional_accuracy_leaves_out_days_that_did_not_move():
    metric = DirectionalAccuracy()
    moves = torch.tensor([[1.0], [-2.0], [0.0], [3.0]])
    preds = torch.tensor([[0.1], [0.1], [0.1], [0.1]])
    metric.update(preds, moves)
    assert metric.compute() == pytest.approx(2 / 3)


def test_price_metrics_equal_hand_computed_values():
    metrics = PriceMetrics()
    metrics.update(
        preds=torch.tensor([[11.0], [22.0]]),
        last_price=torch.tensor([[9.0], [21.0]]),
        price=torch.tensor([[10.0], [20.0]]),
    )
    scores = metrics.compute()
    assert scores["model"]["rmse"] == pytest.approx(math.sqrt((1 + 4) / 2))
    assert scores["model"]["mae"] == pytest.approx(1.5)
    assert scores["model"]["mape"] == pytest.approx(10.0)
    # The first day rose and was predicted to rise; the second fell and was predicted to rise.
    assert scores["model"]["directional_accuracy"] == pytest.approx(0.5)
    assert scores["baseline"]["rmse"] == pytest.approx(1.0)
    assert scores["baseline"]["directional_accuracy"] == pytest.approx(0.5)


def test_a_direction_is_that_of_the_move_from_the_last_price():
    metrics = PriceMetrics()
    metrics.update(
        preds=torch.tensor([[8.0], [22.0], [19.0], [22.0]]),
        last_price=torch.tensor([[9.0], [21.0], [20.0], [21.0]]),
        price=torch.tensor([[7.0], [20.0], [21.0], [23.0]]),
    )
    scores = metrics.compute()  # down and up are right, up and down are wrong
    assert scores["model"]["directional_accuracy"] == 0.5
    assert scores["baseline"]["directional_accuracy"] == 0.5
    metrics.reset()
    metrics.update(*(torch.tensor([[price]]) for price in (8.0, 9.0, 7.0)))
    assert metrics.compute()["model"]["directional_accuracy"] == 1.0
    assert metrics.compute()["baseline"]["directional_accuracy"] == 0.0


@pytest.mark.parametrize("scale", [1e-12, 1e-7, 1e-3, 1.0, 1e6])
def test_the_percentage_error_does_not_depend_on_the_size_of_the_price(scale):
    metrics = PriceMetrics()
    preds, price = torch.tensor([[11.0], [22.0]]) * scale, torch.tensor([[10.0], [20.0]]) * scale
    metrics.update(preds=preds, last_price=price, price=price)
    assert metrics.compute()["model"]["mape"] == pytest.approx(10.0)


def test_a_price_of_zero_has_no_percentage_error():
    metric = AbsolutePercentageError()
    metric.update(torch.tensor([[1.0], [-11.0]]), torch.tensor([[0.0], [-10.0]]))
    assert metric.compute() == pytest.approx(0.1)


def test_a_batch_split_in_two_scores_the_same():
    prices = torch.rand(3, 8, 1) + 1
    whole, halves = PriceMetrics(), PriceMetrics()
    whole.update(*prices)
    halves.update(*prices[:, :3])
    halves.update(*prices[:, 3:])
    for side in ("model", "baseline"):
        assert whole.compute()[side] == pytest.approx(halves.compute()[side], rel=1e-5)


def test_reset_forgets_every_batch():
    metrics = PriceMetrics()
    metrics.update(torch.tensor([[5.0]]), torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    metrics.reset()
    metrics.update(torch.tensor([[2.0]]), torch.tensor([[1.0]]), torch.tensor([[2.0]]))
    assert metrics.compute()["model"]["rmse"] == 0
    assert metrics.compute()["baseline"]["rmse"] == 1


@pytest.mark.parametrize(("error", "expected"), [(0.0, 1.0), (4.0, 0.0), (8.0, -1.0)])
def test_skill_is_the_share_of_the_baseline_error_removed(error, expected):
    assert skill_score(error, baseline_error=4.0) == expected


def test_skill_against_a_perfect_baseline_is_undefined():
    assert math.isnan(skill_score(1.0, baseline_error=0.0))


def test_the_square_of_a_huge_price_is_finite():
    metrics = PriceMetrics()
    metrics.update(torch.tensor([[3e19]]), torch.tensor([[1e19]]), torch.tensor([[1e19]]))
    assert metrics.compute()["model"]["rmse"] == pytest.approx(2e19)


def test_the_percentage_of_a_tiny_price_is_its_own():
    metrics = PriceMetrics()
    metrics.update(torch.tensor([[3e-9]]), torch.tensor([[2e-9]]), torch.tensor([[2e-9]]))
    assert metrics.compute()["model"]["mape"] == pytest.approx(50.0)
    assert metrics.compute()["baseline"]["mape"] == 0


def test_a_probability_is_scored_by_hand():
    metrics = DirectionMetrics()
    preds, actual = torch.tensor([[0.8], [0.4], [0.5]]), torch.tensor([[1.0], [1.0], [0.0]])
    metrics.update(preds, torch.tensor([[0.5]] * 3), actual)
    scores = metrics.compute()
    assert scores["model"]["accuracy"] == pytest.approx(2 / 3)  # one half says "down"
    assert scores["model"]["brier"] == pytest.approx((0.04 + 0.36 + 0.25) / 3)
    log_loss = -(math.log(0.8) + math.log(0.4) + math.log(0.5)) / 3
    assert scores["model"]["log_loss"] == pytest.approx(log_loss)
    assert scores["baseline"]["brier"] == pytest.approx(0.25)
    assert scores["baseline"]["log_loss"] == pytest.approx(math.log(2))


@pytest.mark.parametrize("came", [0.0, 1.0])
def test_who_is_sure_and_wrong_loses_as_much_as_with_one_in_ten_million_and_no_more(came):
    metrics = DirectionMetrics()
    metrics.update(torch.tensor([[1 - came]]), torch.tensor([[came]]), torch.tensor([[came]]))
    scores = metrics.compute()
    assert scores["model"]["log_loss"] == pytest.approx(math.log(1e7), rel=1e-6)
    assert scores["baseline"]["log_loss"] == pytest.approx(0, abs=2e-7)


def test_a_variance_is_scored_by_hand_and_in_any_unit():
    for unit in (1.0, 1e-8):
        metrics = VolatilityMetrics()
        preds, actual = torch.tensor([[2.0], [1.0]]) * unit, torch.tensor([[1.0], [1.0]]) * unit
        metrics.update(preds, actual, actual)
        scores = metrics.compute()
        assert scores["model"]["qlike"] == pytest.approx((0.5 + math.log(2) - 1) / 2)
        assert scores["model"]["log_mse"] == pytest.approx(math.log(2) ** 2 / 2)
        assert scores["baseline"] == {"qlike": 0, "log_mse": 0}


@pytest.mark.parametrize("make", [DirectionMetrics, VolatilityMetrics])
def test_sums_are_means_over_all_windows_and_forgotten_at_reset(make):
    metrics, actual = make(), torch.tensor([[1.0], [1.0], [1.0]])
    metrics.update(torch.full((3, 1), 0.9), actual, actual)
    metrics.reset()
    assert metrics.compute() == {"model": {}, "baseline": {}}
    for part in actual.split([1, 2]):
        metrics.update(torch.full_like(part, 0.5), part, part)
    whole = make()
    whole.update(torch.full_like(actual, 0.5), actual, actual)
    assert metrics.compute()["model"] == pytest.approx(whole.compute()["model"])
