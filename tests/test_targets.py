"""Runs on each kind of target: trained, scored beside no model, written, evaluated, diagnosed."""

import csv
import math

import pytest

from src.runs.diagnosis import diagnose_run
from src.runs.opening import open_run
from tests.conftest import report_of

SCORES = {
    "log_return": {"rmse", "mae", "mape", "directional_accuracy"},
    "volatility": {"qlike", "log_mse"},
    "direction": {"accuracy", "brier", "log_loss"},
}
COLUMNS = {
    "log_return": ["date", "step", "last_price", "price", "predicted_price"],
    "volatility": ["date", "last_variance", "variance", "predicted_variance"],
    "direction": ["date", "base_rate", "rose", "predicted_probability"],
}
EVERY = pytest.mark.parametrize("target", SCORES)


def run_on(kept_run, target, *more):
    return kept_run("experiment=price_lstm", f"data.target={target}", "data.horizon=3", *more)


@EVERY
def test_a_run_is_scored_beside_the_forecast_without_a_model(kept_run, target):
    test = report_of(run_on(kept_run, target))["test"]
    assert set(test["model"]) == set(test["baseline"]) == SCORES[target]
    assert all(math.isfinite(value) for value in test["model"].values())
    assert list(test.get("steps", {})) == (["1", "2", "3"] if target == "log_return" else [])


@EVERY
def test_forecasts_are_written_a_row_a_window_and_step(kept_run, target):
    folder = run_on(kept_run, target)
    rows = list(csv.reader((folder / "forecasts.csv").open()))
    assert rows[0] == COLUMNS[target]
    steps = 3 if target == "log_return" else 1
    windows = open_run(folder).datamodule.windows("test")
    assert len(rows) - 1 in (steps * windows, steps * 512)  # debug=fast tests one batch


@pytest.mark.slow
@EVERY
def test_its_gradients_are_diagnosed(kept_run, target):
    found = diagnose_run(str(run_on(kept_run, target)), 2)
    assert found["diagnosis"]["findings"] is not None
    assert found["what_if"]


@pytest.mark.parametrize("model", ["transformer_tiny", "linear", "naive"])
def test_every_model_forecasts_a_horizon(kept_run, model):
    folder = kept_run("data=prices", f"model={model}", "data.horizon=3", "norm=none")
    assert list(report_of(folder)["test"]["steps"]) == ["1", "2", "3"]


def test_closes_alone_are_refused_for_a_range_in_one_line(tiny_run, tmp_path):
    lines = [
        f"20{10 + n // 336}-{n // 28 % 12 + 1:02}-{n % 28 + 1:02},{100 + n % 9}" for n in range(900)
    ]
    file = tmp_path / "closes.csv"
    file.write_text("\n".join(["date,close", *lines]) + "\n")
    with pytest.raises(ValueError, match=r"open|high"):
        tiny_run("data=prices", f"data.path={file}", "data.target=volatility")


def test_a_score_that_the_target_does_not_have_is_no_monitor(tiny_run):
    with pytest.raises(ValueError, match=r"val/rmse is no score of data\.target=volatility"):
        tiny_run(
            "data=prices",
            "data.target=volatility",
            "callbacks.model_checkpoint.monitor=val/rmse",
        )


OUTPUTS = pytest.mark.parametrize("output", ["quantile", "student_t"])


@OUTPUTS
def test_a_distribution_is_written_and_judged_beside_the_conformal_interval(kept_run, output):
    folder = run_on(kept_run, "log_return", f"output={output}", "norm=none")
    intervals = report_of(folder)["intervals"]
    assert intervals["own"]["crps"] > 0
    assert set(intervals["own"]["intervals"]) == {"0.5", "0.8", "0.95"}
    assert set(intervals["conformal"]) <= {"0.5", "0.8", "0.95"}
    assert set(intervals["steps"]) == {"1", "2", "3"}
    header, *rows = csv.reader((folder / "forecasts.csv").open())
    assert header[:5] == COLUMNS["log_return"]
    assert (header[5], header[-1], len(header)) == ("q0.025", "q0.975", 26)
    quantiles = [[float(cell) for cell in row[5:]] for row in rows]
    assert all(own == sorted(own) for own in quantiles)


@OUTPUTS
def test_a_variance_has_a_distribution_too(kept_run, output):
    folder = run_on(kept_run, "volatility", f"output={output}")
    assert report_of(folder)["intervals"]["own"]["intervals"]["0.95"]["width"] > 0
    again = open_run(folder)
    assert again.module.output.levels[0] == 0.025


def test_a_direction_takes_no_distribution(tiny_run):
    with pytest.raises(ValueError, match="probability as it is: use output=point"):
        tiny_run("data=prices", "data.target=direction", "output=quantile")


def test_a_model_without_a_head_takes_no_distribution(tiny_run):
    with pytest.raises(ValueError, match="single numbers, no distribution: use output=point"):
        tiny_run("data=prices", "model=naive", "output=quantile")
