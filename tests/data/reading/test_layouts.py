"""Each family of price files is read without configuration, however it was saved since."""

import bz2
import decimal
import gzip
import io
import lzma
import zipfile
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from src.data.reading.errors import DataError
from src.data.reading.sources import ReadOptions, load_prices, read_file
from tests.data.reading.market import (
    ENGLISH_NAMES,
    FAMILIES,
    PORTUGUESE_NAMES,
    bar,
    bars_of,
    binance,
    english,
    european,
    investing,
    make_bars,
    metatrader4,
    metatrader5_hours,
    table,
    tradingview_offsets,
    yahoo,
    yfinance,
    yfinance_by_ticker,
)

BARS = make_bars()
ADJUSTED = {"Yahoo", "Alpha Vantage"}
TICKERS = {
    "yfinance": "AAPL",
    "flattened": "AAPL",
    "tuples": "AAPL",
    "Stooq ASCII": "^SPX",
    "CryptoDataDownload": "BTC/USDT",
}
every_family = pytest.mark.parametrize("name", FAMILIES)
OHLCV = ("Date", "Open", "High", "Low", "Close", "Volume")


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def turned(text: str) -> str:
    """Turn the rows of data around: those that begin with a digit, wherever they stand."""
    lines = text.splitlines()
    rows = [n for n, line in enumerate(lines) if line.lstrip('"^SPX,D')[:1].isdigit()]
    for n, m in zip(rows, rows[::-1], strict=True):
        if n < m:
            lines[n], lines[m] = lines[m], lines[n]
    return "\n".join(lines) + "\n"


SAVED = {
    "as it is": str.encode,
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "mark": lambda text: b"\xef\xbb\xbf" + text.lstrip("\ufeff").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without a mark": lambda text: text.lstrip("\ufeff").encode("utf-16-le"),
    "gzip": lambda text: gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "xz": lambda text: lzma.compress(text.encode()),
    "zip": lambda text: zipped(prices=text.encode()),
    "turned": lambda text: turned(text).encode(),
    "blank lines": lambda text: (text.replace("\n", "\n\n") + "\n \n").encode(),
    "no last line end": lambda text: text.rstrip("\n").encode(),
}


def days(series):
    return [str(date)[:10] for date in series.dates]


def kinds(series):
    return [warning.kind for warning in series.warnings]


def read_one(path, **options):
    (series,) = read_file(path, ReadOptions(**options))
    return series


@every_family
@pytest.mark.parametrize("saved", SAVED)
def test_a_family_is_read_however_it_was_saved(write_csv, name, saved):
    series = read_one(write_csv(SAVED[saved](FAMILIES[name](BARS))))
    assert days(series) == [f"{date:%Y-%m-%d}" for date in BARS.dates]
    price = BARS.adjusted if name in ADJUSTED else BARS.close
    assert series.close.tolist() == pytest.approx(price, rel=1e-12)
    assert (series.ticker, series.frequency) == (TICKERS.get(name), "daily")


@every_family
def test_a_family_is_read_whatever_the_price(write_csv, name):
    for price, decimals in ((0.0004, 7), (1.2, 5), (99_000, 2), (1_000, 2)):
        bars = make_bars(price=price, decimals=decimals, seed=1)
        if decimals > 2 and name in ("Investing German", "NSE", "German"):
            continue  # these writers round to cents
        if decimals > 2 and name.startswith("Investing"):
            continue
        series = read_one(write_csv(FAMILIES[name](bars)))
        expected = bars.adjusted if name in ADJUSTED else bars.close
        assert series.close.tolist() == pytest.approx(expected, rel=1e-9), price


