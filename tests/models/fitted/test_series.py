import numpy as np
import pytest
import torch

from src.models.fitted.series import (
    Arima,
    Autoregression,
    SeasonalNaive,
    autoregressive_form,
    cumulative,
)
from tests.models.fitted.series import PLAIN, T, autoregressive, windows_of


def test_seasonal_naive_repeats_the_return_of_a_season_ago():
    season = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).repeat(20)
    part = windows_of(season)
    model = SeasonalNaive(1, T, seasons=[4, 5], history=PLAIN)
    fit = model.fit(part, part)
    assert fit.chosen == {"season": 5}
    torch.testing.assert_close(model(part.x).preds, part.y)


def test_seasonal_naive_adds_up_the_returns_over_the_horizon():
    part = windows_of(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).repeat(20), horizon=2)
    model = SeasonalNaive(1, T, seasons=[5], history=PLAIN, num_outputs=2)
    model.fit(part, part)
    torch.testing.assert_close(model(part.x).preds, part.y)


def test_a_season_longer_than_the_window_is_refused():
    with pytest.raises(ValueError, match=r"seasons must hold one of 1 to 29 bars, got .30, 252."):
        SeasonalNaive(1, T, seasons=[30, 252], history=PLAIN)


def test_an_autoregression_finds_the_coefficient_of_a_series_that_has_one():
    part = windows_of(autoregressive(4000, 0.6, mean=1.0))
    model = Autoregression(1, T, lags=[1, 2, 5], history=PLAIN)
    model.fit(part, part)
    assert model.weight[-1].item() == pytest.approx(0.6, abs=0.03)
    mean = model.bias.item() / (1 - model.weight.sum().item())
    assert mean == pytest.approx(1.0, abs=0.1)


def test_arima_forecasts_as_statsmodels_does_from_the_same_window():
    from statsmodels.tsa.arima.model import ARIMA

    returns = autoregressive(600, 0.5, mean=0.2)
    part = windows_of(returns)
    model = Arima(1, T, p=[1], q=[1], history=PLAIN)
    assert model.fit(part, part).chosen == {"p": 1, "d": 1, "q": 1}
    known = returns[:-1].numpy()  # the last return is nobody's past
    fitted = ARIMA(known / known.std(), order=(1, 0, 1), trend="c").fit()
    expected = fitted.forecast()[0] * known.std()
    own = model(part.x[-1:]).preds.item()
    ahead = fitted.apply(known[-T:] / known.std()).forecast()[0] * known.std()
    assert own == pytest.approx(expected, rel=1e-3)
    assert own == pytest.approx(ahead, rel=0.05)


def test_arima_forecasts_several_steps_ahead_as_statsmodels_does():
    from statsmodels.tsa.arima.model import ARIMA

    returns = autoregressive(600, 0.5, mean=0.2)
    part = windows_of(returns, horizon=3)
    model = Arima(1, T, p=[1], q=[0], history=PLAIN, num_outputs=3)
    model.fit(part, part)
    known = returns[:-3].numpy()
    expected = ARIMA(known, order=(1, 0, 0), trend="c").fit().forecast(3).cumsum()
    assert model(part.x[-1:]).preds[0].tolist() == pytest.approx(expected.tolist(), rel=1e-3)


def test_the_autoregressive_form_of_a_moving_average_alternates():
    form = autoregressive_form(np.array([]), np.array([0.5]), 4)
    np.testing.assert_allclose(form, [0.5, -0.25, 0.125, -0.0625])


def test_an_autoregression_is_its_own_autoregressive_form():
    form = autoregressive_form(np.array([0.5, -0.2]), np.array([]), 4)
    np.testing.assert_allclose(form, [0.5, -0.2, 0, 0])


def test_forecasts_further_ahead_are_fed_with_those_before():
    # One ahead 0.5 a; two ahead 0.25 a; three ahead 0.125 a.
    np.testing.assert_allclose(cumulative(np.array([0.5, 0.0, 0.0]), 3)[0], [0.5, 0.75, 0.875])


def test_an_autoregression_of_several_bars_is_one_regression_for_each():
    part = windows_of(autoregressive(4000, 0.6), horizon=2)
    model = Autoregression(1, T, lags=[1], history=PLAIN, num_outputs=2)
    model.fit(part, part)
    # To the second bar 0.6 and 0.36 of the latest return.
    assert model.weight[-1].tolist() == pytest.approx([0.6, 0.96], abs=0.05)


@pytest.mark.parametrize("model", [SeasonalNaive, Autoregression, Arima])
def test_windows_without_closes_are_refused(model):
    with pytest.raises(ValueError, match=f"model={model.name} reads past closes.*data=prices"):
        model(129, 20, history=None)


def test_arima_refuses_orders_that_take_for_ever():
    with pytest.raises(ValueError, match="p must be orders of 0 to 5"):
        Arima(1, T, p=[6], history=PLAIN)
