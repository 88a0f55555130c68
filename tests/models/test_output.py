"""Heads of distributions: their losses by hand, what their quantiles are, and that none cross."""

import math

import pytest
import torch
from scipy import stats

from src.models.norm import Norm
from src.models.output import (
    PointOutput,
    QuantileOutput,
    StudentTOutput,
    level_weights,
    read,
)
from src.models.pooling import MeanPooling
from src.models.recurrent import RecurrentEncoder
from src.models.regressor import LinearRegressor, SequenceRegressor

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def same(values):
    return values


def test_the_pinball_loss_equals_hand_computed_values():
    output = QuantileOutput([0.1, 0.9])
    quantiles, came = torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0]])
    # 0.1 * 2 below and 0.1 * 2 above, on average.
    assert output.loss(quantiles, came).item() == pytest.approx(0.2)
    # All that came above: 0.1 * 5 and 0.9 * 1.
    assert output.loss(quantiles, torch.tensor([[6.0]])).item() == pytest.approx((0.5 + 0.9) / 2)


def test_quantiles_of_nothing_learned_are_those_of_the_standard_normal():
    output = QuantileOutput(LEVELS)
    params = output(torch.zeros(2, 3 * 5), same)
    expected = torch.tensor(stats.norm.ppf(LEVELS), dtype=torch.float32)
    torch.testing.assert_close(output.quantiles(params), expected.expand(2, 3, 5))


def test_quantiles_never_cross_whatever_the_head_says():
    output = QuantileOutput(LEVELS)
    raw = 30 * torch.randn(200, 2 * 5, generator=torch.Generator().manual_seed(0))
    assert bool((output.quantiles(output(raw, same)).diff(dim=-1) >= 0).all())


def test_the_likelihood_of_a_student_t_is_that_of_scipy():
    output = StudentTOutput(LEVELS)
    params = torch.tensor([[0.5, 2.0, 5.0]])
    expected = -stats.t.logpdf(1.5, df=5, loc=0.5, scale=2)
    assert output.loss(params, torch.tensor([[1.5]])).item() == pytest.approx(expected, abs=1e-6)
    quantiles = output.quantiles(params)
    expected = torch.tensor(stats.t.ppf(LEVELS, df=5, loc=0.5, scale=2))
    torch.testing.assert_close(quantiles, expected.view(1, 1, 5))


def test_a_student_t_of_nothing_learned_has_scale_one_and_six_degrees_of_freedom():
    params = StudentTOutput(LEVELS)(torch.zeros(1, 3), same)
    torch.testing.assert_close(params, torch.tensor([[0.0, 1.0, 6.0]]))


@pytest.mark.parametrize("output", [QuantileOutput(LEVELS), StudentTOutput(LEVELS)])
def test_a_distribution_moves_with_the_norm_that_is_undone(output):
    raw = torch.randn(4, output.size, generator=torch.Generator().manual_seed(0))
    plain = output.quantiles(output(raw, same)).double()
    moved = output.quantiles(output(raw, lambda values: 3 * values + 2)).double()
    torch.testing.assert_close(moved, 3 * plain + 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("output", [QuantileOutput(LEVELS), StudentTOutput(LEVELS)])
def test_the_true_distribution_is_learned(output):
    torch.manual_seed(0)
    raw = torch.zeros(1, output.size, requires_grad=True)
    came = 2 + 3 * torch.distributions.StudentT(5.0).sample((4000, 1))
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        output.loss(output(raw, same).expand(len(came), -1), came).backward()
        optimizer.step()
    found = output.quantiles(output(raw, same)).detach().double().flatten()
    expected = torch.tensor(stats.t.ppf(LEVELS, df=5, loc=2, scale=3))
    torch.testing.assert_close(found, expected, rtol=0, atol=0.35)


def test_the_forecast_is_the_mean_in_the_unit_of_what_comes():
    output = QuantileOutput([0.25, 0.5, 0.75])
    params = torch.tensor([[0.0, 1.0, 2.0]]).log1p()
    forecast, quantiles = read(output, params, torch.expm1)
    torch.testing.assert_close(quantiles, torch.tensor([[[0.0, 1.0, 2.0]]]))
    assert level_weights(output.levels) == [0.375, 0.25, 0.375]
    assert forecast.item() == pytest.approx(0.25 * 1 + 0.375 * 2)


def test_a_point_is_read_as_it_is():
    forecast, quantiles = read(PointOutput(), torch.tensor([[2.0]]), torch.square)
    assert (forecast.item(), quantiles) == (4.0, None)


@pytest.mark.parametrize("output", [PointOutput(), QuantileOutput(LEVELS), StudentTOutput(LEVELS)])
def test_every_regressor_has_the_parameters_of_each_number(output):
    x = torch.randn(3, 5, 1)
    for model in (
        SequenceRegressor(
            Norm(1), RecurrentEncoder(1, 5), MeanPooling(50, 5), num_outputs=4, output=output
        ),
        LinearRegressor(1, 5, num_outputs=4, output=output),
    ):
        assert model(x).preds.shape == (3, 4 * output.size)


@pytest.mark.parametrize(
    "levels", [[0.5], [0.0, 0.5], [0.5, 0.4], [0.1, 1.0], [0.1, math.nan], [0.1, "a"]]
)
def test_levels_that_are_none_are_refused_with_their_values(levels):
    with pytest.raises(ValueError, match="levels must be 2 to 999 numbers, ascending"):
        QuantileOutput(levels)