@every_family
def test_a_bar_keeps_its_open_high_low_and_volume(write_csv, name):
    series = read_one(write_csv(FAMILIES[name](BARS)))
    if name == "FRED":
        assert list(series.columns) == ["close"]
        return
    factor = np.divide(BARS.adjusted, BARS.close) if name in ADJUSTED else 1
    for role in ("open", "high", "low"):
        assert series.columns[role] == pytest.approx(getattr(BARS, role) * np.array(factor)), role
    if name not in ("HistData",):
        rounded = 5e3 if name.startswith("Investing") else 0
        assert np.allclose(series.columns["volume"], BARS.volume, atol=rounded, rtol=0)


@pytest.mark.parametrize("names", [ENGLISH_NAMES, PORTUGUESE_NAMES], ids=["English", "Portuguese"])
def test_an_index_without_decimals_is_not_read_a_thousand_times_too_small(write_csv, names):
    bars = make_bars(price=130_000, decimals=0)
    write = english if names is ENGLISH_NAMES else european
    day = "{d:%m/%d/%Y}" if names is ENGLISH_NAMES else "{d:%d.%m.%Y}"
    series = read_one(write_csv(investing(day, names, write, decimals=0)(bars)))
    assert series.close.tolist() == bars.close


def test_a_currency_without_decimals_may_cross_a_thousand(write_csv):
    closes = [950 + 5 * n for n in range(20)]
    rows = [(f"{n + 1:02d}/01/2023", european(close, 0)) for n, close in enumerate(closes)]
    series = read_one(write_csv(table([("Data", "Fechamento"), *rows], ";")))
    assert series.close.tolist() == closes
    rows = [(f"2023-01-{n + 1:02d}", english(close, 0)) for n, close in enumerate(closes)]
    assert read_one(write_csv(table([("Date", "Close"), *rows], "\t"))).close.tolist() == closes


@pytest.mark.parametrize(("cell", "values"), [("1.234", (1.234, 1234)), ("1,234", (1234, 1.234))])
def test_what_may_mean_thousands_is_refused_with_both_values_and_the_option(
    write_csv, cell, values
):
    path = write_csv(f"Date;Close\n2020-01-01;{cell}\n2020-01-02;{cell}\n")
    with pytest.raises(DataError, match=rf":2:2: found '{cell}' in Close, which may be") as error:
        read_file(path)
    assert f"{values[0]:g} or {values[1]:g}" in str(error.value)
    assert "data.decimal=dot or data.decimal=comma" in str(error.value)
    read = [read_one(path, decimal=sign).close[0] for sign in ("dot", "comma")]
    assert read == list(values)


def test_three_decimals_in_a_file_with_commas_and_english_names_are_decimals(write_csv):
    bars = make_bars(price=109.123, decimals=3)
    rows = [(row[0], *(f"{value:.3f}" for value in row[1:5]), row[5]) for row in bar(bars)]
    assert read_one(write_csv(table([OHLCV, *rows]))).close.tolist() == bars.close


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1 234,50", 1234.5),
        ("1\u00a0234,50", 1234.5),
        ("1\u202f234,50", 1234.5),
        ("1'234.50", 1234.5),
        ("R$ 1.234,50", 1234.5),
        ("1.234,50 \u20ac", 1234.5),
        ("1,23,456.50", 123456.5),
        ("1.2345e3", 1234.5),
    ],
)
def test_numbers_are_read_as_their_country_writes_them(write_csv, cell, value):
    rows = [("Date", "Close"), ("2020-01-01", cell), ("2020-01-02", cell)]
    assert read_one(write_csv(table(rows, quoted=True))).close.tolist() == [value, value]


@pytest.mark.parametrize(
    ("step", "name"),
    [(1, "1 minute"), (5, "5 minutes"), (60, "hourly"), (240, "4 hours"), (1440, "daily")],
)
@pytest.mark.parametrize("writer", [metatrader5_hours, metatrader4, binance(1000), binance(10**6)])
def test_bars_within_a_day_keep_their_time(write_csv, writer, step, name):
    bars = make_bars(step=timedelta(minutes=step))
    series = read_one(write_csv(writer(bars)))
    assert [str(date) for date in series.dates] == [date.isoformat() for date in bars.dates]
    assert series.frequency == name


