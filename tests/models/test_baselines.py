from types import SimpleNamespace

import pytest
import torch

from src.models.contract import DropoutRates
from src.models.norm import ReversibleNorm
from src.models.regressor import LinearRegressor, NaiveRegressor

X_BTF = torch.arange(12.0).view(2, 3, 2)
PERSISTENCE = SimpleNamespace(feature=1, scale=10.0, offset=0.5, bars=1)


def test_naive_predicts_todays_price_in_target_units():
    output = NaiveRegressor(2, 3, persistence=PERSISTENCE)(X_BTF)
    assert output.preds.tolist() == [[50.5], [110.5]]
    assert (output.weights, output.hidden) == (None, None)


def test_naive_takes_the_last_real_step():
    mask_bt = torch.tensor([[True, True, False], [True, True, True]])
    output = NaiveRegressor(2, 3, persistence=PERSISTENCE)(X_BTF, mask_bt)
    assert output.preds.tolist() == [[30.5], [110.5]]


def test_naive_has_nothing_to_learn():
    assert list(NaiveRegressor(2, 3, persistence=PERSISTENCE).parameters()) == []


def test_naive_without_persistence_is_refused():
    with pytest.raises(ValueError, match="needs the persistence of the data, got None"):
        NaiveRegressor(2, 3)


def test_linear_agrees_with_a_loop_over_steps_and_features():
    torch.manual_seed(0)
    model = LinearRegressor(2, 3)
    weight_tf = model.head.weight.view(3, 2)
    expected = model.head.bias + sum(
        weight_tf[t, f] * X_BTF[:, t, f] for t in range(3) for f in range(2)
    )
    output = model(X_BTF)
    torch.testing.assert_close(output.preds, expected.unsqueeze(1))
    assert (output.weights, output.hidden) == (None, None)


@pytest.mark.parametrize("padding", [1e30, float("nan")])
def test_linear_counts_padded_steps_as_zero_after_the_norm(padding):
    model = LinearRegressor(1, 3, norm=ReversibleNorm(1))
    x_btf = torch.tensor([[[4.0], [6.0], [padding]]])
    mask_bt = torch.tensor([[True, True, False]])
    # center last is 6, deviation 1: the window reads (-2, 0, padding)
    expected = model.head.weight[:, :1] * -2 + model.head.bias + 6
    torch.testing.assert_close(model(x_btf, mask_bt).preds, expected)


def test_linear_drops_inputs_in_training_only():
    model = LinearRegressor(2, 3, dropout=DropoutRates(input=0.5))
    assert model.input_dropout.p == 0.5
    model.eval()
    assert torch.equal(model(X_BTF).preds, model(X_BTF).preds)


@pytest.mark.parametrize("place", ["projection", "encoder"])
def test_linear_refuses_dropout_that_has_no_place_to_act(place):
    with pytest.raises(ValueError, match=rf"neither projection nor encoder, .*{place}=0\.1"):
        LinearRegressor(2, 3, dropout=DropoutRates(**{place: 0.1}))
