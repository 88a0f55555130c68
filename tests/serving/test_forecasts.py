"""What is told beside a forecast: what came, what was before, how many windows, how sure."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from src.data.reading.sources import PriceTable
from src.data.targets import Target
from src.runs.calibration import Calibration
from src.serving import forecasts as module
from src.serving.forecasts import forecasts

DAYS = np.datetime64("2024-01-01", "s") + np.arange(5) * np.timedelta64(86_400, "s")
HIGH = np.exp([0.0, 0.1, 0.2, 0.3, 0.4])
TABLE = PriceTable(
    "mine",
    DAYS,
    {"close": np.array([10.0, 11.0, 11.0, 9.0, 12.0]), "high": HIGH, "low": np.ones(5)},
    6,
)
VOLATILITY = Target("volatility", 2, "parkinson")
VARIANCE = np.array([0.0, 0.01, 0.04, 0.09, 0.16]) / (4 * np.log(2))


@pytest.mark.parametrize(
    ("row", "bars", "came"), [(0, 1, 11.0), (0, 4, 12.0), (1, 3, 12.0), (3, 1, 12.0), (3, 2, None)]
)
def test_the_price_that_came_is_that_many_bars_later_and_unknown_after_the_last(row, bars, came):
    assert module._came(Target(), TABLE, row, bars) == came


@pytest.mark.parametrize(("row", "rose"), [(0, 1.0), (1, 0.0), (2, 0.0), (3, 1.0), (4, None)])
def test_a_price_rose_if_it_is_higher_and_not_if_it_is_the_same(row, rose):
    assert module._came(Target("direction"), TABLE, row, 1) == rose


def test_the_variance_that_came_is_the_mean_of_the_bars_after_the_window():
    assert module._came(VOLATILITY, TABLE, 0, 2) == pytest.approx((VARIANCE[1] + VARIANCE[2]) / 2)
    assert module._came(VOLATILITY, TABLE, 2, 2) == pytest.approx((VARIANCE[3] + VARIANCE[4]) / 2)
    assert module._came(VOLATILITY, TABLE, 3, 2) is None


def test_the_latest_bars_are_closes_or_variances_oldest_first():
    def of(target):
        return SimpleNamespace(facts=SimpleNamespace(target=target))

    assert module._latest(of(Target()), TABLE, 2) == [9.0, 12.0]
    assert module._latest(of(VOLATILITY), TABLE, 2) == pytest.approx(VARIANCE[3:])
    assert module._latest(of(Target()), TABLE, 9) == [10.0, 11.0, 11.0, 9.0, 12.0]


@pytest.mark.parametrize(("said", "number"), [("last", 1), ("all", None), (1, 1), (7, 7)])
def test_windows_are_the_last_all_or_a_number(said, number):
    assert module._number_of_windows(said) == number


@pytest.mark.parametrize("said", [0, -1, True, 1.5, "3", None])
def test_other_numbers_of_windows_are_refused(said):
    with pytest.raises(ValueError, match=f"a number of at least 1, got {said!r}"):
        module._number_of_windows(said)


def test_how_intervals_held_is_told_with_the_number_of_windows():
    errors = Calibration(np.arange(1.0, 10.0), np.array([1.0, 2.0, 8.5, 9.0]))
    told = module._calibration(errors, 0.8)
    assert told == {"level": 0.8, "coverage": {"test": 0.5, "windows": 4}}
    assert module._calibration(None, 0.8) == {"level": None, "coverage": None}


def test_a_year_has_252_days_52_weeks_or_12_months():
    assert module.BARS_A_YEAR == {"daily": 252, "weekly": 52, "monthly": 12}


@pytest.fixture(scope="module")
def folder(kept_run):
    return str(kept_run("experiment=price_lstm"))


@pytest.fixture
def nobody_types(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


def test_by_itself_the_day_after_the_last_is_forecast_and_no_history_is_told(folder, nobody_types):
    told = forecasts(folder)
    assert list(told) == [
        *("run", "step", "target", "horizon", "bars_a_year"),
        *("level", "coverage", "warnings", "forecasts"),
    ]
    assert (told["run"], told["target"], told["horizon"]) == (folder, "log_return", 1)
    assert (told["bars_a_year"], told["level"]) == (252, 0.9)
    (row,) = told["forecasts"]
    assert "step" not in row, "one day ahead needs no number"
    assert "ticker" not in row, "there is one series"
    assert [float(tail) for tail in row["quantiles"]] == sorted(map(float, row["quantiles"]))
    values = list(row["quantiles"].values())
    assert values == sorted(values)
    with pytest.raises(ValueError, match="level must be above 0 and below 1, got 1"):
        forecasts(folder, level=1)


def test_so_many_bars_of_history_end_with_the_last_price(folder, nobody_types):
    told = forecasts(folder, history=3)
    (closes,) = told["history"].values()
    assert len(closes) == 3
    assert closes[-1] == told["forecasts"][0]["last_price"]


def test_a_series_that_is_typed_has_numbers_for_days(folder, monkeypatch):
    closes = [100.0 + day / 10 for day in range(62)]
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(closes)))
    rows = forecasts(folder, windows="all")["forecasts"]
    assert [row["last_day"] for row in rows] == [60, 61, 62]
    assert [row["last_price"] for row in rows] == closes[-3:]
    assert [row["price"] for row in rows] == [*closes[-2:], None]


def test_two_files_are_refused_by_a_run_on_one(folder, tmp_path):
    for name in "ab":
        rows = (f"2024-01-{day:02},{day}\n" for day in range(1, 29))
        (tmp_path / f"{name}.csv").write_text("date,close\n" + "".join(rows))
    with pytest.raises(ValueError, match=r"^data.path: 2 files, this run takes one$"):
        forecasts(folder, str(tmp_path))
