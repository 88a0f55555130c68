"""One model of several series, from the command line to forecasts, scores and the report."""

import csv
import json

import pytest
import torch

from src.data import PriceDataModule
from src.reporting.forecast_tables import forecast_table
from src.reporting.report import report_on
from src.runs.evaluation import score_run
from src.runs.opening import open_run
from src.serving.forecasts import forecasts
from tests.conftest import report_of
from tests.data.reading.market import bar, make_bars, table

HEAD = ("Date", "Open", "High", "Low", "Close", "Volume")
PRESET = ("experiment=price_lstm", "data.context_length=5", "data.batch_size=8")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "prices"
    path.mkdir()
    for name, price in (("PETR4", 35.0), ("VALE3", 6000.0)):
        rows = bar(make_bars(count=150, price=price, seed=int(price)))
        (path / f"{name}.csv").write_text(table([HEAD, *rows]))
    return path


@pytest.fixture
def run_folder(tiny_run, folder):
    return tiny_run(*PRESET, f"data.path={folder}", "trainer.limit_test_batches=1.0")


def test_scores_stand_by_series_and_over_all_beside_tomorrow_is_today(tiny_run, folder, capsys):
    run_folder = tiny_run(*PRESET, f"data.path={folder}", "trainer.limit_test_batches=1.0")
    test = report_of(run_folder)["test"]
    assert list(test["series"]) == ["PETR4", "VALE3"]
    with (run_folder / "forecasts.csv").open() as file:
        rows = list(csv.DictReader(file))
    for ticker, scores in test["series"].items():
        own = [row for row in rows if row["ticker"] == ticker]
        errors = [float(row["price"]) - float(row["last_price"]) for row in own]
        rmse = (sum(e * e for e in errors) / len(own)) ** 0.5
        assert scores["windows"] == len(own)
        assert scores["baseline"]["rmse"] == pytest.approx(rmse, rel=1e-6)
    assert test["series"]["VALE3"]["model"]["rmse"] > test["model"]["rmse"]
    shown = capsys.readouterr().out
    assert "Test scores by series" in shown
    assert "PETR4: 150 bars" in shown


def test_the_comparison_has_a_table_of_the_series(run_folder):
    report = report_on([str(run_folder)])
    assert list(report.comparisons[0].daily.series) == ["PETR4", "VALE3"]
    assert len(report.comparisons[0].daily.date) == 18
    page = (run_folder.parent / "comparison.html").read_text()
    assert "Each series by itself" in page


def test_a_run_opened_again_scores_and_forecasts_as_it_did(run_folder, folder):
    from tests.runs.test_opening import _trainer

    again = score_run(str(run_folder), "test", _trainer())
    assert again["series"] == report_of(run_folder)["test"]["series"]
    (folder / "NEW.csv").write_text((folder / "PETR4.csv").read_text())
    told = forecasts(str(run_folder), str(folder), windows=2)
    assert [row["ticker"] for row in told["forecasts"]] == ["PETR4"] * 2 + ["VALE3"] * 2
    assert forecast_table(told).columns[0].header == "ticker"
    with (run_folder / "forecasts.csv").open() as file:
        kept = {(r["ticker"], r["date"]): r["predicted_price"] for r in csv.DictReader(file)}
    every = forecasts(str(run_folder), str(folder), windows="all")["forecasts"]
    days = [row["last_day"] for row in every if row["ticker"] == "VALE3"]
    own = [row for row in every if row["ticker"] == "VALE3"]
    for before, day in zip(own, days[1:], strict=False):
        if ("VALE3", day) in kept:
            expected = float(kept["VALE3", day])
            assert before["predicted_price"] == pytest.approx(expected, rel=1e-6)


def test_prices_without_a_name_need_a_ticker(run_folder, folder, tmp_path):
    path = tmp_path / "my.csv"
    path.write_text((folder / "VALE3.csv").read_text())
    with pytest.raises(ValueError, match=r"found none of PETR4, VALE3; data.ticker=PETR4 takes"):
        forecasts(str(run_folder), str(path))
    from src.data.reading.sources import ReadOptions

    named = forecasts(str(run_folder), str(path), ReadOptions(ticker="VALE3"))["forecasts"]
    assert named == forecasts(str(run_folder), str(folder / "VALE3.csv"))["forecasts"]
    with pytest.raises(ValueError, match=r"several series.*ticker=PETR4 takes the prices"):
        _ = open_run(run_folder).predictor


def test_a_file_that_changed_is_named(run_folder, folder):
    path = folder / "VALE3.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-3]) + "\n")
    run = open_run(run_folder)
    difference = run.other_prices(run.datamodule)
    assert difference.endswith(
        "VALE3.csv, VALE3: 147 rows instead of 150, to 2024-06-11 instead of 2024-06-14"
    )


def test_no_training_batch_mixes_what_it_shows(folder):
    data = PriceDataModule(path=str(folder), context_length=5, batch_size=16, input="price")
    data.setup()
    closes = torch.tensor(data.closes, dtype=torch.float32)
    for batch in data.train_dataloader():
        rows = batch.index[:, None] - torch.arange(5, 0, -1)
        shown = data.input_scaling(closes[rows][..., None], batch.series)
        assert torch.equal(shown, batch.x)


@pytest.mark.slow
def test_a_run_on_several_is_exported_for_one(run_folder, tmp_path):
    from src.serving.formats import export_run

    with pytest.raises(ValueError, match="ticker=PETR4 takes"):
        export_run(str(run_folder), str(tmp_path / "out"))
    target, _ = export_run(str(run_folder), str(tmp_path / "out"), "VALE3")
    said = json.loads((target / "config.json").read_text())
    assert "series" not in said["data"]
    scaling = open_run(run_folder).facts.of_series("VALE3").target_scaling
    assert said["data"]["target_scaling"]["scale"] == scaling.scale
