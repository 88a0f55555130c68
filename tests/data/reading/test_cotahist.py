"""B3's COTAHIST is read by its columns, one ticker or the whole spot market, packed or not."""

import gzip

import numpy as np
import pytest

from src.data.reading.errors import DataError
from src.data.reading.sources import ReadOptions, load_prices, read_file
from tests.data.reading.market import cotahist, make_bars
from tests.data.reading.test_layouts import zipped

BARS = make_bars(price=37)


def both(first: str, second: str) -> str:
    """Put the bars of two files day by day into one."""
    one, two = first.splitlines(), second.splitlines()
    days = [line for pair in zip(one[1:-1], two[1:-1], strict=True) for line in pair]
    return "\n".join([one[0], *days, one[-1]]) + "\n"


TEXT = both(cotahist(BARS), cotahist(make_bars(price=51, seed=1), "VALE3"))


@pytest.mark.parametrize(
    "pack", [str.encode, lambda t: zipped(a=t.encode()), lambda t: gzip.compress(t.encode())]
)
def test_one_ticker_or_all_are_read_packed_or_not(write_csv, pack):
    path = write_csv(pack(TEXT))
    petro, vale = read_file(path)
    assert (petro.ticker, vale.ticker, petro.layout) == ("PETR4", "VALE3", "B3 COTAHIST")
    assert petro.close.tolist() == BARS.close
    table = load_prices(path=str(path), options=ReadOptions(ticker="petr4"))
    assert table.close.tolist() == BARS.close
    for role in ("open", "high", "low", "volume"):
        assert table.columns[role].tolist() == getattr(BARS, role)
    assert table.frequency == "daily"


def test_a_price_for_a_thousand_shares_is_that_of_one(write_csv):
    lines = cotahist(BARS).splitlines()
    thousands = cotahist(BARS, factor=1000).splitlines()
    path = write_csv("\n".join([*thousands[:20], *lines[20:]]))
    (series,) = read_file(path)
    assert np.allclose(series.close, BARS.close, rtol=1e-12)
    assert series.warnings == ()


def test_options_and_fractions_of_lots_are_read_only_when_asked_for(write_csv):
    path = write_csv(both(cotahist(BARS), cotahist(BARS, "PETR4F", market="020")))
    assert [series.ticker for series in read_file(path)] == ["PETR4"]
    (fraction,) = read_file(path, ReadOptions(ticker="PETR4F"))
    assert fraction.close.tolist() == BARS.close


def test_an_auction_of_the_same_ticker_is_another_market_s_price(write_csv):
    auction = cotahist(make_bars(price=30), market="017")
    path = write_csv(both(cotahist(BARS), auction))
    (series,) = read_file(path, ReadOptions(ticker="PETR4"))
    assert series.close.tolist() == BARS.close


def test_a_ticker_that_is_not_there_and_a_damaged_field_are_named(write_csv):
    with pytest.raises(
        DataError, match=r"found no ticker 'PETR3' among 2, expected one such as PETR4"
    ):
        read_file(write_csv(TEXT), ReadOptions(ticker="PETR3"))
    lines = cotahist(BARS).splitlines()
    lines[3] = lines[3][:110] + "x" + lines[3][111:]
    with pytest.raises(
        DataError, match=r"my.csv:4:109: found '.*x.*' as close, expected 13 digits"
    ):
        read_file(write_csv("\n".join(lines)))
    with pytest.raises(DataError, match=r"found no bars of the spot market"):
        read_file(write_csv("\n".join([lines[0], lines[-1]])))
