"""Scalings do what they say by hand, and undo it."""

import numpy as np
import pytest
import torch

from src.data import scaling
from src.data.scaling import InputScaling, encode_closes, fit_affine, fit_input_scaling
from src.data.targets import PRICES, TargetScaling, fit_target_scaling, persistence_of

CLOSES = np.array([1.0, 2.0, 4.0, 8.0, 8.0])


def test_scalers_fit_known_values():
    assert fit_affine(CLOSES, "minmax") == (1.0, 7.0)
    assert fit_affine(np.array([1.0, 3.0]), "standard") == (2.0, 1.0)
    assert fit_affine(CLOSES, "none") == (0.0, 1.0)
    assert fit_affine(np.full(3, 5.0), "standard") == (5.0, 1.0)  # constant: scale 1, not 0


def test_relative_input_is_the_log_over_the_last_close():
    scaling = InputScaling("relative", 0.0, 0.5)
    x = scaling(torch.tensor([[[1.0], [2.0], [4.0]]]))
    assert torch.allclose(x[0, :, 0] / np.log(2), torch.tensor([-4.0, -2.0, 0.0]))


def test_price_input_is_scaled_by_the_fitted_scaler():
    scaling = fit_input_scaling(CLOSES, 2, "price", "minmax")
    x = scaling(torch.tensor(CLOSES).reshape(1, 5, 1))
    assert torch.allclose(x.flatten(), torch.tensor((CLOSES - 1) / 7))


def test_relative_scale_is_the_root_mean_square_over_windows_with_a_target():
    # Windows (1, 2), (2, 4) and (4, 8); (8, 8) has no day to predict. First values: -log 2 each.
    scaling = fit_input_scaling(CLOSES, 2, "relative", "minmax")
    assert scaling.scale == pytest.approx(np.log(2) / np.sqrt(2))


def test_change_targets_are_standardised_over_training_windows():
    # With T = 2 the targets are closes 2, 3 and 4, predicted from closes 1, 2 and 3.
    assert fit_target_scaling(CLOSES, 2, "residual", "none").offset == pytest.approx(2.0)
    returns = np.log([2.0, 2.0, 1.0])
    fitted = fit_target_scaling(CLOSES, 2, "log_return", "none")
    assert (fitted.offset, fitted.scale) == pytest.approx((returns.mean(), returns.std()))


def test_price_target_shares_the_scaler_of_price_inputs():
    target = fit_target_scaling(CLOSES, 2, "price", "minmax")
    inputs = fit_input_scaling(CLOSES, 2, "price", "minmax")
    assert (target.offset, target.scale) == (inputs.offset, inputs.scale)


@pytest.mark.parametrize("kind", PRICES)
def test_predictions_turn_back_into_prices(kind):
    scaling = fit_target_scaling(CLOSES, 2, kind, "minmax")
    price, last_price = torch.tensor([[3.0], [5.0]]), torch.tensor([[2.0], [6.0]])
    scaled = scaling.to_scaled(price, last_price)
    assert torch.allclose(scaling.to_price(scaled, last_price), price)


@pytest.mark.parametrize("kind", PRICES)
def test_persistence_predicts_the_last_price(kind):
    target = fit_target_scaling(CLOSES, 2, kind, "standard")
    inputs = fit_input_scaling(CLOSES, 2, "price", "standard")
    feature, scale, offset, _ = persistence_of(target)
    closes = torch.tensor([[[2.0], [4.0]], [[8.0], [1.0]]])
    preds = scale * inputs(closes)[:, -1, feature] + offset
    assert torch.allclose(target.to_price(preds[:, None], closes[:, -1]), closes[:, -1])


def test_encoded_closes_have_input_and_last_price():
    x, last_price = encode_closes(np.array([[1.0, 2.0], [8.0, 4.0]]), InputScaling("price", 0, 2))
    assert x.tolist() == [[[0.5], [1.0]], [[4.0], [2.0]]]
    assert last_price.tolist() == [[2.0], [4.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0, 1e39])
def test_encoding_refuses_a_close_that_is_no_price(bad):
    with pytest.raises(ValueError, match=r"close 1 of window 0 must be positive and finite, got"):
        encode_closes(np.array([[1.0, bad]]), InputScaling("price", 0, 1))


def test_encoding_refuses_a_wrong_shape():
    with pytest.raises(ValueError, match=r"closes must have shape \(windows, days\), got \(3,\)"):
        encode_closes(np.ones(3), InputScaling("price", 0, 1))


def test_unknown_kinds_are_refused_with_the_list():
    with pytest.raises(ValueError, match="scaler must be one of minmax, standard, none, got 'max'"):
        fit_affine(CLOSES, "max")
    with pytest.raises(ValueError, match="input must be one of relative, price, got 'x'"):
        fit_input_scaling(CLOSES, 2, "x", "none")
    with pytest.raises(ValueError, match="target must be one of log_return, residual, price, got"):
        fit_target_scaling(CLOSES, 2, "x", "none")


def test_scalings_are_plain_numbers():
    scaling = fit_target_scaling(CLOSES, 2, "log_return", "none")
    assert TargetScaling(**vars(scaling)) == scaling
    assert {type(value) for value in vars(scaling).values()} == {str, float}


def test_a_scaling_fitted_block_by_block_is_the_same(monkeypatch):
    closes = 100 * np.exp(np.random.default_rng(0).normal(0, 0.1, 500).cumsum())
    whole = fit_input_scaling(closes, 20, "relative", "none")
    monkeypatch.setattr(scaling, "_BLOCK", 7)
    assert fit_input_scaling(closes, 20, "relative", "none").scale == pytest.approx(whole.scale)
