"""A person's own file, from the command line to the forecasts: times, odd names, odd prices."""

import csv
import json
import sys
from datetime import timedelta

import pytest

from src import train
from tests.conftest import report_of
from tests.data.reading.market import bar, cotahist, make_bars, table
from tests.data.reading.test_layouts import zipped

PRESET = ("experiment=price_lstm", "data.context_length=5", "data.batch_size=8")
HEAD = ("Date", "Open", "High", "Low", "Close", "Volume")
HOURS = make_bars(count=150, step=timedelta(hours=1))


@pytest.fixture
def hourly(write_csv):
    return write_csv(table([HEAD, *bar(HOURS, "%Y-%m-%d %H:%M")]))


@pytest.fixture
def write_csv(tmp_path):
    def write(content, name="my.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def forecasts(folder):
    with (folder / "forecasts.csv").open() as file:
        return list(csv.DictReader(file))


def test_hours_stay_hours_from_the_file_to_the_forecasts(tiny_run, hourly):
    folder = tiny_run(*PRESET, f"data.path={hourly}")
    assert forecasts(folder)[-1]["date"] == HOURS.dates[-1].strftime("%Y-%m-%d %H:%M")
    data = report_of(folder)["data"]
    assert (data["frequency"], data["train"]["first"]) == ("hourly", "2023-11-20 00:00")


def test_a_run_on_hours_refuses_days_and_speaks_of_hours(tiny_run, hourly, write_csv):
    from src.data.reading.errors import DataError
    from src.reporting.forecast_tables import forecast_table
    from src.serving.forecasts import forecasts as predict

    folder = tiny_run(*PRESET, f"data.path={hourly}")
    from src.reporting.report import report_on

    (compared,) = report_on([str(folder)]).comparisons
    assert compared.step == "hour"
    page = (folder.parent / "comparison.md").read_text()
    assert "test hours" in page
    assert "test day" not in page
    table_ = forecast_table(predict(str(folder), str(hourly)))
    assert table_.title == "Forecasts for the following hour"
    days = write_csv(table([HEAD, *bar(make_bars())]), "days.csv")
    with pytest.raises(
        DataError, match="found daily bars, expected hourly ones, which the run was"
    ):
        predict(str(folder), str(days))


def test_one_ticker_of_a_zipped_cotahist_trains(tiny_run, write_csv):
    bars = make_bars(count=150, price=37)
    path = write_csv(zipped(a=cotahist(bars).encode()), "COTAHIST_A2023.ZIP")
    folder = tiny_run(*PRESET, f"data.path={path}", "data.ticker=PETR4")
    assert float(forecasts(folder)[-1]["price"]) == pytest.approx(bars.close[-1])
    assert report_of(folder)["data"]["columns"]["close"][0] == "columns 109 to 121"


def test_a_negative_price_trains_where_nothing_takes_its_logarithm(tiny_run, write_csv):
    bars = make_bars(count=150, price=30)
    bars.close[100] = -37.63
    path = write_csv(table([("Date", "Close"), *[(r[0], r[4]) for r in bar(bars)]]))
    with pytest.raises(ValueError, match=r"found '-37.63' in Close, .*data.target=residual"):
        tiny_run(*PRESET, f"data.path={path}")
    options = ("data.target=residual", "data.input=price", "data.accept=[jump]")
    folder = tiny_run(*PRESET, f"data.path={path}", *options)
    assert report_of(folder)["status"] == "finished"
    assert json.loads((folder / "calibration.json").read_text())["is_signed"]


def test_what_is_odd_is_said_in_the_terminal_and_the_report(tiny_run, write_csv, capsys):
    rows = bar(make_bars(count=170))
    del rows[60:80]
    folder = tiny_run(*PRESET, f"data.path={write_csv(table([HEAD, *rows]))}")
    (warning,) = report_of(folder)["data"]["warnings"]
    assert warning == "gap: no bars for 31 days, from 2024-02-09 to 2024-03-11"
    assert warning in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["CL=F.csv", "^GSPC.csv", "PETR4 (1).csv", "BINANCE_BTCUSDT, 60.csv", "ETF[SPY].csv"]
)
def test_a_file_is_found_by_its_name_as_it_is(write_csv, tmp_path, monkeypatch, capsys, name):
    write_csv(table([HEAD, *bar(make_bars(count=20))]), name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", *PRESET, f"data.path={name}"])
    with pytest.raises(SystemExit, match="2"):
        train.main()
    assert f"{name}:21:1: found 20 rows of prices, expected at least" in capsys.readouterr().err


@pytest.mark.parametrize("features", ["prices", "bars"])
def test_columns_of_ones_own_go_from_the_file_to_diagnosis_and_forecasts(
    tiny_run, write_csv, features
):
    from src.runs.diagnosis import diagnose_run
    from src.runs.opening import open_run
    from src.serving.forecasts import forecasts as predict

    bars = make_bars(count=320)
    rows = [(*row, n % 7) for n, row in enumerate(bar(bars))]
    path = write_csv(table([(*HEAD, "mood"), *rows]))
    preset = ("experiment=bars_transformer", *PRESET[1:]) if features == "bars" else PRESET
    folder = tiny_run(
        *preset, f"data.path={path}", "data.extra=[mood]", "trainer.limit_test_batches=1.0"
    )
    told = predict(str(folder), str(path), windows="all")["forecasts"]
    by_day = {row["last_day"]: row["predicted_price"] for row in told}
    for before, row in zip(forecasts(folder), forecasts(folder)[1:], strict=False):
        expected = float(row["predicted_price"])
        assert by_day[before["date"]] == pytest.approx(expected, rel=1e-6)
    assert open_run(folder).datamodule.feature_names[-1] == "extra_mood"
    assert diagnose_run(str(folder), 1)["batches"] == 1
    with pytest.raises(ValueError, match=r"needs open|trained with data.extra=\[mood\]"):
        open_run(folder).predict(bars.close)
