from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as Reference

from src.models.fitted.fitted import Windows
from src.models.fitted.linear import Drift, Ridge, logistic_path, ridge_path

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(200, 4, 3, generator=GENERATOR)


def parts(y):
    return Windows(X[:150], y[:150]), Windows(X[150:], y[150:])


def test_drift_adds_the_mean_change_to_today():
    model = Drift(3, 4, persistence=SimpleNamespace(feature=1, scale=10.0, offset=0.5))
    x, y = torch.zeros(2, 4, 3), torch.tensor([[1.5], [3.5]])
    fit = model.fit(Windows(x, y), Windows(x, y))
    assert (fit.chosen, fit.tried) == ({}, [{"val_loss": 1.0}])
    today = torch.full((1, 4, 3), 7.0)
    assert model(today).preds.tolist() == [[72.5]]  # 10 * 7 + 0.5, and a mean change of 2


def test_ridge_finds_a_linear_map_of_the_last_step_and_reads_no_more_than_it_needs():
    y = (2 * X[:, -1, :1] - X[:, -1, 2:] + 3).double()
    y += 0.5 * torch.randn(200, 1, generator=GENERATOR)
    model = Ridge(3, 4, alphas=[1e-4, 1e-2, 1.0], steps=[1, 4])
    fit = model.fit(*parts(y))
    assert fit.chosen["steps"] == 1
    assert len(fit.tried) == 6
    assert bool((model.weight[:-1] == 0).all())
    assert model.weight[-1, :, 0].tolist() == pytest.approx([2, 0, -1], abs=0.15)
    assert model.bias.item() == pytest.approx(3, abs=0.15)


def test_ridge_equals_that_of_scikit_learn_on_standardised_features():
    x, y = X[:, 0].double().numpy(), X[:, 1, :1].double().numpy()
    standard = (x - x.mean(0)) / x.std(0)
    expected = Reference(alpha=0.3 * len(x)).fit(standard, y).predict(standard)
    ((_, weight, bias),) = ridge_path(torch.from_numpy(x), torch.from_numpy(y), [0.3])
    own = x @ weight.numpy() + bias.numpy()
    np.testing.assert_allclose(own.ravel(), expected.ravel(), atol=1e-10)


def test_ridge_gives_a_constant_feature_no_weight():
    x, y = X[:, 0].double(), X[:, 1, :1].double()
    x[:, 1] = 7.0
    ((_, weight, _),) = ridge_path(x, y, [0.1])
    assert weight[1, 0].item() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphas": [0.0]}, "alphas must be numbers above 0"),
        ({"alphas": []}, "alphas must be numbers above 0"),
        ({"steps": [0]}, "steps must be whole numbers above 0"),
        ({"steps": []}, "steps must be whole numbers above 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Ridge(3, 4, **options)


def test_a_regression_on_too_many_features_is_refused_before_it_is_solved():
    with pytest.raises(ValueError, match="100 steps of 200 features are 20,000 numbers"):
        Ridge(200, 100, steps=[100])


def test_fitted_models_take_no_mask():
    with pytest.raises(ValueError, match="Ridge is fitted to whole windows"):
        Ridge(3, 4)(X, torch.ones(200, 4, dtype=torch.bool))


def test_no_candidate_with_a_finite_loss_is_an_error():
    y = torch.full((200, 1), float("nan"))
    with pytest.raises(ValueError, match="none of 8 candidates"):
        Ridge(3, 4, steps=[1]).fit(*parts(y))


def test_several_numbers_are_each_a_regression_of_its_own():
    y = torch.cat([X[:, -1, :1], 2 * X[:, -1, 1:2]], dim=1)
    model = Ridge(3, 4, alphas=[1e-4], steps=[1], num_outputs=2)
    model.fit(*parts(y))
    expected = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]).double()
    torch.testing.assert_close(model.weight[-1].data, expected, atol=1e-3, rtol=0)


def test_drift_of_several_bars_is_the_mean_change_to_each():
    persistence = SimpleNamespace(feature=0, scale=0.0, offset=(0.0, 0.0))
    model = Drift(3, 4, persistence=persistence, num_outputs=2)
    part = Windows(torch.zeros(2, 4, 3), torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    model.fit(part, part)
    assert model(torch.zeros(1, 4, 3)).preds.tolist() == [[2.0, 4.0]]


def test_a_direction_is_a_logistic_regression_as_that_of_scikit_learn():
    x = X[:, 0].double()
    y = (x[:, :1] + torch.randn(200, 1, generator=GENERATOR) > 0).double()
    standard = ((x - x.mean(0)) / x.std(0, correction=0)).numpy()
    reference = LogisticRegression(C=1 / (0.1 * len(x)), tol=1e-10).fit(standard, y[:, 0].numpy())
    ((_, weight, bias),) = logistic_path(x, y, [0.1])
    own = (x @ weight + bias)[:, 0].numpy()
    np.testing.assert_allclose(own, reference.decision_function(standard), atol=1e-5)


def test_a_variance_is_shifted_to_where_its_ratio_to_the_forecast_is_one():
    y = X[:, -1, :1].double() + 0.8 * torch.randn(200, 1, generator=GENERATOR)
    model = Ridge(3, 4, alphas=[1e-2], steps=[1])
    train, val = parts(y)
    model.fit(train, val, "volatility")
    ratio = (train.y - model(train.x).preds).exp().mean()
    assert ratio.item() == pytest.approx(1.0)
    assert model.shift.item() > 0.1  # half the variance of the noise, were it normal


def test_a_model_says_what_targets_it_has():
    drift = Drift(3, 4, persistence=SimpleNamespace(feature=0, scale=0.0, offset=0.0))
    with pytest.raises(ValueError, match=r"model=drift needs data\.target=log_return or price"):
        drift.refuse("volatility")
    drift.refuse("price")
