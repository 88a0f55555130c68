"""What came after a window, and the scale it is learnt on, by hand."""

import numpy as np
import pytest
import torch

from src.data import PriceDataModule
from src.data.targets import (
    TARGETS,
    Target,
    TargetScaling,
    fit_outcome_scaling,
    outcomes,
    persistence_of,
)
from src.models.regressor import NaiveRegressor

CLOSES = np.array([1.0, 2.0, 4.0, 3.0, 5.0])


def test_a_horizon_tells_the_closes_of_each_of_its_bars():
    known = outcomes(CLOSES, 2, Target(horizon=2))
    assert known.price.tolist() == [[4.0, 3.0], [3.0, 5.0]]
    assert known.last_price.tolist() == [[2.0], [4.0]]
    assert known.actual is known.price


def test_a_direction_is_up_where_the_last_of_the_bars_lies_above_today():
    known = outcomes(CLOSES, 2, Target("direction", 2))
    assert known.actual.tolist() == [[1.0], [1.0]]
    assert outcomes(CLOSES, 2, Target("direction", 1)).actual.tolist() == [[1.0], [0.0], [1.0]]


def test_volatility_is_the_mean_variance_of_the_bars_to_come_beside_that_of_as_many_before():
    variance = np.array([1.0, 3.0, 5.0, 9.0, 1.0])
    known = outcomes(CLOSES, 2, Target("volatility", 2), variance)
    assert known.actual.tolist() == [[7.0], [5.0]]
    assert known.reference.tolist() == [[2.0], [4.0]]


def test_a_change_to_a_later_bar_is_scaled_as_the_sum_of_steps_of_a_random_walk():
    scaling = TargetScaling("residual", 0.5, 2.0)
    actual, today = torch.tensor([[12.0, 13.0, 14.0, 20.0]]), torch.tensor([[10.0]])
    scaled = scaling.to_scaled(actual, today)
    # (2 - 0.5) / 2, (3 - 1) / (2 sqrt 2), (4 - 1.5) / (2 sqrt 3), (10 - 2) / 4
    torch.testing.assert_close(scaled, torch.tensor([[0.75, 0.5**0.5, 1.25 / 3**0.5, 2.0]]))
    torch.testing.assert_close(scaling.to_price(scaled, today), actual)


def test_a_variance_loses_the_mean_of_its_log_and_a_direction_keeps_its_log_odds():
    fitted = fit_outcome_scaling("volatility", torch.tensor([[1.0], [np.e**2]]).double())
    assert (fitted.offset, fitted.scale) == (pytest.approx(1.0), 1.0)
    assert fitted.to_scaled(torch.tensor([[np.e]]), None).item() == pytest.approx(0.0, abs=1e-6)
    odds = fit_outcome_scaling("direction", torch.tensor([[1.0], [0.0], [1.0], [1.0]]))
    assert odds.offset == pytest.approx(np.log(4 / 2))
    assert odds.to_price(torch.tensor([[0.0]]), None).item() == 0.5


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("target", [t for t in TARGETS if t != "price"])
def test_no_window_and_no_outcome_reaches_into_another_part(target, horizon):
    data = PriceDataModule(target=target, horizon=horizon, context_length=10)
    data.setup()
    parts = data.rows[0]
    for name, dataset in data.datasets.items():
        rows = parts[name]
        assert int(dataset.index[0]) - 10 == rows.start
        assert int(dataset.index[-1]) + horizon == rows.stop
        assert len(dataset) == len(rows) - 10 - horizon + 1
        assert bool(dataset.y.isfinite().all())
        assert dataset.price.shape == (len(dataset), horizon)


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("target", ["log_return", "residual", "price", "volatility", "direction"])
def test_the_model_that_learns_nothing_forecasts_the_reference(target, horizon):
    price = {"input": "price"} if target == "price" else {}
    data = PriceDataModule(target=target, horizon=horizon, **price)
    data.setup()
    batch = next(iter(data.test_dataloader()))
    outputs = data.forecast.num_outputs
    naive = NaiveRegressor(data.num_features, 60, persistence=data.persistence, num_outputs=outputs)
    forecast = data.to_price(naive(batch.x).preds, batch.reference)
    assert forecast.shape == batch.actual.shape
    torch.testing.assert_close(forecast, batch.reference.expand_as(forecast), rtol=1e-4, atol=0)


def test_persistence_of_volatility_leaves_padded_steps_out():
    persistence = persistence_of(
        TargetScaling("volatility", 0.0, 1.0), Target("volatility", 2), [_unscaled()]
    )
    naive = NaiveRegressor(1, 4, persistence=persistence)
    x = torch.tensor([1.0, 2.0, 4.0, 8.0]).log().view(1, 4, 1)
    assert naive(x).preds.exp().item() == pytest.approx(6.0)
    mask = torch.tensor([[True, True, True, False]])
    assert naive(x, mask).preds.exp().item() == pytest.approx(3.0)


def _unscaled():
    from src.data.scaling import Scaling

    return Scaling("log_variance", 0.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"horizon": 0}, "horizon must be an int of at least 1, got 0"),
        ({"target": "volatility", "volatility_estimator": "x"}, "volatility_estimator must be one"),
        ({"target": "volatility", "horizon": 61}, "horizon must be at most context_length"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_their_value(settings, words):
    with pytest.raises(ValueError, match=words):
        PriceDataModule(**settings)


def test_bars_that_did_not_move_are_counted_for_who_forecasts_their_variance(tmp_path):
    days = np.arange("2020-01-01", "2020-07-01", dtype="datetime64[D]")
    still = [f"{day},5,5,5,5" if n % 10 == 0 else f"{day},5,6,4,5" for n, day in enumerate(days)]
    file = tmp_path / "prices.csv"
    file.write_text("\n".join(["date,open,high,low,close", *still]) + "\n")
    options = {"path": str(file), "context_length": 10, "accept": ["constant"]}
    data = PriceDataModule(**options, target="volatility")
    data.setup()
    (note,) = data.notes
    assert "19 of 182 bars did not move: their variance counts as 1e-10" in note
    data = PriceDataModule(**options)
    data.setup()
    assert data.notes == ()


def test_too_few_rows_for_a_horizon_are_refused(tmp_path):
    days = np.arange("2020-01-01", "2020-05-01", dtype="datetime64[D]")
    lines = [f"{day},{100 + n % 7}" for n, day in enumerate(days)]
    file = tmp_path / "prices.csv"
    file.write_text("\n".join(["date,close", *lines]) + "\n")
    data = PriceDataModule(path=str(file), context_length=10, horizon=20)
    with pytest.raises(ValueError, match="every split needs a window of 10 and its target"):
        data.setup()
