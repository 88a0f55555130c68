"""Files of further sites, programs and languages are read as those who write them mean them."""

from datetime import timedelta

import numpy as np
import pytest

from src.data.reading.errors import DataError
from src.data.reading.sources import ReadOptions, read_file
from tests.data.reading.dialects import ADJUSTED, DIALECTS, ONE_PRICE, TICKERS, epoch
from tests.data.reading.market import bar, european, make_bars, table
from tests.data.reading.test_layouts import SAVED

OHLCV = ("Date", "Open", "High", "Low", "Close", "Volume")
BARS, HOURS = make_bars(), make_bars(step=timedelta(hours=1))
ROUNDED = ("Investing", "MarketWatch", "Profit", "Status", "Excel", "Ariva", "yields", "NSE")


def read_one(path, **options):
    (series,) = read_file(path, ReadOptions(**options))
    return series


def prices_of(name, bars):
    return bars.adjusted if name in ADJUSTED else bars.close


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_keeps_dates_prices_and_ticker(write_csv, name):
    for price, decimals in ((250.0, 2), (1_000, 2), (99_000, 2), (1.2, 4)):
        if decimals > 2 and name.startswith(ROUNDED):
            continue
        bars = make_bars(price=price, decimals=decimals)
        series = read_one(write_csv(DIALECTS[name](bars)))
        assert [str(d)[:10] for d in series.dates] == [f"{d:%Y-%m-%d}" for d in bars.dates]
        assert series.close.tolist() == pytest.approx(prices_of(name, bars), rel=1e-9), price
        assert (series.ticker, series.frequency) == (TICKERS.get(name), "daily")


@pytest.mark.parametrize("name", [name for name in DIALECTS if name not in ONE_PRICE])
def test_every_dialect_keeps_its_bars(write_csv, name):
    series = read_one(write_csv(DIALECTS[name](BARS)))
    factor = np.divide(BARS.adjusted, BARS.close) if name in ADJUSTED else 1
    for role in ("open", "high", "low"):
        assert series.columns[role] == pytest.approx(getattr(BARS, role) * np.array(factor)), role
    if name != "CBOE":
        assert np.allclose(series.columns["volume"], BARS.volume, atol=5e3, rtol=0)


@pytest.mark.parametrize("saved", ["CRLF", "UTF-16", "turned", "blank lines"])
@pytest.mark.parametrize("name", ["Kraken", "Quandl", "Bundesbank", "Profit", "Investing Japanese"])
def test_a_dialect_is_read_however_it_was_saved(write_csv, name, saved):
    series = read_one(write_csv(SAVED[saved](DIALECTS[name](BARS))))
    assert series.close.tolist() == pytest.approx(prices_of(name, BARS), rel=1e-9)


def hours(write):
    return table(
        [OHLCV, *((write(d), *r[1:]) for d, r in zip(HOURS.dates, bar(HOURS), strict=True))]
    )


@pytest.mark.parametrize(
    ("write", "ahead"),
    [
        (lambda d: f"{d:%Y%m%d}  {d:%H:%M:%S}", 0),
        (lambda d: f"{d:%Y%m%d} {d:%H:%M:%S} US/Eastern", -5),
        (lambda d: f"{d:%Y-%m-%d %H:%M:%S} America/Sao_Paulo", -3),
        (lambda d: f"{d:%Y-%m-%dT%H:%M:%S}.000-0300", -3),
        (lambda d: f"{d:%Y-%m-%d %H:%M:%S} +0100", 1),
        (lambda d: f"{d:%Y%m%dT%H%M%S}Z", 0),
        (lambda d: f"{epoch(d)}.123", 0),
    ],
    ids=["two spaces", "US/Eastern", "Sao_Paulo", "-0300", "+0100", "basic Z", "float epoch"],
)
def test_hours_are_brought_to_utc_from_where_they_were_written(write_csv, write, ahead):
    series = read_one(write_csv(hours(write)))
    first, last = (np.datetime64(HOURS.dates[n] - timedelta(hours=ahead)) for n in (0, -1))
    assert (series.dates[0], series.dates[-1], series.frequency) == (first, last, "hourly")


