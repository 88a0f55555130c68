from types import SimpleNamespace

import numpy as np
import pytest
import torch

from src.models.fitted.fitted import Windows
from src.models.fitted.volatility import Garch, Har, garch_filter, log_means
from tests.models.fitted.series import T, windows_of

PLAIN = SimpleNamespace(feature=0, scale=1.0, offset=0.0)
RAW = SimpleNamespace(
    horizon=1,
    log_closes=lambda x_btf: x_btf[:, :, 0].double(),
    scaled=lambda logs: logs,
    raw=lambda scaled: scaled,
)


def persistent_logs(n):
    """Return log variances that follow their mean over 1 and 5 bars, with noise."""
    noise = 0.3 * torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logs = [0.0] * 5
    for surprise in noise.tolist():
        week = np.log(np.mean(np.exp(logs[-5:])))
        logs.append(0.5 * logs[-1] + 0.4 * week + surprise)
    return torch.tensor(logs[5:], dtype=torch.float64)


def variance_windows(logs, steps=T):
    return Windows(logs.unfold(0, steps, 1)[:-1].unsqueeze(-1), logs[steps:].unsqueeze(1))


def test_means_of_a_variance_are_of_the_variance_and_not_of_its_log():
    means = log_means(torch.tensor([[1.0, 2.0, 6.0]]).log(), [1, 2, 3]).exp()
    assert means[0].tolist() == pytest.approx([6.0, 4.0, 3.0])


def test_har_finds_the_weights_of_day_and_week():
    logs = persistent_logs(6000)
    part = variance_windows(logs)
    model = Har(1, T, lengths=[1, 5], powers=[0.0], persistence=PLAIN)
    model.fit(part, part, "volatility")
    assert model.weight.tolist() == pytest.approx([0.5, 0.4], abs=0.05)


def test_har_of_the_variance_itself_is_a_plain_regression():
    part = variance_windows(persistent_logs(500))
    model = Har(1, T, lengths=[1, 5], powers=[1.0], persistence=PLAIN)
    model.fit(part, part, "volatility")
    variance = part.x[:, :, 0].exp().numpy()
    design = np.column_stack([variance[:, -1], variance[:, -5:].mean(1), np.ones(len(variance))])
    target = part.y[:, 0].exp().numpy()
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    own = (model(part.x).preds[:, 0] - model.shift).exp().numpy()
    np.testing.assert_allclose(own, design @ solution, rtol=1e-6)


def test_har_is_chosen_by_the_loss_of_a_variance_and_reads_no_more_than_a_window():
    part = variance_windows(persistent_logs(500), steps=10)
    model = Har(1, 10, persistence=PLAIN)
    assert model.lengths == [1, 5, 10]
    fit = model.fit(part, part, "volatility")
    off = part.y - model(part.x).preds
    best = min(row["val_loss"] for row in fit.tried)
    assert (off.exp() - off - 1).mean().item() == pytest.approx(best)


def test_a_variance_is_never_forecast_below_the_lowest_that_was_seen():
    part = variance_windows(persistent_logs(500))
    model = Har(1, T, lengths=[1], powers=[1.0], persistence=PLAIN)
    model.fit(part, part, "volatility")
    model.take({"weight": torch.tensor([-50.0])})
    floor = part.y.min() + model.shift
    assert model(part.x).preds.min().item() == pytest.approx(floor.item())


def garch_returns(n, constant=0.1, surprise=0.15, memory=0.75):
    noise = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    variance, returns, variances = 1.0, [], []
    for one in noise.tolist():
        variances.append(variance)
        returns.append(one * variance**0.5)
        variance = constant + surprise * returns[-1] ** 2 + memory * variance
    return torch.tensor(returns), torch.tensor(variances)


def test_the_filter_agrees_with_a_loop_by_hand():
    number = torch.tensor
    found = garch_filter(
        number([[2.0, -1.0]]), number(1.0), number(0.1), number(0.2), number(0.3), number(0.5)
    )
    # 0.1 + 0.2 * 4 + 0.5 * 1 = 1.4; then 0.1 + (0.2 + 0.3) * 1 + 0.5 * 1.4
    assert found.tolist() == pytest.approx([1.3])


def test_garch_recovers_the_variance_that_made_the_returns():
    returns, variances = garch_returns(4000)
    part = windows_of(returns)
    part = Windows(part.x, variances[T - 1 :, None].log())
    model = Garch(1, T, forms=["garch"], history=RAW)
    assert model.fit(part, part, "volatility").chosen == {"form": "garch"}
    assert model.surprise.item() == pytest.approx(0.15, abs=0.04)
    assert model.memory.item() == pytest.approx(0.75, abs=0.06)
    assert (model(part.x).preds - part.y).abs().mean().item() < 0.06


def test_garch_over_several_bars_goes_back_to_its_mean():
    ahead = SimpleNamespace(**{**vars(RAW), "horizon": 3})
    model = Garch(1, 3, history=ahead)
    given = {"constant": 0.2, "surprise": 0.2, "memory": 0.6, "start": 2.0}
    model.take({name: torch.tensor(value) for name, value in given.items()})
    # No return: 0.2 + 0.6 * 2 = 1.4, then 0.2 + 0.6 * 1.4 = 1.04; expected 0.2 + 0.8 * that ...
    variances = [1.04, 0.2 + 0.8 * 1.04, 0.2 + 0.8 * (0.2 + 0.8 * 1.04)]
    assert model(torch.zeros(1, 3, 1)).preds.exp().item() == pytest.approx(np.mean(variances))


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="powers must be from 0 to 1, got"):
        Har(1, T, powers=[2.0], persistence=PLAIN)
    with pytest.raises(ValueError, match="forms must be of garch, gjr, got"):
        Garch(1, T, forms=["figarch"], history=RAW)
    with pytest.raises(ValueError, match="model=garch reads past closes"):
        Garch(129, 20)
    with pytest.raises(ValueError, match="model=har needs one series"):
        Har(1, T)