def test_local_times_over_the_end_of_daylight_saving_are_hours_apart(write_csv):
    bars = make_bars(step=timedelta(hours=1))
    series = read_one(write_csv(tradingview_offsets(bars)))
    assert [str(date) for date in series.dates] == [date.isoformat() for date in bars.dates]
    assert (series.frequency, kinds(series)) == ("hourly", [])


def test_overlapping_hours_are_found_by_their_offsets(write_csv):
    path = write_csv("time,close\n2024-01-01T10:00+01:00,1\n2024-01-01T09:00+00:00,2\n")
    with pytest.raises(DataError, match=r":3:1: found '2024-01-01T09:00\+00:00' in time again, as"):
        read_file(path)


def test_a_date_without_an_offset_among_dates_that_have_one_is_refused(write_csv):
    path = write_csv("time,close\n2024-01-01T10:00+01:00,1\n2024-01-01T11:00,2\n")
    with pytest.raises(
        DataError, match=r":3:1: found '2024-01-01T11:00' in time, expected an offs"
    ):
        read_file(path)


def test_a_trading_day_is_its_local_date_and_its_ends_are_told_in_utc(write_csv):
    path = write_csv("Date,Close\n2024-01-04 00:00:00+09:00,1\n2024-01-05 00:00:00+09:00,2\n")
    series = read_one(path)
    assert days(series) == ["2024-01-04", "2024-01-05"]
    assert str(series.ends[0]) == "2024-01-03T15:00:00"


def test_a_header_is_found_below_a_title_and_columns_in_any_order(write_csv):
    rows = [(row[5], row[4], row[3], row[0], row[2], row[1]) for row in bar(BARS)]
    text = table([(*OHLCV[::-1][:3], "Date", "High", "Open"), *rows])
    series = read_one(write_csv("Prices of ACME\nExported 2024-01-01\n\n" + text))
    assert series.close.tolist() == BARS.close
    assert series.columns["high"].tolist() == BARS.high
    assert read_one(write_csv("sep=,\n" + text)).close.tolist() == BARS.close


def test_a_file_without_a_header_loses_no_row_and_says_so(write_csv):
    for rows in (bar(BARS), bars_of(BARS), [row[:5] for row in bar(BARS)]):
        series = read_one(write_csv(table(rows)))
        assert series.close.tolist() == BARS.close
        assert kinds(series) == ["no header"]
    text = yahoo(BARS).partition("\n")[2]
    assert read_one(write_csv(text)).close.tolist() == BARS.adjusted


def test_a_file_without_a_header_whose_columns_are_no_bars_is_not_guessed_at(write_csv):
    rows = [(row[0], row[4], row[3], row[2], row[1], row[5]) for row in bar(BARS)]
    path = write_csv(table(rows))
    with pytest.raises(
        DataError, match=r":1:1: found columns .* expected columns date and close; d"
    ):
        read_file(path)
    series = read_one(path, columns={"date": 1, "close": 2})
    assert series.close.tolist() == BARS.close


def test_trailing_delimiters_and_a_column_of_row_numbers_do_no_harm(write_csv):
    text = table([OHLCV, *bar(BARS)])
    trailing = "\n".join(f"{line}," for line in text.splitlines())
    head, _, rest = text.partition("\n")
    only_rows = head + "\n" + "\n".join(f"{line}," for line in rest.splitlines())
    numbered = head + "\n" + "\n".join(f"{n},{line}" for n, line in enumerate(rest.splitlines()))
    for content in (trailing, only_rows, numbered, f",{head}\n" + numbered.partition("\n")[2]):
        assert read_one(write_csv(content)).close.tolist() == BARS.close


@pytest.mark.parametrize("word", ["null", "", ".", "N/A", "NaN", "-", "#N/A", "n/d"])
def test_rows_without_a_price_are_left_out_and_counted(write_csv, word):
    rows = bar(BARS)
    rows[3] = (rows[3][0], *[word] * 5)
    series = read_one(write_csv(table([OHLCV, *rows])))
    assert len(series) == len(BARS) - 1
    (warning,) = series.warnings
    assert warning[:2] == ("dropped rows", "1 rows without a price are left out, first line 5")