def test_the_hour_that_comes_twice_in_autumn_is_told_by_its_neighbours(write_csv):
    clocks = [*(f"2023-11-05 {h:02d}:00:00" for h in (0, 1, 1, 2, 3))]
    rows = [(f"{clock} America/New_York", 100 + n) for n, clock in enumerate(clocks)]
    series = read_one(write_csv(table([("Date", "Close"), *rows])))
    assert np.diff(series.dates).astype(int).tolist() == [3600] * 4
    assert str(series.dates[0]) == "2023-11-05T04:00:00"


@pytest.mark.parametrize(
    "write",
    [
        lambda c: f"USD {c:,.2f}",
        lambda c: f"{european(c, 2)} \u20ac",
        lambda c: f"{c:,.2f} z\u0142".replace(",", " ").replace(".", ","),
        lambda c: f"CHF {c:,.2f}".replace(",", "'"),
        lambda c: f"R$ {european(c, 2)}",
        lambda c: f"{c:,.2f}".replace(",", "\u202f").replace(".", ","),
    ],
    ids=["USD", "euro", "zloty", "francs", "real", "thin space"],
)
def test_a_price_in_its_currency_is_its_number(write_csv, write):
    rows = [(f"{d:%Y-%m-%d}", write(100 * c)) for d, c in BARS.rows("dates", "close")]
    series = read_one(write_csv(table([("Date", "Close"), *rows], ";")))
    assert series.close == pytest.approx(100 * np.array(BARS.close))


@pytest.mark.parametrize(
    ("dates", "frequency", "first"),
    [
        ([f"2023-W{n:02d}" for n in range(1, 41)], "weekly", "2023-01-02"),
        ([f"{1990 + n // 4}Q{n % 4 + 1}" for n in range(40)], "quarterly", "1990-01-01"),
        ([f"{1990 + n // 12}-{n % 12 + 1:02d}" for n in range(40)], "monthly", "1990-01-01"),
    ],
    ids=["ISO weeks", "quarters", "months"],
)
def test_weeks_quarters_and_months_are_dates(write_csv, dates, frequency, first):
    rows = [(day, 100 + n) for n, day in enumerate(dates)]
    series = read_one(write_csv(table([("Period", "Close"), *rows])))
    assert (series.frequency, str(series.dates[0])[:10], len(series)) == (frequency, first, 40)


def test_remarks_units_totals_and_copyrights_around_the_bars_are_none(write_csv):
    head, *rows = table([OHLCV, *bar(BARS)]).splitlines()
    text = "\n".join(
        [
            *("# Source: somewhere", head, ",USD,USD,USD,USD,shares", *rows),
            *("Total,,,,,123456", "", "Copyright 2024 Somebody. All rights reserved.", ""),
        ]
    )
    series = read_one(write_csv(text))
    assert series.close.tolist() == BARS.close
    assert {w.kind for w in series.warnings} == {"dropped rows (footer)"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"date":"2023-11-20","close":1}]', "found JSON, expected a CSV file"),
        ("<table><tr><td>1</td></tr></table>", "found a web page, not the file itself"),
        ("Date,Bid,Ask\n2023-11-20,1,2\n", r"expected a column close; data.columns.close= names"),
        ("Date,Volume\n2023-11-20,1\n", r"expected a column close; data.columns.close= names"),
        ("Date,Close\n45250,1.5\n45251,1.6\n", "found '45250' in Date, expected a date such as"),
        ("Date,Close\n2023-02-30,1.5\n", "found '2023-02-30' in Date, expected a date such as"),
        ("Date,Close\n2023-W54,1.5\n", "found '2023-W54' in Date, expected a date such as"),
        (
            hours(lambda d: f"{d:%Y-%m-%d %H:%M:%S} EST"),
            "found '2023-11-20 00:00:00 EST' in Date, expected a date such as",
        ),
        (
            "20112023;220;A;USD;4,8559;4,8565;1,0000;1,0000\n" * 2,
            r"expected columns date and close; data.columns.date=, data.columns.close= names",
        ),
    ],
    ids=["JSON", "HTML", "bid and ask", "volume", "Excel", "30 February", "W54", "EST", "PTAX"],
)
def test_what_nobody_can_know_is_refused_in_one_line(write_csv, text, expected):
    with pytest.raises(DataError, match=expected):
        read_one(write_csv(text))
