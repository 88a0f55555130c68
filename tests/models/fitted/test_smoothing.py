import pytest
import torch

from src.models.fitted.smoothing import ExponentialSmoothing, smooth
from tests.models.fitted.series import PLAIN, T, autoregressive, windows_of


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def test_a_level_that_takes_on_everything_is_the_last_value():
    values = torch.tensor([[1.0, 5.0, 2.0]], dtype=torch.float64)
    level, _ = smooth(values, number(1.0), number(0.0), number(1.0), number(0.0))
    assert level.tolist() == [2.0]


def test_a_trend_follows_a_straight_line_without_surprise():
    values = torch.arange(5, dtype=torch.float64).unsqueeze(0)
    level, trend = smooth(values, number(0.3), number(0.1), number(1.0), number(1.0))
    assert (level.item(), trend.item()) == pytest.approx((4.0, 1.0))


def test_smoothing_forecasts_as_statsmodels_does_at_the_end_of_its_series():
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    returns = autoregressive(800, -0.4, mean=0.1)
    part = windows_of(returns)
    model = ExponentialSmoothing(1, T, forms=["simple"], history=PLAIN)
    assert model.fit(part, part).chosen == {"form": "simple"}
    closes = torch.cat([torch.zeros(1), returns.cumsum(0)]).numpy()[:-1]
    fitted = ETSModel(closes).fit(disp=False)
    own = model(part.x[-1:]).preds.item()
    assert own == pytest.approx(fitted.forecast(1)[0] - closes[-1], rel=1e-3)


def test_the_validation_part_chooses_a_trend_where_there_is_one():
    part = windows_of(2.0 + 0.1 * autoregressive(400, 0.0))
    model = ExponentialSmoothing(1, T, history=PLAIN)
    fit = model.fit(part, part)
    assert fit.chosen["form"] != "simple"
    assert {row["form"] for row in fit.tried} == {"simple", "trend", "damped"}


def test_a_form_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="forms must be of simple, trend, damped, got"):
        ExponentialSmoothing(1, T, forms=["seasonal"], history=PLAIN)


def test_a_trend_that_fades_adds_up_over_the_bars_ahead():
    model = ExponentialSmoothing(1, T, history=PLAIN, num_outputs=3)
    model.take({"first_trend": number(1.0), "damping": number(0.5)})
    closes = torch.zeros(1, T, 1)
    # The level follows every close; the trend has halved with each of 29 of them.
    faded = 0.5**29
    expected = [0.5 * faded, 0.75 * faded, 0.875 * faded]
    assert model(closes).preds[0].tolist() == pytest.approx(expected)


def test_an_exported_program_takes_any_number_of_windows():
    model = ExponentialSmoothing(1, T, history=PLAIN).eval()
    windows = windows_of(autoregressive(60, 0.0)).x
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, (windows[:3],), dynamic_shapes=batch).module()
    assert torch.equal(program(windows[:7]).preds, model(windows[:7]).preds)