def test_dividends_between_bars_and_lines_below_them_are_no_bars(write_csv):
    rows = [*bar(BARS)[:5], ("2023-11-24", "0.25 Dividend", "", "", "", ""), *bar(BARS)[5:]]
    text = table([OHLCV, *rows]) + "Source: ACME\n*Close adjusted for splits.\n"
    series = read_one(write_csv(text))
    assert series.close.tolist() == BARS.close
    assert kinds(series) == ["dropped rows", "dropped rows (footer)"]
    padded = table([OHLCV, *bar(BARS), ("Source: ACME", "", "", "", "", "")])
    assert kinds(read_one(write_csv(padded))) == ["dropped rows (footer)"]


def test_a_price_of_today_under_its_time_is_no_bar(write_csv):
    text = table([OHLCV, ("16:00", "1", "1", "1", "1", "1"), *bar(BARS, "%Y/%m/%d")[::-1]])
    series = read_one(write_csv(text))
    assert series.close.tolist() == BARS.close
    assert set(kinds(series)) == {"order", "dropped rows"}


def test_a_header_that_comes_again_is_no_row(write_csv):
    text = table([OHLCV, *bar(BARS)[:20], OHLCV, *bar(BARS)[20:]])
    series = read_one(write_csv(text))
    assert series.close.tolist() == BARS.close
    assert kinds(series) == ["repeated header"]


def test_adjusted_close_is_the_default_and_open_high_and_low_follow_it(write_csv):
    series = read_one(write_csv(yahoo(BARS)))
    factor = np.divide(BARS.adjusted, BARS.close)
    assert series.close.tolist() == BARS.adjusted
    assert np.allclose(series.columns["high"], BARS.high * factor)
    assert (series.close <= series.columns["high"]).all()
    assert series.used["close"][0] == "Adj Close"
    assert "data.columns.close='Close' takes the raw close" in series.used["close"][1]
    raw = read_one(write_csv(yahoo(BARS)), columns={"close": "Close"})
    assert raw.close.tolist() == BARS.close
    assert raw.columns["high"].tolist() == BARS.high


def test_tickers_side_by_side_are_series_of_their_own(write_csv):
    path = write_csv(yfinance(BARS, "AAPL", "TSLA"))
    apple, tesla = read_file(path)
    assert (apple.ticker, tesla.ticker) == ("AAPL", "TSLA")
    assert tesla.close.tolist() == [2 * close for close in BARS.close]
    assert read_one(path, ticker="tsla").close.tolist() == tesla.close.tolist()
    petro, vale = read_file(write_csv(yfinance_by_ticker(BARS)))
    assert (petro.ticker, vale.ticker) == ("PETR4.SA", "VALE3.SA")
    assert vale.close.tolist() == [2 * close for close in BARS.close]


def test_closes_alone_below_three_header_lines_are_a_series_each(write_csv):
    rows = [(day, close, close * 2) for day, close in bars_of(BARS)]
    head = [("Price", "Close", "Close"), ("Ticker", "AAPL", "TSLA"), ("Date", "", "")]
    apple, tesla = read_file(write_csv(table([*head, *rows])))
    assert (apple.ticker, tesla.ticker) == ("AAPL", "TSLA")
    assert tesla.close.tolist() == [2 * close for close in BARS.close]


@pytest.mark.parametrize("event", ["0.24 Dividend", "4:1 Stock Split"])
def test_a_dividend_between_the_prices_is_left_out_and_said(write_csv, event):
    header, *rows = yahoo(BARS).splitlines()
    day = rows[20].split(",")[0]
    rows.insert(20, ",".join([day, *[event] * 6]))
    series = read_one(write_csv("\n".join([header, *rows])))
    assert series.close.tolist() == BARS.adjusted
    (warning,) = series.warnings
    assert warning[:2] == ("dropped rows", "1 rows without a price are left out, first line 22")


