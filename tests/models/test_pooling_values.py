"""Every pooling against values computed by hand, and against a loop over time."""

import math

import pytest
import torch

from src.models.pooling import (
    AttentionPooling,
    AttentiveStatsPooling,
    ExponentialPooling,
    GatedPooling,
    LastPooling,
    LearnablePooling,
    MaxPooling,
    MeanPooling,
    MultiheadPooling,
)

# One sample, three steps, two units; integers, so that a shift by one step shows.
HIDDEN_BTD = torch.tensor([[[1.0, 40.0], [2.0, 50.0], [6.0, 30.0]]])


def softmax_twin(scores: list[float]) -> list[float]:
    exponentials = [math.exp(score) for score in scores]
    return [value / sum(exponentials) for value in exponentials]


def weighted_sum_twin(hidden_btd: torch.Tensor, weights_bt: torch.Tensor) -> torch.Tensor:
    rows = []
    for hidden_td, weights_t in zip(hidden_btd, weights_bt, strict=True):
        total = torch.zeros(hidden_td.shape[1])
        for step in range(hidden_td.shape[0]):
            total = total + weights_t[step] * hidden_td[step]
        rows.append(total)
    return torch.stack(rows)


def test_mean_pooling_averages_the_steps():
    pooled, weights = MeanPooling(2, 3)(HIDDEN_BTD)
    torch.testing.assert_close(pooled, torch.tensor([[3.0, 40.0]]))
    torch.testing.assert_close(weights, torch.full((3,), 1 / 3))


def test_mean_pooling_gives_each_step_the_same_share_of_the_gradient():
    hidden_btd = torch.randn(2, 20, 3, requires_grad=True)
    MeanPooling(3, 20)(hidden_btd).pooled.sum().backward()
    torch.testing.assert_close(hidden_btd.grad, torch.full((2, 20, 3), 0.05))


def test_last_pooling_takes_the_last_step():
    pooled, weights = LastPooling(2, 3)(HIDDEN_BTD)
    assert pooled.tolist() == [[6.0, 30.0]]
    assert weights.tolist() == [0.0, 0.0, 1.0]


def test_last_pooling_takes_the_last_real_step_of_each_sample():
    hidden_btd = torch.arange(6.0).view(2, 3, 1)
    mask_bt = torch.tensor([[True, True, False], [False, True, True]])
    pooled, weights = LastPooling(1, 3)(hidden_btd, mask_bt)
    assert pooled.flatten().tolist() == [1.0, 5.0]
    assert weights.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def test_max_pooling_takes_the_largest_value_of_each_unit_and_counts_the_wins():
    pooled, weights = MaxPooling(2, 3)(HIDDEN_BTD)
    assert pooled.tolist() == [[6.0, 50.0]]
    assert weights.tolist() == [[0.0, 0.5, 0.5]]


def test_max_pooling_with_negative_values_never_picks_the_padding():
    mask_bt = torch.tensor([[True, True, False]])
    pooled, weights = MaxPooling(2, 3)(-HIDDEN_BTD, mask_bt)
    assert pooled.tolist() == [[-1.0, -40.0]]
    assert weights.tolist() == [[1.0, 0.0, 0.0]]


def test_learnable_pooling_starts_as_the_mean_and_follows_its_logits():
    pooling = LearnablePooling(2, 3)
    torch.testing.assert_close(pooling(HIDDEN_BTD).pooled, torch.tensor([[3.0, 40.0]]))
    with torch.no_grad():
        pooling.logits.copy_(torch.tensor([0.0, 0.0, math.log(2.0)]))
    pooled, weights = pooling(HIDDEN_BTD)
    torch.testing.assert_close(weights, torch.tensor([0.25, 0.25, 0.5]))
    torch.testing.assert_close(pooled, torch.tensor([[3.75, 37.5]]))


def test_gated_pooling_scales_each_unit_by_its_gate():
    pooling = GatedPooling(2, 3)
    with torch.no_grad():
        pooling.gate.weight.zero_()
        pooling.gate.bias.copy_(torch.tensor([0.0, math.log(3.0)]))
    # sigmoid(0) = 1/2 and sigmoid(log 3) = 3/4 of the mean (3, 40)
    torch.testing.assert_close(pooling(HIDDEN_BTD).pooled, torch.tensor([[1.5, 30.0]]))


def test_exponential_pooling_halves_the_weight_every_half_life():
    _, weights = ExponentialPooling(2, 3, half_life=1.0)(HIDDEN_BTD)
    torch.testing.assert_close(weights, torch.tensor([1.0, 2.0, 4.0]) / 7)


def test_exponential_pooling_measures_distance_from_the_last_real_step():
    mask_bt = torch.tensor([[True, True, False]])
    _, weights = ExponentialPooling(2, 3, half_life=1.0)(HIDDEN_BTD, mask_bt)
    torch.testing.assert_close(weights, torch.tensor([[1.0, 2.0, 0.0]]) / 3)


def test_attention_pooling_scales_scores_by_the_root_of_the_width():
    pooling = AttentionPooling(2, 3)
    with torch.no_grad():
        pooling.score.weight.copy_(torch.tensor([[1.0, 0.0]]))
    pooled, weights = pooling(HIDDEN_BTD)
    expected = torch.tensor([softmax_twin([s / math.sqrt(2) for s in (1.0, 2.0, 6.0)])])
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(pooled, weighted_sum_twin(HIDDEN_BTD, expected))


def test_multihead_pooling_agrees_with_projecting_every_step_first():
    torch.manual_seed(0)
    pooling, hidden_btd = MultiheadPooling(6, 4, num_heads=3), torch.randn(2, 4, 6)
    pooled, weights = pooling(hidden_btd)
    heads, shares = [], []
    for head, value in enumerate(pooling.values):
        scores_bt = (hidden_btd * pooling.score.weight[head]).sum(-1) / math.sqrt(6)
        shares.append(scores_bt.softmax(1))
        heads.append(weighted_sum_twin(value(hidden_btd), shares[-1]))
    torch.testing.assert_close(pooled, torch.cat(heads, dim=1))
    torch.testing.assert_close(weights, torch.stack(shares).mean(0))


def test_attentive_stats_are_mean_and_population_deviation_when_all_scores_are_equal():
    pooling = AttentiveStatsPooling(2, 3)
    torch.nn.init.zeros_(pooling.score[-1].weight)
    pooled, _ = pooling(HIDDEN_BTD)
    deviation = HIDDEN_BTD.std(dim=1, unbiased=False)
    torch.testing.assert_close(pooled, torch.cat([torch.tensor([[3.0, 40.0]]), deviation], dim=1))


def test_attentive_stats_of_a_constant_sequence_have_a_finite_gradient():
    hidden_btd = torch.full((1, 3, 2), 7.0, requires_grad=True)
    AttentiveStatsPooling(2, 3)(hidden_btd).pooled.sum().backward()
    assert hidden_btd.grad.isfinite().all()


def test_multihead_pooling_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match=r"num_heads=4 and hidden_size=50"):
        MultiheadPooling(50, 3, num_heads=4)


def test_exponential_pooling_refuses_a_half_life_of_zero():
    with pytest.raises(ValueError, match="half_life must be above 0, got 0"):
        ExponentialPooling(2, 3, half_life=0)


def test_attentive_stats_refuse_an_attention_size_of_zero():
    with pytest.raises(ValueError, match="attention_size must be at least 1, got 0"):
        AttentiveStatsPooling(2, 3, attention_size=0)
