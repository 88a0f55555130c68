"""Baselines as runs: fitted, tuned, tested, kept, opened again."""

import importlib.util

import pytest
import torch

from src.runs.evaluation import score_run
from src.runs.opening import open_run
from src.runs.run import run
from tests.conftest import TINY, report_of

FITTED = (
    ("model=drift",),
    ("model=seasonal_naive",),
    ("model=autoregression",),
    ("model=ridge", "model.steps=[1,5]"),
    ("model=exponential_smoothing", "model.forms=[simple]"),
    ("model=arima", "model.p=[1]", "model.q=[0]"),
    ("model=boosting", "model.trees=20", "model.leaves=[4]", "model.steps=[5]"),
)


OF_VARIANCES = (
    ("model=har",),
    ("model=garch", "model.forms=[garch]"),
    ("model=ridge", "model.steps=[5]"),
    ("model=boosting", "model.trees=20", "model.learning_rates=[0.2]", "model.steps=[5]"),
)


@pytest.mark.parametrize("options", OF_VARIANCES, ids=lambda options: options[0])
def test_baselines_of_volatility_beat_the_variance_of_the_bar_before(tiny_run, options):
    whole = ("trainer.limit_val_batches=null", "trainer.limit_test_batches=null")
    report = report_of(tiny_run("data=prices", "data.target=volatility", *options, *whole))
    assert report["test"]["ratio"]["qlike"] < 0.75
    best = min(row["val_loss"] for row in report["fitting"]["tried"])
    assert report["best"]["val_loss"] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize(
    "options", [("model=ridge", "model.steps=[5]"), OF_VARIANCES[3]], ids=lambda options: options[0]
)
def test_baselines_forecast_a_direction_as_a_probability(tiny_run, options):
    report = report_of(tiny_run("data=prices", "data.target=direction", *options))
    assert 0.9 < report["test"]["ratio"]["log_loss"] < 1.1


@pytest.mark.parametrize("options", FITTED, ids=lambda options: options[0])
def test_baselines_forecast_several_bars_at_once(tiny_run, options):
    report = report_of(tiny_run("data=prices", "data.horizon=3", *options))
    assert list(report["test"]["steps"]) == ["1", "2", "3"]
    assert 0.9 < report["test"]["ratio"]["rmse"] < 1.6


@pytest.mark.parametrize("options", FITTED, ids=lambda options: options[0])
def test_a_baseline_leaves_a_run_that_opens_and_forecasts_again(tiny_run, options):
    folder = tiny_run("data=prices", *options)
    report = report_of(folder)
    assert report["status"] == "finished"
    assert report["fitting"]["tried"][0]["val_loss"] > 0
    assert 0.9 < report["test"]["ratio"]["rmse"] < 1.6
    assert {"report.json", "forecasts.csv", "config.yaml"} <= {f.name for f in folder.iterdir()}
    opened = open_run(folder)
    torch.manual_seed(0)
    closes = (100 * torch.randn(60).mul(0.01).cumsum(0).exp()).tolist()
    forecast = opened.predict(closes)
    assert forecast["low"] < forecast["predicted_price"] < forecast["high"]
    assert forecast["predicted_price"] == pytest.approx(closes[-1], rel=0.2)


def test_a_baseline_scores_again_as_it_did(tiny_run, composed):
    folder = tiny_run("data=prices", "model=autoregression", "trainer.limit_test_batches=null")
    config, _ = composed("trainer=cpu", "logger=none")
    again = score_run(str(folder), "test", config)
    assert again["model"] == report_of(folder)["test"]["model"]


def test_what_was_tuned_is_said_while_it_runs(tiny_run):
    folder = tiny_run("data=prices", "model=autoregression")
    log = (folder / "train.log").read_text()
    assert "Fitted to the training part; lags=" in log
    assert "the best of 5 by validation loss" in log
    assert "src.diagnose" not in log  # there is no gradient to look at


def test_a_missing_package_is_one_line_with_the_command_that_installs_it(composed, monkeypatch):
    found = importlib.util.find_spec
    hidden = lambda name, *rest: None if name == "sklearn" else found(name, *rest)  # noqa: E731
    monkeypatch.setattr("src.models.fitted.fitted.find_spec", hidden)
    config, choices = composed(*TINY, "model=boosting")
    with pytest.raises(ValueError, match=r"fitted with scikit-learn: pip install scikit-learn$"):
        run(config, choices, [])


def test_models_of_a_series_say_what_data_they_need(composed):
    config, choices = composed(*TINY, "model=arima")
    with pytest.raises(ValueError, match=r"model=arima reads past closes.*it needs data=prices"):
        run(config, choices, [])


def test_models_of_one_kind_of_target_say_which(composed):
    config, choices = composed(*TINY, "model=har", "data=prices")
    with pytest.raises(ValueError, match=r"model=har needs .*data\.target=volatility"):
        run(config, choices, [])


def test_ridge_takes_bars_too(tiny_run):
    report = report_of(tiny_run("data=bars", "model=ridge", "model.steps=[1]"))
    assert report["fitting"]["chosen"]["steps"] == 1
