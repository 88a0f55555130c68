"""Invented bars, written down as each family of price files writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@dataclass(frozen=True)
class Bars:
    """Bars in order of time."""

    dates: list[datetime]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    adjusted: list[float]
    volume: list[int]

    def __len__(self) -> int:
        return len(self.dates)

    def rows(self, *names: str) -> list[tuple]:
        return list(zip(*(getattr(self, name) for name in names), strict=True))


def make_bars(
    count: int = 40,
    price: float = 250.0,
    decimals: int = 2,
    step: timedelta | None = None,
    seed: int = 0,
) -> Bars:
    """Make bars of trading days, or at a distance of `step`, that walk by one per cent a bar."""
    rng = np.random.default_rng(seed)
    closes = np.round(price * np.exp(np.cumsum(rng.normal(0, 0.01, count))), decimals)
    opens = np.round(np.r_[price, closes[:-1]] * 1.001, decimals)
    highs = np.round(np.maximum(opens, closes) * 1.002, decimals)
    lows = np.round(np.minimum(opens, closes) * 0.998, decimals)
    day, dates = datetime(2023, 11, 20), []
    while len(dates) < count:
        if step is not None or day.weekday() < 5:
            dates.append(day)
        day += step or timedelta(days=1)
    adjusted = np.round(closes * np.linspace(0.9, 1, count), decimals + 4)
    volume = rng.integers(10_000, 3_000_000, count)
    return Bars(dates, *(v.tolist() for v in (opens, highs, lows, closes, adjusted, volume)))


def table(rows: Sequence[Sequence], delimiter: str = ",", quoted: bool = False) -> str:
    """Write rows as delimited text."""
    out = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=quoting).writerows(rows)
    return out.getvalue()


def european(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".translate(str.maketrans(",.", ".,"))


def bar(bars: Bars, day: str = "%Y-%m-%d", volume: bool = True) -> list[tuple]:
    """Return rows of date, open, high, low, close and volume."""
    columns = [
        [date.strftime(day) for date in bars.dates],
        bars.open,
        bars.high,
        bars.low,
        bars.close,
    ]
    return list(zip(*columns, *([bars.volume] if volume else []), strict=True))


def yahoo(bars: Bars) -> str:
    rows = [
        (*row[:5], adjusted, row[5]) for row, adjusted in zip(bar(bars), bars.adjusted, strict=True)
    ]
    return table([("Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"), *rows])


def yfinance(bars: Bars, *tickers: str) -> str:
    names = tickers or ("AAPL",)
    fields = ("Close", "High", "Low", "Open", "Volume")
    cells = bars.rows("close", "high", "low", "open", "volume")
    rows = [
        (
            f"{date:%Y-%m-%d}",
            *(v * (1 + n) if k < 4 else v for k, v in enumerate(row) for n in range(len(names))),
        )
        for date, row in zip(bars.dates, cells, strict=True)
    ]
    width = len(fields) * len(names)
    return table(
        [
            ("Price", *(field for field in fields for _ in names)),
            ("Ticker", *(name for _ in fields for name in names)),
            ("Date", *[""] * width),
            *rows,
        ]
    )


def yfinance_by_ticker(bars: Bars) -> str:
    rows = [(row[0], *row[1:], *(2 * price for price in row[1:5]), row[5]) for row in bar(bars)]
    fields = ("Open", "High", "Low", "Close", "Volume")
    return table(
        [
            ("Ticker", *["PETR4.SA"] * 5, *["VALE3.SA"] * 5),
            ("Price", *fields, *fields),
            ("Date", *[""] * 10),
            *rows,
        ]
    )


def yfinance_history(bars: Bars) -> str:
    """`Ticker.history()`: midnight in New York, an hour further from UTC in winter."""
    rows = [(f"{row[0]} 00:00:00-05:00", *row[1:], 0.0, 0.0) for row in bar(bars)]
    return table(
        [("Date", "Open", "High", "Low", "Close", "Volume", "Dividends", "Stock Splits"), *rows]
    )


def flattened(bars: Bars) -> str:
    return table(
        [("Date", "Open_AAPL", "High_AAPL", "Low_AAPL", "Close_AAPL", "Volume_AAPL"), *bar(bars)]
    )


def tuples(bars: Bars) -> str:
    names = ("Open", "High", "Low", "Close", "Volume")
    return table([("('Date', '')", *(f"('{name}', 'AAPL')" for name in names)), *bar(bars)])


def investing(
    day: str, names: Sequence[str], write: Callable[[float, int], str], decimals: int = 2
) -> Callable[[Bars], str]:
    """Return a writer of Investing.com's files: newest first, all cells quoted, volumes in M."""

    def writer(bars: Bars) -> str:
        rows = [
            (
                day.format(d=date, month=MONTHS[date.month - 1]),
                *(write(price, decimals) for price in (close, open_, high, low)),
                write(volume / 1e6, 2) + "M",
                write(0.37, 2) + "%",
            )
            for date, open_, high, low, close, volume in bars.rows(
                "dates", "open", "high", "low", "close", "volume"
            )
        ]
        return "\ufeff" + table([names, *rows[::-1]], quoted=True)

    return writer


