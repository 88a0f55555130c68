"""Every forecast of the verdict is of days that its model had not seen."""

import json

import numpy as np
import pytest

from benchmarks.verdict.__main__ import main
from benchmarks.verdict.forecasting import forecast_block, joined
from benchmarks.verdict.plan import (
    ROWS,
    SERIES,
    SIZES,
    TESTED,
    Row,
    Size,
    asked,
    blocks,
    options_of,
)
from benchmarks.verdict.tasks import Task, work
from src.config.compose import compose_line, own_part
from src.data.reading.sources import BAR_COLUMNS, PriceTable
from src.reporting.predictability import store
from src.reporting.predictability.store import QUESTIONS
from src.reporting.predictability.tables import ORDER

SIZE = Size(60, 1, "", "")


def market(bars: int = 1000, seed: int = 0) -> PriceTable:
    """Return bars of a random walk."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars)))
    opened = close * np.exp(rng.normal(0, 0.003, bars))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.004, bars)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.004, bars)))
    volume = rng.uniform(1e6, 2e6, bars)
    columns = dict(zip(BAR_COLUMNS, (opened, high, low, close, volume), strict=True))
    dates = np.datetime64("2015-01-01", "D") + np.arange(bars)
    return PriceTable("walk", dates.astype("datetime64[s]"), columns, bars)


def forecast_of(name: str, key: str, block: range, prices: PriceTable):
    """Return the forecast of a block by a model of the table, as it is asked."""
    row = next(one for one in ROWS if one.name == name)
    question = next(one for one in QUESTIONS if one.key == key)
    config = own_part(compose_line("train", options_of(row, question, SIZE)))
    return forecast_block(config, prices, block)


def test_blocks_are_all_later_bars_each_once():
    for size in SIZES.values():
        found = blocks(5031, size)
        assert [row for block in found for row in block] == list(range(found[0].start, 5031))
        assert 5031 - found[0].start == round(5031 * TESTED)
        # More than ten years after the year that serves the intervals.
        assert 5031 - found[0].start - 252 > 10 * 252


def test_every_model_has_a_place_in_the_table_and_a_config():
    assert {row.name for row in ROWS} | {"naive"} == set(ORDER)
    for row in ROWS:
        question = asked(row)[-1]
        config = compose_line("train", options_of(row, question, SIZE))
        assert config.data.horizon == question.horizon


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("drift", "return_1"),
        ("drift", "return_5"),
        ("har", "volatility_5"),
        ("lstm", "direction_1"),
    ],
)
def test_what_came_and_the_naive_forecast_are_those_of_the_prices(name, key):
    prices, block = market(), range(900, 960)
    got = forecast_of(name, key, block, prices)
    horizon = int(key[-1])
    days = prices.dates.astype("datetime64[D]").astype(str)
    assert got.date.tolist() == days[900 : 961 - horizon].tolist()
    assert got.last_price == pytest.approx(prices.close[899 : 960 - horizon])
    change = np.log(prices.close[899 + horizon : 960] / prices.close[899 : 960 - horizon])
    if key.startswith("return"):
        assert got.actual == pytest.approx(change, abs=1e-6)
        assert got.naive == pytest.approx(0, abs=1e-6)
    elif key.startswith("direction"):
        assert got.actual.tolist() == (change > 0).astype(float).tolist()
        assert 0.3 < got.naive[0] < 0.7
    else:
        assert got.actual == pytest.approx(np.clip(got.actual, 1e-6, 1e-3))
        assert got.naive[horizon:] == pytest.approx(got.actual[:-horizon])


@pytest.mark.parametrize(("name", "key"), [("har", "volatility_1"), ("drift", "return_1")])
def test_no_forecast_changes_with_what_comes_after_it(name, key):
    prices, block = market(), range(900, 930)
    first = forecast_of(name, key, block, prices)
    later = {column: values.copy() for column, values in prices.columns.items()}
    for column in ("high", "close"):
        later[column][915:] *= 3
    again = forecast_of(name, key, block, PriceTable("walk", prices.dates, later, 1000))
    assert again.predicted[:15].tolist() == first.predicted[:15].tolist()
    assert again.actual[15] != first.actual[15]


def test_blocks_follow_one_another():
    prices = market()
    parts = [
        forecast_of("drift", "return_1", block, prices)
        for block in (range(900, 930), range(930, 960))
    ]
    whole = joined(parts)
    assert whole.date.tolist() == sorted(set(whole.date.tolist()))
    assert len(whole.date) == 60
    assert parts[0].predicted[0] != parts[1].predicted[0]


def test_what_is_done_is_not_done_again_unless_it_was_made_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.verdict.forecasting.prices_of", lambda series: market(1800))
    row = Row("drift", ("model=drift", "data=prices"), ("return",))
    task = Task("sp500", row, QUESTIONS[0], Size(300, 1, "", ""), tmp_path / "a" / "drift.json")
    assert "done before" not in work(task)
    told = json.loads(task.file.read_text())
    assert len(told["date"]) == 1800 - round(1800 * (1 - TESTED))
    assert work(task) == "sp500 return_1 drift, done before"
    other = task._replace(size=Size(310, 1, "", ""))
    assert "done before" not in work(other)


def test_the_command_keeps_what_the_page_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.verdict.forecasting.prices_of", lambda series: market(1800))
    line = f"--size quick --jobs 1 --only drift har --write --folder {tmp_path} --out {tmp_path}"
    main(line.split())
    found, record = store.read(tmp_path)
    assert {(one.series, one.question.key) for one in found} == {
        (series, key)
        for series in SERIES
        for key in ("return_1", "return_5", "volatility_1", "volatility_5")
    }
    assert [list(one.forecasts) for one in found][::4] == [["naive", "drift"], ["naive", "har"]]
    assert record["fits"] == 8
    assert record["larger"] == "make verdict"
    assert list(record["models"]) == ["drift", "har"]
    assert "power" in record["chosen"]["sp500-volatility_1-har"][0]
    assert "wrote" in capsys.readouterr().out
