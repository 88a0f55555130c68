"""Several series: from files, folders, globs and tables of many tickers, each under its name."""

from datetime import timedelta

import pytest

from src.data.reading.errors import DataError
from src.data.reading.several import ALL, load_series
from src.data.reading.sources import ReadOptions
from tests.data.reading.market import bar, cotahist, make_bars, table

HEAD = ("Date", "Open", "High", "Low", "Close", "Volume")
A, B = make_bars(price=35.0), make_bars(price=60.0, seed=1)


@pytest.fixture
def folder(tmp_path):
    for name, bars in (("PETR4", A), ("VALE3", B)):
        (tmp_path / f"{name}.csv").write_text(table([HEAD, *bar(bars)]))
    return tmp_path


def long_table():
    rows = [(name, *row) for name, bars in (("A", A), ("B", B), ("C", A)) for row in bar(bars)]
    return table([("ticker", *HEAD), *rows])


def names(tables):
    return [one.ticker for one in tables]


@pytest.mark.parametrize("path", ["{}", "{}/*.csv", ["{}/PETR4.csv", "{}/VALE3.csv"]])
def test_a_folder_a_glob_and_a_list_are_the_same_series(folder, path):
    filled = path.format(folder) if isinstance(path, str) else [p.format(folder) for p in path]
    tables = load_series("sp500", filled)
    assert names(tables) == ["PETR4", "VALE3"]
    assert [one.close[0] for one in tables] == [A.close[0], B.close[0]]


def test_a_folder_with_one_file_is_one_series(folder):
    (folder / "VALE3.csv").unlink()
    (folder / ".hidden").write_text("no prices")
    (one,) = load_series("sp500", str(folder))
    assert one.close[0] == A.close[0]


def test_tickers_of_one_file_come_in_the_order_asked_for(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text(long_table())
    assert names(load_series("sp500", str(path), ["c", "A"])) == ["C", "A"]
    assert names(load_series("sp500", str(path), ALL)) == ["A", "B", "C"]
    tickers = ("A", "B")
    some = load_series("sp500", str(path), ALL, options=ReadOptions(tickers=tickers))
    assert names(some) == list(tickers)


def test_of_a_cotahist_the_wanted_tickers_alone_are_kept(tmp_path):
    path = tmp_path / "COTAHIST_A2023.TXT"
    lines = cotahist(A).splitlines(keepends=True)
    other = [line.replace("PETR4 ", "VALE3 ") for line in lines[1:-1]]
    path.write_text("".join([*lines[:-1], *other, lines[-1]]), newline="")
    both = load_series("sp500", str(path), ["VALE3", "PETR4"])
    assert names(both) == ["VALE3", "PETR4"]
    assert len(both[0]) == len(both[1]) == len(A)


def test_a_ticker_of_no_file_is_refused_and_not_ignored():
    with pytest.raises(ValueError, match=r"data\.ticker needs data\.path: sp500 is one series"):
        load_series("sp500", None, options=ReadOptions(ticker="SPY"))


@pytest.mark.parametrize(
    ("path", "tickers", "expected"),
    [
        ("long.csv", ["A", "X"], "data.tickers: no X in .*long.csv; python -m src.data .*lists"),
        (["long.csv", "PETR4.csv"], None, "3 tickers: A, B, C, expected one, or data.tickers=all"),
        (["PETR4.csv", "sub/PETR4.csv"], None, "the ticker PETR4, which is in .* too"),
        (["PETR4.csv", "hours.csv"], None, "hourly bars of hours, expected daily ones, as those"),
        (["PETR4.csv", "none.csv"], None, "none.csv:1:1: found no such file"),
        (None, ["A"], "data.tickers needs data.path"),
    ],
)
def test_what_is_no_set_of_series_is_refused_in_one_line(folder, path, tickers, expected):
    (folder / "long.csv").write_text(long_table())
    (folder / "sub").mkdir()
    (folder / "sub" / "PETR4.csv").write_text(table([HEAD, *bar(A)]))
    hours = make_bars(step=timedelta(hours=1))
    (folder / "hours.csv").write_text(table([HEAD, *bar(hours, "%Y-%m-%d %H:%M")]))
    given = path
    if path is not None:
        given = str(folder / path) if isinstance(path, str) else [str(folder / p) for p in path]
    with pytest.raises((DataError, ValueError), match=expected):
        load_series("sp500", given, tickers)
