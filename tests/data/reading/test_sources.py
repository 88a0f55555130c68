"""Prices come from built-in data or a file, in time order, with the columns asked for."""

import importlib

import numpy as np
import pytest

from src.data.reading.errors import DataError
from src.data.reading.sources import BAR_COLUMNS, SOURCES, ReadOptions, load_prices


@pytest.mark.parametrize("source", SOURCES)
def test_a_built_in_source_equals_what_arch_loads(source):
    table = load_prices(source, columns=BAR_COLUMNS)
    frame = importlib.import_module(f"arch.data.{source}").load()
    assert len(table) == 5031
    assert np.array_equal(table.dates, frame.index.to_numpy().astype("datetime64[s]"))
    for name in BAR_COLUMNS:
        assert np.array_equal(table.columns[name], frame[name.capitalize()].to_numpy(float))


def test_an_unknown_source_is_refused_with_the_list():
    with pytest.raises(ValueError, match="source must be one of sp500, nasdaq, got 'dax'"):
        load_prices("dax")


def test_descending_dates_are_sorted_and_said(write_csv):
    path = write_csv("Date,Close\n2020-01-03,3\n2020-01-02,2\n2020-01-01,1\n")
    table = load_prices(path=str(path))
    assert table.close.tolist() == [1, 2, 3]
    assert str(table.dates[0]).startswith("2020-01-01")
    assert table.warnings[0].text == "newest row first; sorted by date, oldest first"


def test_columns_can_be_named(write_csv):
    path = write_csv("Date,Close,When,PETR4\nx,1,2020-01-01,5\nx,2,2020-01-02,6\n")
    table = load_prices(
        path=str(path), options=ReadOptions(columns={"date": "When", "close": "petr4"})
    )
    assert table.close.tolist() == [5, 6]
    with pytest.raises(DataError, match="'PETR4', expected a column VALE3"):
        load_prices(path=str(path), options=ReadOptions(columns={"close": "VALE3"}))


def test_bars_say_which_columns_are_missing(write_csv):
    path = write_csv("Date,Open,Close\n2020-01-01,1,2\n")
    with pytest.raises(DataError, match="'Date', 'Open', 'Close', expected columns high, low, vol"):
        load_prices(path=str(path), columns=BAR_COLUMNS)


def test_a_bar_with_high_below_low_is_refused(write_csv):
    path = write_csv(
        "Date,Open,High,Low,Close,Volume\n2020-01-01,2,3,1,2,0\n2020-01-02,2,1,3,2,9\n"
    )
    with pytest.raises(
        DataError, match=r":3:3: found '1' in High, below low 3, expected high >= low"
    ):
        load_prices(path=str(path), columns=BAR_COLUMNS)


def test_a_volume_may_be_zero_but_not_negative(write_csv):
    head = "Date,Open,High,Low,Close,Volume\n2020-01-01,2,3,1,2,"
    table = load_prices(path=str(write_csv(head + "0\n")), columns=BAR_COLUMNS)
    assert table.columns["volume"].tolist() == [0]
    with pytest.raises(DataError, match=r":2:6: found '-1' in Volume"):
        load_prices(path=str(write_csv(head + "-1\n")), columns=BAR_COLUMNS)
