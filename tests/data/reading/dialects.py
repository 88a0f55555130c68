"""More families of price files, of sites and programs of many countries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tests.data.reading.market import (
    Bars,
    bar,
    english,
    european,
    investing,
    named,
    table,
)

OHLCV = ("Date", "Open", "High", "Low", "Close", "Volume")
GERMAN_MONTHS = (
    *("Jan.", "Feb.", "März", "Apr.", "Mai", "Juni"),
    *("Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."),
)
FRENCH_MONTHS = (
    *("janv.", "févr.", "mars", "avr.", "mai", "juin"),
    *("juil.", "août", "sept.", "oct.", "nov.", "déc."),
)
SPANISH_MONTHS = (
    "ene",
    "feb",
    "mar",
    "abr",
    "may",
    "jun",
    "jul",
    "ago",
    "sep",
    "oct",
    "nov",
    "dic",
)


def epoch(date: datetime) -> int:
    return int(date.replace(tzinfo=UTC).timestamp())


def rows_with(bars: Bars, first: Callable[[datetime], object], *names: str) -> list[tuple]:
    """Return rows of a date as `first` writes it and the named values, in their order."""
    return [(first(date), *values) for date, *values in bars.rows("dates", *names)]


BAR = ("open", "high", "low", "close", "volume")


def plain(day: str, *names: str, **options) -> Callable[[Bars], str]:
    """Return a writer of dates in a form and the values that the names say, under the names."""
    roles = {name: name.lower().split()[-1].strip('"') for name in names}

    def writer(bars: Bars) -> str:
        rows = rows_with(bars, lambda d: d.strftime(day), *(roles[n] for n in names))
        return table([(options.get("date", "Date"), *names), *rows], options.get("sep", ","))

    return writer


def kraken(bars: Bars) -> str:
    return table([(epoch(row[0]), *row[1:], 9) for row in rows_with(bars, lambda d: d, *BAR)])


def coinbase(bars: Bars) -> str:
    rows = rows_with(bars, epoch, "low", "high", "open", "close", "volume")
    return table([("time", "low", "high", "open", "close", "volume"), *rows[::-1]])


def bitstamp(bars: Bars) -> str:
    rows = [(f"{row[0]}.0", *row[1:], 7.5, 8.25) for row in rows_with(bars, epoch, *BAR)]
    rows.insert(3, (f"{epoch(bars.dates[2]) + 60}.0", *["NaN"] * 7))
    names = ("Timestamp", "Open", "High", "Low", "Close", "Volume_(BTC)", "Volume_(Currency)")
    return table([(*names, "Weighted_Price"), *rows])


def kucoin(bars: Bars) -> str:
    rows = [(*row, 1.5) for row in rows_with(bars, epoch, "open", "close", "high", "low", "volume")]
    return table([("time", "open", "close", "high", "low", "volume", "turnover"), *rows])


def bitfinex(bars: Bars) -> str:
    names = ("open", "close", "high", "low", "volume")
    return table(
        [("MTS", *map(str.upper, names)), *rows_with(bars, lambda d: 1000 * epoch(d), *names)]
    )


def coinmarketcap(bars: Bars) -> str:
    rows = []
    for date, *values in bars.rows("dates", "open", "high", "low", "close", "volume"):
        start, end = (f"{date:%Y-%m-%d}T{clock}" for clock in ("00:00:00.000Z", "23:59:59.999Z"))
        inside = f"{date:%Y-%m-%d}T13:26:00.000Z"
        rows.append((start, end, inside, inside, "2781", *values, 5.5e11, end))
    names = ("timeOpen", "timeClose", "timeHigh", "timeLow", "name", "open", "high", "low", "close")
    return "\ufeff" + table([(*names, "volume", "marketCap", "timestamp"), *rows[::-1]], ";")


def coingecko(bars: Bars) -> str:
    rows = [
        (row[0], row[1], 5e9, row[2])
        for row in rows_with(bars, lambda d: f"{d} UTC", "close", "volume")
    ]
    return table([("snapped_at", "price", "market_cap", "total_volume"), *rows])


def kaggle_coin(bars: Bars) -> str:
    rows = [
        (n, "Bitcoin", "BTC", f"{date:%Y-%m-%d} 23:59:59", high, low, open_, close, volume, 5e9)
        for n, (date, open_, high, low, close, volume) in enumerate(bars.rows("dates", *BAR), 1)
    ]
    names = ("SNo", "Name", "Symbol", "Date", "High", "Low", "Open", "Close", "Volume", "Marketcap")
    return table([names, *rows])


def interactive_brokers(bars: Bars) -> str:
    rows = [(n, *row, 390, row[4]) for n, row in enumerate(bar(bars, "%Y%m%d"))]
    return table(
        [("", "date", "open", "high", "low", "close", "volume", "barCount", "average"), *rows]
    )


def ninjatrader(bars: Bars) -> str:
    return table(bar(bars, "%Y%m%d"), ";")


def quandl(bars: Bars) -> str:
    rows = [
        (*row, 0.0, 1.0, *(round(v * a / row[4], 6) for v in row[1:4]), a, row[5])
        for row, a in zip(bar(bars), bars.adjusted, strict=True)
    ]
    names = (*OHLCV, "Ex-Dividend", "Split Ratio", *(f"Adj. {name}" for name in OHLCV[1:]))
    return table([names, *rows[::-1]])


def tiingo(bars: Bars) -> str:
    rows = []
    for row, a in zip(bar(bars, "%Y-%m-%dT00:00:00.000Z"), bars.adjusted, strict=True):
        date, open_, high, low, close, volume = row
        scaled = [round(v * a / close, 6) for v in (high, low, open_)]
        rows.append((date, close, high, low, open_, volume, a, *scaled, volume, 0.0, 1.0))
    names = ("date", "close", "high", "low", "open", "volume", "adjClose", "adjHigh", "adjLow")
    return table([(*names, "adjOpen", "adjVolume", "divCash", "splitFactor"), *rows])


def eod_historical(bars: Bars) -> str:
    rows = [(*r[:5], a, r[5]) for r, a in zip(bar(bars), bars.adjusted, strict=True)]
    return table([("Date", "Open", "High", "Low", "Close", "Adjusted_close", "Volume"), *rows])


def polygon(bars: Bars) -> str:
    rows = [
        ("AAPL", volume, open_, close, high, low, epoch(date) * 10**9, 77)
        for date, open_, high, low, close, volume in bars.rows("dates", *BAR)
    ]
    names = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
    return table([names, *rows])


def polygon_json(bars: Bars) -> str:
    rows = [
        (volume, close, open_, close, high, low, epoch(date) * 1000, 77)
        for date, open_, high, low, close, volume in bars.rows("dates", *BAR)
    ]
    return table([("v", "vw", "o", "c", "h", "l", "t", "n"), *rows])


def finnhub(bars: Bars) -> str:
    rows = [
        (close, high, low, open_, "ok", epoch(date), volume)
        for date, open_, high, low, close, volume in bars.rows("dates", *BAR)
    ]
    return table([("c", "h", "l", "o", "s", "t", "v"), *rows])


def wsj(bars: Bars) -> str:
    lines = [", ".join(map(str, row)) for row in bar(bars, "%m/%d/%y")]
    return "\n".join([", ".join(OHLCV), *lines[::-1], ""])


def marketwatch(bars: Bars) -> str:
    rows = [
        (row[0], *(english(v, 2) for v in row[1:5]), f"{row[5]:,}") for row in bar(bars, "%m/%d/%Y")
    ]
    return table([OHLCV, *rows[::-1]], quoted=True)


def google_sheet(bars: Bars) -> str:
    rows = [(f"{d.month}/{d.day}/{d.year} 16:00:00", c) for d, c in bars.rows("dates", "close")]
    return table([("Date", "Close"), *rows])


def yahoo_chart(bars: Bars) -> str:
    rows = [(row[0] + 52_200, *row[1:]) for row in rows_with(bars, epoch, *BAR, "adjusted")]
    return table([("timestamp", *BAR, "adjclose"), *rows])


def cboe(bars: Bars) -> str:
    return table(
        [("DATE", "OPEN", "HIGH", "LOW", "CLOSE"), *(r[:5] for r in bar(bars, "%m/%d/%Y"))]
    )


def ecb(bars: Bars) -> str:
    rows = [(d, f"{d:%d %b %Y}", c) for d, c in rows_with(bars, lambda d: d.date(), "close")]
    return table(
        [("DATE", "TIME PERIOD", "US dollar/Euro (EXR.D.USD.EUR.SP00.A)"), *rows], quoted=True
    )


def bank_of_england(bars: Bars) -> str:
    return table(
        [("DATE", "XUDLUSS"), *rows_with(bars, lambda d: f"{d:%d %b %Y}", "close")], quoted=True
    )


def bundesbank(bars: Bars) -> str:
    rows = [
        (d, str(c).replace(".", ","), "") for d, c in rows_with(bars, lambda d: d.date(), "close")
    ]
    rows.insert(
        5, (bars.dates[4].date().replace(day=bars.dates[4].day + 1), ".", "Kein Wert vorhanden")
    )
    code = "BBEX3.D.USD.EUR.BB.AC.000"
    above = [
        ("", code, f"{code}_FLAGS"),
        ("", "Euro-Referenzkurs der EZB / 1 EUR = ... USD / Vereinigte Staaten", ""),
        ("Dezimalstellen", "4", ""),
        ("Einheit", "USD", ""),
        ("Stand vom", "2024-01-21 12:03:15", ""),
    ]
    return "\ufeff" + table([*above, *rows], ";")


def banco_central(bars: Bars) -> str:
    rows = [(f"{d:%d/%m/%Y}", f"{c:.4f}".replace(".", ",")) for d, c in bars.rows("dates", "close")]
    return table([("data", "valor"), *rows], ";", quoted=True)


def investing_japanese(bars: Bars) -> str:
    names = ("日付け", "終値", "始値", "高値", "安値", "出来高", "変化率 %")
    return investing("{d:%Y}年{d:%m}月{d:%d}日", names, english)(bars)


def investing_chinese(bars: Bars) -> str:
    names = ("日期", "收盘", "开盘", "高", "低", "交易量", "涨跌幅")
    return investing("{d:%Y}-{d.month}-{d.day}", names, english)(bars)


def investing_korean(bars: Bars) -> str:
    names = ("날짜", "종가", "시가", "고가", "저가", "거래량", "변동 %")
    return investing("{d:%Y}- {d:%m}- {d:%d}", names, english)(bars)


def akshare(bars: Bars) -> str:
    rows = [
        (date, open_, close, high, low, volume, 1.5, 0.8)
        for date, open_, high, low, close, volume in bar(bars)
    ]
    return table([("日期", "开盘", "收盘", "最高", "最低", "成交量", "成交额", "涨跌幅"), *rows])


def profit(bars: Bars) -> str:
    rows = [
        (
            "WINFUT",
            f"{date:%d/%m/%Y}",
            *(european(v, 2) for v in values),
            "600.822.115,84",
            f"{volume:,}".replace(",", "."),
        )
        for date, *values, volume in bars.rows("dates", *BAR)
    ]
    names = ("Ativo", "Data", "Abertura", "Máximo", "Mínimo", "Fechamento", "Volume", "Quantidade")
    return table([names, *rows[::-1]], ";")


def status_invest(bars: Bars) -> str:
    rows = [(f"{d:%d/%m/%y} 00:00", f"R$ {european(c, 2)}") for d, c in bars.rows("dates", "close")]
    return table([("DATA", "PREÇO"), *rows[::-1]], ";")


def excel_sep(bars: Bars) -> str:
    rows = [(row[0], *(european(v, 2) for v in row[1:5]), row[5]) for row in bar(bars, "%d.%m.%Y")]
    return "sep=;\n" + table(
        [("Datum", "Eröffnung", "Hoch", "Tief", "Schluss", "Volumen"), *rows], ";"
    )


def ariva(bars: Bars) -> str:
    rows = [
        (*(row[0], *(european(v, 2) for v in row[1:5])), row[5], "1.234.567") for row in bar(bars)
    ]
    names = ("Datum", "Erster", "Hoch", "Tief", "Schlusskurs", "Stuecke", "Volumen")
    return table([names, *rows[::-1]], ";")


def euronext(bars: Bars) -> str:
    rows = [(*r[:4], r[4], r[4], r[5], 812, 1.5, r[4]) for r in bar(bars, "%d/%m/%Y")]
    names = ("Date", "Open", "High", "Low", "Last", "Close", "Number of Shares", "Number of Trades")
    above = '"Historical Data"\n"From 2023-11-20 to 2024-01-20"\nFR0000131104\n'
    return "\ufeff" + above + table([(*names, "Turnover", "vwap"), *rows[::-1]], ";")


def abc_bourse(bars: Bars) -> str:
    rows = [
        ("FR0000131104", f"{d:%d/%m/%y}", *(str(v).replace(".", ",") for v in values), volume)
        for d, *values, volume in bars.rows("dates", *BAR)
    ]
    return table(rows, ";")


def bse(bars: Bars) -> str:
    rows = [
        (f"{d.day}-{d:%B}-{d:%Y}", *values, 1.5, volume, 77, 1e6, "", 1, 2, 3)
        for d, *values, volume in bars.rows("dates", *BAR)
    ]
    names = ("Date", "Open Price", "High Price", "Low Price", "Close Price", "WAP", "No.of Shares")
    names += ("No. of Trades", "Total Turnover (Rs.)", "Deliverable Quantity", "% Deli. Qty")
    names += ("Spread High-Low", "Spread Close-Open")
    return "\n".join([",".join(names), *(",".join(map(str, row)) + "," for row in rows[::-1]), ""])


def yields(bars: Bars) -> str:
    rows = [(d, f"{c:.2f}%") for d, c in rows_with(bars, lambda d: d.date(), "close")]
    rows.insert(7, (bars.dates[6].date().replace(day=bars.dates[6].day + 1), "\u2013"))
    return table([("Date", "Yield"), *rows])


def months(
    names: tuple[str, ...], form: str, header: tuple[str, ...], sep: str
) -> Callable[[Bars], str]:
    """Return a writer of dates with the months of a language."""

    def writer(bars: Bars) -> str:
        rows = [
            (
                form.format(d=d, month=names[d.month - 1]),
                *(str(v).replace(".", ",") for v in values),
                volume,
            )
            for d, *values, volume in bars.rows("dates", *BAR)
        ]
        return table([header, *rows], sep)

    return writer


def clock_12(bars: Bars) -> str:
    rows = [
        (f"{d.month}/{d.day}/{d:%Y} 4:00:00 PM", *r[1:])
        for d, r in zip(bars.dates, bar(bars), strict=True)
    ]
    return table([OHLCV, *rows])


DIALECTS: dict[str, Callable[[Bars], str]] = {
    "Kraken": kraken,
    "Coinbase": coinbase,
    "Bitstamp": bitstamp,
    "KuCoin": kucoin,
    "Bitfinex": bitfinex,
    "CoinMarketCap": coinmarketcap,
    "CoinGecko": coingecko,
    "Kaggle, coins": kaggle_coin,
    "Interactive Brokers": interactive_brokers,
    "NinjaTrader": ninjatrader,
    "Dukascopy": named("%d.%m.%Y 00:00:00.000", ("Gmt time", *OHLCV[1:])),
    "Dukascopy, JForex": named("%Y.%m.%d 00:00:00", ("Time (UTC)", *OHLCV[1:5], "Volume ")),
    "FirstRateData": lambda bars: table(bar(bars, "%Y-%m-%d %H:%M:%S")),
    "Quandl": quandl,
    "Nasdaq Data Link": named("%Y-%m-%d", ("Date", "Open", "High", "Low", "Settle", "Volume")),
    "EOD Historical": eod_historical,
    "Tiingo": tiingo,
    "Polygon": polygon,
    "Polygon, JSON": polygon_json,
    "Finnhub": finnhub,
    "all_stocks_5yr": lambda bars: table(
        [("date", *BAR, "Name"), *((*row, "AAL") for row in bar(bars))]
    ),
    "WSJ": wsj,
    "MarketWatch": marketwatch,
    "Google Finance": google_sheet,
    "Yahoo, chart": yahoo_chart,
    "CBOE": cboe,
    "ECB": ecb,
    "Bank of England": bank_of_england,
    "Bundesbank": bundesbank,
    "Banco Central": banco_central,
    "Investing Italian": investing(
        "{d:%d.%m.%Y}",
        ("Data", "Ultimo", "Apertura", "Massimo", "Minimo", "Vol.", "Var. %"),
        european,
    ),
    "Investing Polish": investing(
        "{d:%d.%m.%Y}",
        ("Data", "Ostatnio", "Otwarcie", "Max.", "Min.", "Wol.", "Zmiana%"),
        european,
    ),
    "Investing Russian": investing(
        "{d:%d.%m.%Y}", ("Дата", "Цена", "Откр.", "Макс.", "Мин.", "Объём", "Изм. %"), european
    ),
    "Investing Turkish": investing(
        "{d:%d.%m.%Y}",
        ("Tarih", "Şimdi", "A\u00e7\u0131l\u0131\u015f", "Yüksek", "Düşük", "Hac.", "Fark %"),
        european,
    ),
    "Investing Dutch": investing(
        "{d:%d-%m-%Y}",
        ("Datum", "Laatst", "Open", "Hoog", "Laag", "Vol.", "Verschil %"),
        european,
    ),
    "Investing Swedish": investing(
        "{d:%Y-%m-%d}",
        ("Datum", "Senaste", "Öppen", "Högst", "Lägst", "Vol.", "+/- %"),
        lambda v, n: f"{v:,.{n}f}".translate(str.maketrans(",.", "\u00a0,")),
    ),
    "Investing Japanese": investing_japanese,
    "Investing Chinese": investing_chinese,
    "Investing Korean": investing_korean,
    "akshare": akshare,
    "Profit": profit,
    "Status Invest": status_invest,
    "Excel, sep=;": excel_sep,
    "Ariva": ariva,
    "Euronext": euronext,
    "ABC Bourse": abc_bourse,
    "BSE": bse,
    "yields in per cent": yields,
    "German months": months(
        GERMAN_MONTHS,
        "{d.day}. {month} {d:%Y}",
        ("Datum", "Eröffnung", "Hoch", "Tief", "Schluss", "Volumen"),
        ";",
    ),
    "French months": months(
        FRENCH_MONTHS,
        "{d.day} {month} {d:%Y}",
        ("Date", "Ouverture", "Plus haut", "Plus bas", "Clôture", "Volume"),
        ";",
    ),
    "Spanish months": months(
        SPANISH_MONTHS,
        "{d:%d}-{month}-{d:%Y}",
        ("Fecha", "Apertura", "Máximo", "Mínimo", "Cierre", "Volumen"),
        "\t",
    ),
    "times of 12 hours": clock_12,
}
ADJUSTED = {"Quandl", "EOD Historical", "Tiingo", "Yahoo, chart"}
ONE_PRICE = {
    *("CoinGecko", "Google Finance", "ECB", "Bank of England", "Bundesbank", "Banco Central"),
    *("Status Invest", "yields in per cent"),
}
TICKERS = {
    "CoinMarketCap": "2781",
    "Kaggle, coins": "BTC",
    "Polygon": "AAPL",
    "all_stocks_5yr": "AAL",
    "Profit": "WINFUT",
    "ABC Bourse": "FR0000131104",
}