def english(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}"


ENGLISH_NAMES = ("Date", "Price", "Open", "High", "Low", "Vol.", "Change %")
PORTUGUESE_NAMES = ("Data", "Último", "Abertura", "Máxima", "Mínima", "Vol.", "Var%")


def metatrader5(bars: Bars) -> str:
    rows = [(*row, 0, 7) for row in bar(bars, "%Y.%m.%d")]
    names = ("DATE", "OPEN", "HIGH", "LOW", "CLOSE", "TICKVOL", "VOL", "SPREAD")
    return table([[f"<{name}>" for name in names], *rows], "\t")


def metatrader5_hours(bars: Bars) -> str:
    rows = [
        (row[0], f"{d:%H:%M:%S}", *row[1:], 0, 7)
        for row, d in zip(bar(bars, "%Y.%m.%d"), bars.dates, strict=True)
    ]
    names = ("DATE", "TIME", "OPEN", "HIGH", "LOW", "CLOSE", "TICKVOL", "VOL", "SPREAD")
    return table([[f"<{name}>" for name in names], *rows], "\t")


def metatrader4(bars: Bars) -> str:
    return table(
        [
            (row[0], f"{d:%H:%M}", *row[1:])
            for row, d in zip(bar(bars, "%Y.%m.%d"), bars.dates, strict=True)
        ]
    )


def histdata(bars: Bars) -> str:
    return table([(*row[:5], 0) for row in bar(bars, "%Y%m%d %H%M%S")], ";")


def binance(factor: int, names: bool = False) -> Callable[[Bars], str]:
    """Return a writer of Binance's klines, times counted `factor` to the second."""

    def writer(bars: Bars) -> str:
        rows = []
        for row, date in zip(bar(bars), bars.dates, strict=True):
            start = int(date.replace(tzinfo=UTC).timestamp())
            prices = [f"{value:.8f}" for value in row[1:]]
            rows.append(
                (start * factor, *prices, (start + 3600) * factor - 1, "1.5", 7, "1.0", "0.5", 0)
            )
        header = (
            *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
            *("count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
        )
        return table([header, *rows] if names else rows)

    return writer


def cryptodatadownload(bars: Bars) -> str:
    rows = [
        (
            f"{d.replace(tzinfo=UTC).timestamp() * 1000:.5E}",
            f"{d.month}/{d.day}/{d:%Y} 0:00",
            "BTC/USDT",
            *row[1:],
            9,
        )
        for row, d in zip(bar(bars), bars.dates, strict=True)
    ]
    names = ("unix", "date", "symbol", "open", "high", "low", "close", "Volume BTC", "Volume USDT")
    return "https://www.CryptoDataDownload.com,,,,,,,,\n" + table([names, *rows[::-1]])


def alpha_vantage(bars: Bars) -> str:
    rows = [
        (*row[:5], adjusted, row[5], "0.0000", "1.0")
        for row, adjusted in zip(bar(bars), bars.adjusted, strict=True)
    ]
    names = (
        "timestamp",
        "open",
        "high",
        "low",
        "close",
        "adjusted_close",
        "volume",
        "dividend_amount",
        "split_coefficient",
    )
    return table([names, *rows[::-1]])


def tradingview(bars: Bars) -> str:
    rows = [
        (int(d.replace(tzinfo=UTC).timestamp()), *row[1:], 1.5, 2.5)
        for row, d in zip(bar(bars), bars.dates, strict=True)
    ]
    return table([("time", "open", "high", "low", "close", "Volume", "Plot", "Plot"), *rows])


def tradingview_offsets(bars: Bars) -> str:
    """Local time in New York, four hours behind UTC until 5 a.m. UTC and five after."""
    rows = []
    for row, date in zip(bar(bars), bars.dates, strict=True):
        hours = -4 if date < bars.dates[len(bars) // 2] else -5
        local = date.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=hours)))
        rows.append((local.isoformat(), *row[1:]))
    return table([("time", "open", "high", "low", "close", "Volume"), *rows])


