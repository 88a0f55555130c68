"""Runs on each kind of target: trained, scored beside no model, written, evaluated, diagnosed."""

import csv
import math

import numpy as np
import pytest

from src.data import load_prices
from src.data.reading.sources import BAR_COLUMNS
from src.runs.diagnosis import diagnose_run
from src.runs.opening import open_run
from src.serving.forecasts import forecasts
from src.serving.formats import export_run
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


def forecasts_of(folder, **options):
    return forecasts(str(folder), path=str(options.pop("path")), **options)


@pytest.fixture(scope="module")
def bars_csv(tmp_path_factory):
    """Write the last 200 bars of the S&P 500 to a file."""
    table = load_prices("sp500", columns=BAR_COLUMNS)
    rows = np.column_stack([table.columns[name] for name in BAR_COLUMNS])[-200:].tolist()
    days = [str(day)[:10] for day in table.dates[-200:]]
    lines = [",".join([day, *map(repr, row)]) for day, row in zip(days, rows, strict=True)]
    path = tmp_path_factory.mktemp("csv") / "bars.csv"
    path.write_text("\n".join(["Date,Open,High,Low,Close,Volume", *lines]) + "\n")
    return path


@EVERY
def test_a_file_tells_what_came_and_what_no_model_says_as_the_runs_own_data_do(
    kept_run, bars_csv, target
):
    folder = run_on(kept_run, target)
    before, came = COLUMNS[target][-3:-1]
    rows = forecasts_of(folder, path=bars_csv, windows=6)["forecasts"]
    last = [row for row in rows if row.get("step", 3) == 3]
    assert len(rows) == (18 if target == "log_return" else 6)
    assert [row[came] is None for row in last] == [False] * 3 + [True] * 3
    kept = open_run(folder).datamodule.datasets["test"]
    for n, row in enumerate(last[:3]):
        batch = kept[len(kept) - 3 + n]
        assert row[came] == pytest.approx(batch.actual[0, -1].item(), rel=1e-5)
        assert row[before] == pytest.approx(batch.reference[0, 0].item(), rel=1e-5)


def test_quantiles_of_a_distribution_are_those_of_its_interval(kept_run, bars_csv):
    folder = run_on(kept_run, "volatility", "output=quantile")
    (row,) = forecasts_of(folder, path=bars_csv, level=0.8)["forecasts"]
    assert row["interval"] == [row["quantiles"]["0.1"], row["quantiles"]["0.9"]]
    with pytest.raises(ValueError, match=r"level: the quantiles of this run make intervals of"):
        forecasts_of(folder, path=bars_csv, level=0.77)


@EVERY
def test_what_carries_one_price_alone_says_so(kept_run, target):
    folder = run_on(kept_run, target)
    with pytest.raises(ValueError, match=r"an export takes a run that forecasts the next price"):
        export_run(str(folder))


@EVERY
def test_an_opened_run_names_what_it_is_compared_with_and_draws_itself(
    kept_run, target, monkeypatch
):
    run = open_run(run_on(kept_run, target))
    named = {"log_return": "tomorrow = today", "volatility": "as before", "direction": "base rate"}
    assert list(run.scores) == ["model", named[target], "ratio"]
    assert list(run.forecasts.columns) == COLUMNS[target][1:]
    monkeypatch.setattr("src.runs.record.FORECAST_PICTURE", "not-kept.png")
    assert run.plot().size[0] > 100