def test_a_column_of_closes_for_each_ticker_gives_a_series_each(write_csv):
    rows = [(day, close, close * 2) for day, close in bars_of(BARS)]
    first, second = read_file(write_csv(table([("Date", "PETR4.SA", "^BVSP"), *rows])))
    assert (first.ticker, second.ticker) == ("PETR4.SA", "^BVSP")
    assert second.close.tolist() == [2 * close for close in BARS.close]


@pytest.mark.parametrize("name", ["Name", "symbol", "Ticker", "<TICKER>", "Ativo"])
def test_a_long_table_gives_a_series_for_each_ticker_in_the_order_of_the_file(write_csv, name):
    blocks = [
        [(ticker, *row[:1], *(factor * price for price in row[1:5]), row[5]) for row in bar(BARS)]
        for ticker, factor in (("VALE3", 1), ("PETR4", 2))
    ]
    for rows in (
        blocks[0][::-1] + blocks[1][::-1],
        [r for pair in zip(*blocks, strict=False) for r in pair],
    ):
        path = write_csv(table([(name, *OHLCV), *rows]))
        vale, petro = read_file(path)
        assert (vale.ticker, petro.ticker) == ("VALE3", "PETR4")
        assert vale.close.tolist() == BARS.close
        assert petro.close.tolist() == [2 * close for close in BARS.close]
        with pytest.raises(
            DataError, match=r"found 2 tickers: VALE3, PETR4, expected one; data.tic"
        ):
            load_prices(path=str(path))
        chosen = load_prices(path=str(path), options=ReadOptions(ticker="petr4"))
        assert chosen.close.tolist() == petro.close.tolist()
        with pytest.raises(
            DataError, match=r"found no ticker 'PETR3' among 2, expected one such as"
        ):
            read_file(path, ReadOptions(ticker="PETR3"))


def test_a_volume_that_is_not_measured_gives_way_to_one_that_is(write_csv):
    names = ("Date", "Close", "Volume", "TickVol")
    rows = [(day, close, 0, 7) for day, close in bars_of(BARS)]
    series = read_one(write_csv(table([names, *rows])))
    assert set(series.columns["volume"]) == {7}
    assert series.used["volume"] == ("TickVol", "Volume is 0 throughout, not measured")


def test_a_spreadsheet_s_rounded_milliseconds_are_no_dates(write_csv):
    assert days(read_one(write_csv(FAMILIES["CryptoDataDownload"](BARS))))[0] == "2023-11-20"
    path = write_csv("unix,close\n1.64532E+12,1\n1.64541E+12,2\n")
    with pytest.raises(DataError, match=r":2:1: found '1.64532E.12' in unix, expected a date"):
        read_file(path)


def test_columns_may_be_chosen_by_name_or_number(write_csv):
    rows = [("x", *row[1:], row[0]) for row in bar(BARS)]
    path = write_csv(table([("Note", "A", "B", "C", "D", "E", "When"), *rows]))
    with pytest.raises(
        DataError, match=r"expected a column close; data.columns.close= names it by"
    ):
        read_file(path)
    by_name = read_one(path, columns={"close": "d", "open": "A"})
    assert by_name.close.tolist() == BARS.close
    assert by_name.columns["open"].tolist() == BARS.open
    assert read_one(path, columns={"close": 2, "date": "When"}).close.tolist() == BARS.open
    with pytest.raises(DataError, match=r"expected a column Z, as data.columns.close says"):
        read_file(path, ReadOptions(columns={"close": "Z"}))


def test_a_price_named_twice_is_refused_and_another_name_twice_is_not(write_csv):
    with pytest.raises(DataError, match=r":1:3: found column name 'close' a second time, expected"):
        read_file(write_csv("Date,Close,close\n2020-01-01,1,2\n2020-01-02,3,4\n"))
    assert (
        len(read_one(write_csv("Date,Close,Plot,Plot\n2020-01-01,1,2,3\n2020-01-02,3,4,5\n"))) == 2
    )


