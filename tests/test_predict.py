"""python -m src.predict as a user meets it."""

import io
import json
import sys

import numpy as np
import pytest

from src.data import load_prices
from src.data.reading.sources import BAR_COLUMNS
from src.predict import main
from src.reporting.forecast_tables import forecast_table
from src.runs.opening import open_run


@pytest.fixture
def predict(kept_run, monkeypatch, capsys):
    """Run the command on a preset's run and return what it prints."""

    def _predict(*arguments, preset="price_lstm", stdin=""):
        folder = kept_run(f"experiment={preset}")
        monkeypatch.setattr(sys, "argv", ["predict", f"ckpt_path={folder}", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        main()
        return capsys.readouterr().out

    return _predict


@pytest.fixture(scope="module")
def bars_csv(tmp_path_factory):
    """Write the last 300 bars of the S&P 500 to a file."""
    table = load_prices("sp500", columns=BAR_COLUMNS)
    path = tmp_path_factory.mktemp("csv") / "prices.csv"
    rows = np.column_stack([table.columns[name] for name in BAR_COLUMNS])[-300:].tolist()
    lines = [
        ",".join([str(d)[:10], *map(repr, r)])
        for d, r in zip(table.dates[-300:], rows, strict=True)
    ]
    path.write_text("\n".join(["Date,Open,High,Low,Close,Volume", *lines]))
    return path


CLOSES = load_prices("sp500").close[-60:]


def test_a_file_gives_the_day_after_its_last_with_baseline_and_interval(
    predict, bars_csv, kept_run
):
    result = json.loads(predict(f"data.path={bars_csv}", "json=true"))
    (row,) = result["forecasts"]
    assert row["last_day"] == "2018-12-31"
    assert row["baseline"] == row["last_price"] == pytest.approx(CLOSES[-1])
    assert row["interval"][0] < row["predicted_price"] < row["interval"][1]
    assert row["price"] is None
    calibration = open_run(kept_run("experiment=price_lstm")).predictor.calibration
    assert result["coverage"]["test"] == calibration.coverage(0.9)


def test_the_scaling_is_the_runs_own_whatever_else_the_file_holds(predict, tmp_path):
    """The last window's forecast is bitwise the same after another past: nothing is fitted."""
    found = []
    for past in (1.0, 1000.0):
        closes = np.concatenate([np.full(500, past), CLOSES])
        days = np.arange(560) + np.datetime64("2020-01-01")
        path = tmp_path / f"{past:g}.csv"
        pairs = zip(days, closes.tolist(), strict=True)
        path.write_text("date,close\n" + "".join(f"{day},{close!r}\n" for day, close in pairs))
        (row,) = json.loads(predict(f"data.path={path}", "json=true"))["forecasts"]
        found.append((row["predicted_price"], row["interval"]))
    assert found[0] == found[1]


@pytest.mark.parametrize("form", [" ", ",", "\n", "json", "object"])
def test_prices_on_standard_input_give_the_files_forecast(predict, bars_csv, form):
    (expected,) = json.loads(predict(f"data.path={bars_csv}", "json=true"))["forecasts"]
    values = CLOSES.tolist()
    texts = {"json": json.dumps(values), "object": json.dumps({"prices": values})}
    stdin = texts.get(form) or form.join(map(repr, values))
    (row,) = json.loads(predict("json=true", stdin=stdin))["forecasts"]
    assert row["predicted_price"] == expected["predicted_price"]
    assert row["last_day"] == 60


def test_several_series_are_forecast_at_once_each_as_alone(predict):
    both = [CLOSES.tolist(), (CLOSES[::-1] / 10).tolist()]
    together = json.loads(predict("json=true", stdin=json.dumps(both)))["forecasts"]
    alone = [json.loads(predict("json=true", stdin=json.dumps(s)))["forecasts"][0] for s in both]
    assert together == alone


def test_all_windows_of_a_file_come_with_the_price_that_came(predict, bars_csv):
    rows = json.loads(predict(f"data.path={bars_csv}", "windows=all", "json=true"))["forecasts"]
    assert len(rows) == 241
    assert [row["price"] for row in rows[:-1]] == [row["last_price"] for row in rows[1:]]
    assert rows[-1]["price"] is None
    last = json.loads(predict(f"data.path={bars_csv}", "windows=3", "json=true"))["forecasts"]
    assert last == rows[-3:]


def test_a_run_on_bars_takes_bars(predict, bars_csv):
    out = predict(f"data.path={bars_csv}", "windows=2", "json=true", preset="bars_transformer")
    rows = json.loads(out)["forecasts"]
    assert [row["last_day"] for row in rows] == ["2018-12-28", "2018-12-31"]


def test_the_table_shows_model_baseline_interval_and_coverage(predict, bars_csv, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    out = predict(f"data.path={bars_csv}", "windows=3", "level=0.8")
    for shown in ("tomorrow = today", "0.8 interval", "2018-12-31", "2506.85", "held on"):
        assert shown in out


def test_what_is_odd_in_the_prices_is_said_with_the_forecast(predict, bars_csv, tmp_path):
    path = tmp_path / "mistyped.csv"
    header, *rows = bars_csv.read_text().splitlines()
    day, opened, high, low, close, volume = rows[-1].split(",")
    rows[-1] = ",".join([day, opened, high, low, str(100 * float(close)), volume])
    path.write_text("\n".join([header, *rows]))
    told = json.loads(predict(f"data.path={path}", "json=true"))["warnings"]
    assert [line.partition(":")[0] for line in told] == ["jump", "range"]
    assert "looks mistyped" in told[0]
    assert "jump: 2018-12-31: " in predict(f"data.path={path}")
    assert json.loads(predict(f"data.path={bars_csv}", "json=true"))["warnings"] == []


@pytest.mark.parametrize("last", [-37.63, 0.0])
def test_a_change_from_a_price_of_0_or_less_is_no_share(last):
    row = {"last_day": "2020-04-20", "last_price": last, "baseline": last, "price": None}
    result = {"level": None, "forecasts": [{**row, "predicted_price": 10.01}]}
    (change,) = [c for c in forecast_table(result).columns if c.header == "change"]
    assert list(change.cells) == [""]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ((), "1 2 3", "found 3 rows of prices, expected at least 60"),
        (("out=nowhere/forecast.csv",), " ".join(["1"] * 60), "nowhere"),
        ((), "1 x", "'x'"),
        (("data.path=nowhere.csv",), "", "nowhere.csv:1:1: found no such file"),
        (("windows=0",), "", "windows must be last, all or a number of at least 1, got 0"),
        (("windows=first",), "", "'first'"),
        (("level=1.5",), " ".join(["1"] * 60), "got 1.5"),
        (("level=0.9999",), " ".join(["1"] * 60), "validation windows, got 0.9999"),
        (("windws=all",), "", "did you mean windows"),
    ],
)
def test_what_cannot_be_forecast_is_one_line(predict, capsys, arguments, stdin, message):
    with pytest.raises(SystemExit) as stopped:
        predict(*arguments, stdin=stdin)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_closes_alone_are_not_enough_for_a_run_on_bars(predict, capsys):
    with pytest.raises(SystemExit):
        predict(preset="bars_transformer", stdin=" ".join(["1"] * 300))
    assert "needs open, high, low, close and volume" in capsys.readouterr().err


def test_a_checkpoint_without_the_facts_of_its_data_is_one_line(
    kept_run, predict, capsys, tmp_path
):
    import torch

    saved = torch.load(
        kept_run("experiment=price_lstm") / "checkpoints/best.ckpt", weights_only=True
    )
    del saved["hyper_parameters"]["data"], saved["format"]
    torch.save(saved, tmp_path / "old.ckpt")
    with pytest.raises(SystemExit):
        predict(f"ckpt_path={tmp_path / 'old.ckpt'}", stdin=" ".join(["1"] * 60))
    assert "was not written by this version: no 'data'" in capsys.readouterr().err


def test_without_prices_the_series_of_the_run_is_forecast(predict):
    (row,) = json.loads(predict("json=true"))["forecasts"]
    assert row["last_day"] == "2018-12-31"
    assert row["last_price"] == pytest.approx(CLOSES[-1])


def test_a_file_holds_each_forecast_with_its_quantiles(predict, tmp_path):
    out = tmp_path / "forecast.csv"
    told = predict("windows=2", f"out={out}", "plot=true")
    header, *rows = (line.split(",") for line in out.read_text().splitlines())
    assert header[:6] == ["last_day", "last_price", "price", "predicted_price", "low", "high"]
    assert header[6:] == ["q0.025", "q0.1", "q0.25", "q0.5", "q0.75", "q0.9", "q0.975"]
    assert [row[0] for row in rows] == ["2018-12-28", "2018-12-31"]
    assert float(rows[0][2]) == pytest.approx(CLOSES[-1])
    assert rows[1][2] == ""
    assert (tmp_path / "forecast.png").read_bytes()[:4] == b"\x89PNG"
    assert str(out) in told.replace("\n", "")