def fred(bars: Bars) -> str:
    return table([("observation_date", "DGS10"), *bars_of(bars)])


def bars_of(bars: Bars) -> list[tuple]:
    return [(f"{date:%Y-%m-%d}", close) for date, close in bars.rows("dates", "close")]


def nse(bars: Bars) -> str:
    rows = [(*row[:4], row[4] + 1, row[4], row[5], 1.5) for row in bar(bars)]
    return table(
        [
            (
                "Date",
                "Open",
                "High",
                "Low",
                "Last",
                "Close",
                "Total Trade Quantity",
                "Turnover (Lacs)",
            ),
            *rows[::-1],
        ]
    )


def nse_site(bars: Bars) -> str:
    rows = [
        (f"{d:%d-%b-%Y}", "EQ", *(f"{v:,.2f}" for v in (o, h, low, c - 1, c + 1, c, c)), v)
        for d, o, h, low, c, v in bars.rows("dates", "open", "high", "low", "close", "volume")
    ]
    names = (
        "Date ",
        "series ",
        "OPEN ",
        "HIGH ",
        "LOW ",
        "PREV. CLOSE ",
        "ltp ",
        "close ",
        "vwap ",
        "VOLUME ",
    )
    return "\ufeff" + table([names, *rows[::-1]], quoted=True)


def barchart(bars: Bars) -> str:
    rows = [(row[0], *row[1:5], 0.97, "+1.34%", row[5], 15) for row in bar(bars, "%m/%d/%Y")]
    names = ("Time", "Open", "High", "Low", "Last", "Change", "%Chg", "Volume", "Open Int")
    return (
        table([names, *rows[::-1]])
        + '"Downloaded from Barchart.com as of 04-24-2024 05:45pm CDT"\n'
    )


def nasdaq(bars: Bars) -> str:
    rows = [
        (row[0], f"${row[4]}", row[5], *(f"${v}" for v in row[1:4]))
        for row in bar(bars, "%m/%d/%Y")
    ]
    return table([("Date", "Close/Last", "Volume", "Open", "High", "Low"), *rows[::-1]])


def stooq_ascii(bars: Bars) -> str:
    rows = [("^SPX", "D", row[0], "000000", *row[1:], 0) for row in bar(bars, "%Y%m%d")]
    names = ("TICKER", "PER", "DATE", "TIME", "OPEN", "HIGH", "LOW", "CLOSE", "VOL", "OPENINT")
    return table([[f"<{name}>" for name in names], *rows])


def named(day: str, names: Sequence[str], delimiter: str = ",") -> Callable[[Bars], str]:
    """Return a writer of a header and bars."""
    return lambda bars: table([names, *bar(bars, day)], delimiter)