def test_windows_text_is_read_and_said(write_csv):
    text = "Data;Máxima;Mínima;Último\n" + "".join(
        f"2020-01-{n:02d};{n + 1},50;{n},50;{n + 1},00\n" for n in range(1, 20)
    )
    series = read_one(write_csv(text.encode("cp1252")))
    assert series.close.tolist() == [n + 1 for n in range(1, 20)]
    assert kinds(series) == ["encoding"]


def test_an_archive_of_several_files_and_what_is_no_text_are_named(write_csv):
    with pytest.raises(
        DataError, match=r"found 2 files in the archive: 'a', 'b', expected one; un"
    ):
        read_file(write_csv(zipped(a=b"x", b=b"y")))
    wrong = {
        b"<!DOCTYPE html><p>Login</p>": "a web page, not the file itself",
        b'{"prices": [1, 2]}': "JSON",
        b"%PDF-1.7": "a PDF document",
        b"\x1f\x8b\x08broken": "a damaged or locked archive",
        zipped(**{"[Content_Types].xml": b"", "xl/x.xml": b""}): "an Excel workbook",
    }
    for content, name in wrong.items():
        with pytest.raises(DataError, match=rf":1:1: found {name}"):
            read_file(write_csv(content))


def frame_of(bars):
    columns = {name: getattr(bars, name.lower()) for name in OHLCV[1:]}
    return pd.DataFrame(columns, index=pd.DatetimeIndex(bars.dates, name="Date"))


FRAMES = {
    "dates as index": lambda frame: frame,
    "dates as a column": lambda frame: frame.reset_index(),
    "days of New York": lambda frame: frame.tz_localize("America/New_York"),
    "dates without times": lambda frame: frame.reset_index().assign(Date=frame.index.date),
    "decimals": lambda frame: frame.assign(
        Close=[decimal.Decimal(str(close)) for close in frame["Close"]]
    ),
    "whole numbers that may be missing": lambda frame: frame.astype({"Volume": "Int64"}),
    "yfinance": lambda frame: pd.concat({"AAPL": frame}, axis=1).swaplevel(axis=1),
    "tickers above": lambda frame: pd.concat({"AAPL": frame, "MSFT": 2 * frame}, axis=1),
    "tickers in the index": lambda frame: pd.concat(
        {"AAPL": frame, "MSFT": 2 * frame}, names=["ticker"]
    ),
    "a category of tickers": lambda frame: pd.concat(
        [frame.assign(ticker="AAPL"), (2 * frame).assign(ticker="MSFT")]
    ).astype({"ticker": "category"}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_parquet_file_is_read_however_the_frame_was_laid_out(tmp_path, monkeypatch, name):
    path, frame = tmp_path / "my.parquet", FRAMES[name](frame_of(BARS))
    try:
        frame.to_parquet(path)
    except ImportError:  # without pyarrow: what it would give back
        path.write_bytes(b"PAR1....")
        monkeypatch.setattr(pd, "read_parquet", lambda path: frame)
    for factor, series in enumerate(read_file(path), 1):
        assert days(series) == [f"{date:%Y-%m-%d}" for date in BARS.dates]
        assert series.close == pytest.approx(factor * np.array(BARS.close))
        assert {"open", "high", "low", "volume"} < series.columns.keys()
        assert series.ticker == (
            {1: "AAPL", 2: "MSFT"}[factor] if "ticker" in name else series.ticker
        )


def test_a_parquet_file_without_pyarrow_says_what_to_install(write_csv, monkeypatch):
    path = write_csv(b"PAR1....")
    monkeypatch.setattr(pd, "read_parquet", lambda path: (_ for _ in ()).throw(ImportError()))
    with pytest.raises(DataError, match=r"found a parquet file, expected pyarrow to read it: pip"):
        read_file(path)
