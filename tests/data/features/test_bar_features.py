"""129 named features, finite, of the stated sizes, and none of them looks ahead."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import talib

from src.data.features import bars, market
from src.data.features.__main__ import page
from src.data.features.bars import WARMUP_ROWS, bar_features, features_of
from src.data.features.feature import Feature
from src.data.features.indicators import CANDLE_PATTERNS

PAGE = Path(__file__).parents[3] / "docs" / "features.md"


@pytest.fixture(scope="module")
def features(sp500):
    return bar_features(sp500)


def column(features, name):
    return features.values[:, features.names.index(name)]


def test_there_are_three_groups_of_43_features_in_order(features):
    assert features.values.shape == (5031 - WARMUP_ROWS, 129)
    assert features.values.dtype == np.float32
    assert features.groups == {
        "market": slice(0, 43),
        "indicator": slice(43, 86),
        "position": slice(86, 129),
    }
    for group, columns in features.groups.items():
        assert all(name.startswith(f"{group}_") for name in features.names[columns])
    assert len(set(features.names)) == len(features.units) == 129
    assert all(features.units)


def test_group_sizes_are_as_described(features):
    sizes = {name: np.abs(features.values[:, part]) for name, part in features.groups.items()}
    assert sizes["market"].max() <= 2
    assert sizes["indicator"].max() <= 10
    assert sizes["position"].max() > 100_000
    assert (sizes["position"] == 0).mean() > 0.5


def test_the_warm_up_is_as_long_as_needed_and_no_longer(sp500, monkeypatch):
    monkeypatch.setattr(bars, "WARMUP_ROWS", WARMUP_ROWS - 1)
    with pytest.raises(AssertionError, match="no value after the warm-up"):
        bar_features(sp500)


@pytest.mark.parametrize("row", [WARMUP_ROWS, 1000, 3557, 5029])
def test_no_feature_looks_ahead(sp500, features, row):
    rng = np.random.default_rng(row)
    later = {name: values.copy() for name, values in sp500.columns.items()}
    for values in later.values():
        values[row + 1 :] *= rng.uniform(5, 15)
    altered = bar_features(dataclasses.replace(sp500, columns=later))
    known = row + 1 - WARMUP_ROWS
    assert np.array_equal(altered.values[:known], features.values[:known])
    assert not np.array_equal(altered.values[known:], features.values[known:])


def test_features_of_a_shorter_table_are_the_same(sp500, features):
    columns = {name: values[:2000] for name, values in sp500.columns.items()}
    shorter = bar_features(dataclasses.replace(sp500, dates=sp500.dates[:2000], columns=columns))
    assert np.array_equal(shorter.values, features.values[: 2000 - WARMUP_ROWS])


def test_market_features_do_not_depend_on_the_price_level(sp500, features):
    scaled = {name: 10 * v if name != "volume" else v for name, v in sp500.columns.items()}
    market_part = bar_features(dataclasses.replace(sp500, columns=scaled)).values[:, :43]
    assert np.allclose(market_part, features.values[:, :43], atol=1e-4)


def test_log_return_is_what_a_loop_over_rows_computes(sp500, features):
    close = np.log(sp500.close)
    for row in (WARMUP_ROWS, 2500, 5030):
        sigma = np.std([close[i] - close[i - 1] for i in range(row - 59, row + 1)], ddof=1)
        slow = np.clip((close[row] - close[row - 5]) / (sigma * np.sqrt(5)), -2, 2)
        fast = column(features, "market_log_return_5")[row - WARMUP_ROWS]
        assert fast == pytest.approx(slow, abs=1e-4)


def test_indicators_are_those_of_talib(sp500, features):
    rsi = talib.RSI(sp500.close, 14)[WARMUP_ROWS:]
    assert np.allclose(column(features, "indicator_rsi_14"), rsi / 50 - 1, atol=1e-6)
    engulfing = talib.CDLENGULFING(
        *(sp500.columns[name] for name in ("open", "high", "low", "close"))
    )
    assert np.allclose(100 * column(features, "indicator_engulfing"), engulfing[WARMUP_ROWS:])


def test_several_candle_patterns_are_nearly_always_zero(features):
    shares = [(column(features, f"indicator_{name}") != 0).mean() for name in CANDLE_PATTERNS]
    assert sum(share < 0.005 for share in shares) >= 5


def test_prices_that_never_move_and_no_volume_give_finite_features(make_table):
    table = make_table(np.full(300, 50.0))
    flat = {name: np.zeros(300) if name == "volume" else table.close for name in table.columns}
    values = bar_features(dataclasses.replace(table, columns=flat)).values
    assert values.shape == (300 - WARMUP_ROWS, 129)


def test_a_thousandfold_jump_gives_finite_features(make_table):
    values = bar_features(make_table(np.repeat([1.0, 1000.0], 150))).values
    assert np.abs(values[:, :43]).max() <= market.LIMIT


def test_further_features_follow_in_the_same_rows(sp500, features):
    own = Feature("own", "1", "a column of the file", np.arange(5031.0))
    both = bar_features(sp500, [own])
    assert both.values.base is None
    assert np.array_equal(both.values[:, :129], features.values)
    assert np.array_equal(both.values[:, 129], np.arange(WARMUP_ROWS, 5031))
    assert both.names[129:] == ("extra_own",)
    assert both.units[129:] == ("1",)
    assert both.groups == {**features.groups, "extra": slice(129, 130)}


def test_computing_them_takes_less_than_a_third_of_their_memory_besides(sp500):
    longer = {name: np.tile(values, 4) for name, values in sp500.columns.items()}
    dates = np.arange(len(longer["close"])).astype("datetime64[m]").astype("datetime64[s]")
    table = dataclasses.replace(sp500, dates=dates, columns=longer)
    tracemalloc.start()
    try:
        values = bar_features(table).values
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert values.nbytes < peak < 1.3 * values.nbytes


def test_the_page_about_features_is_what_the_code_makes(sp500):
    assert PAGE.read_text() == page(sp500)
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == 129


@pytest.mark.parametrize("last", [WARMUP_ROWS, 600, 2001, 4321])
def test_with_the_future_cut_off_no_feature_changes(sp500, last):
    cut = {name: values[: last + 1] for name, values in sp500.columns.items()}
    short = dataclasses.replace(sp500, dates=sp500.dates[: last + 1], columns=cut)
    for (group, whole), (_, known) in zip(features_of(sp500), features_of(short), strict=True):
        same = np.array_equal(whole.values[: last + 1], known.values, equal_nan=True)
        assert same, f"{group}_{whole.name}"