def german(bars: Bars) -> str:
    names = ("Datum", "Eröffnung", "Hoch", "Tief", "Schlusskurs", "Volumen")
    rows = [(row[0], *(european(v, 2) for v in row[1:5]), row[5]) for row in bar(bars, "%d.%m.%Y")]
    return table([names, *rows], ";")


def cotahist(bars: Bars, ticker: str = "PETR4", factor: int = 1, market: str = "010") -> str:
    """Write bars as B3 does: 245 columns, prices in cents for `factor` shares."""
    lines = []
    for date, open_, high, low, close, volume in bars.rows(
        "dates", "open", "high", "low", "close", "volume"
    ):
        prices = [
            f"{round(100 * factor * value):013d}"
            for value in (open_, high, low, close, close, close, close)
        ]
        line = f"01{date:%Y%m%d}02{ticker:<12}{market}{'EMPRESA':<12}{'PN':<10}{'':3}R$  "
        line += "".join(prices) + f"{7:05d}{volume:018d}{0:018d}{0:013d}0{99991231:08d}"
        lines.append(f"{line}{factor:07d}{0:013d}BRXXXXACNPR6169")
    assert {len(line) for line in lines} == {245}
    header, trailer = (
        "00COTAHIST.2023BOVESPA 20231231",
        f"99COTAHIST.2023BOVESPA 20231231{len(bars):011d}",
    )
    return "\r\n".join([f"{header:<245}", *lines, f"{trailer:<245}", ""])


FAMILIES: dict[str, Callable[[Bars], str]] = {
    "Yahoo": yahoo,
    "yfinance": yfinance,
    "yfinance history": yfinance_history,
    "flattened": flattened,
    "tuples": tuples,
    "Investing old": investing("{month} {d:%d}, {d:%Y}", ENGLISH_NAMES, english),
    "Investing new": investing("{d:%m/%d/%Y}", ENGLISH_NAMES, english),
    "Investing Portuguese": investing("{d:%d.%m.%Y}", PORTUGUESE_NAMES, european),
    "Investing Spanish": investing(
        "{d:%d.%m.%Y}",
        ("Fecha", "Último", "Apertura", "Máximo", "Mínimo", "Vol.", "% var."),
        european,
    ),
    "Investing German": investing(
        "{d:%d.%m.%Y}", ("Datum", "Zuletzt", "Eröffn.", "Hoch", "Tief", "Vol.", "+/- %"), european
    ),
    "Investing French": investing(
        "{d:%d/%m/%Y}",
        ("Date", "Dernier", "Ouv.", " Plus Haut", "Plus Bas", "Vol.", "Variation %"),
        european,
    ),
    "Stooq": named("%Y-%m-%d", ("Date", "Open", "High", "Low", "Close", "Volume")),
    "Stooq max min": named("%Y-%m-%d", ("Date", "Open", "Max", "Min", "Close", "Volume")),
    "Stooq Polish": named(
        "%Y-%m-%d", ("Data", "Otwarcie", "Najwyzszy", "Najnizszy", "Zamkniecie", "Wolumen")
    ),
    "Stooq ASCII": stooq_ascii,
    "MetaTrader 5": metatrader5,
    "MetaTrader 4": metatrader4,
    "HistData": histdata,
    "Binance ms": binance(1000),
    "Binance us": binance(1_000_000),
    "Binance names": binance(1000, names=True),
    "CryptoDataDownload": cryptodatadownload,
    "Alpha Vantage": alpha_vantage,
    "TradingView": tradingview,
    "FRED": fred,
    "NSE Quandl": nse,
    "NSE": nse_site,
    "Barchart": barchart,
    "nasdaq.com": nasdaq,
    "German": german,
    "month first": named("%m/%d/%Y", ("Date", "Open", "High", "Low", "Close", "Volume")),
    "pipes": named("%Y/%m/%d", ("Date", "Open", "High", "Low", "Close", "Volume"), "|"),
    "two-digit years": named("%d-%b-%y", ("Date", "Open", "High", "Low", "Close", "Volume")),
}
