"""The families of price files, as tables: a new one is a line.

Most files are known by the names of their columns, which `names` holds in many languages; those
need a line in `NAMED` only to be called by their maker's name. Files without a header are known by
the look of their cells, in `POSITIONS`. What neither can say has a function in `layouts`.
"""

from __future__ import annotations

# Name and plain column names; the first whose names a header has all is what a file is called.
NAMED: tuple[tuple[str, str], ...] = (
    ("Alpha Vantage, adjusted", "timestamp|open|high|low|close|adjusted close|dividend amount"),
    ("Alpha Vantage", "timestamp|open|high|low|close|volume"),
    ("CryptoDataDownload", "unix|date|symbol|open|high|low|close"),
    ("CryptoDataDownload", "date|symbol|open|high|low|close|volume usd"),
    ("MetaTrader 5", "date|open|high|low|close|tickvol|vol|spread"),
    ("Stooq, ASCII", "ticker|per|date|time|open|high|low|close|vol"),
    ("Stooq, Polish", "data|otwarcie|najwyzszy|najnizszy|zamkniecie"),
    ("Stooq", "date|open|max|min|close"),
    ("Yahoo", "date|open|high|low|close|adj close|volume"),
    ("Binance", "open time|open|high|low|close|volume|close time"),
    ("Investing.com", "date|price|open|high|low|change %"),
    ("Investing.com, Portuguese", "data|ultimo|abertura|maxima|minima|var%"),
    ("Investing.com, Spanish", "fecha|ultimo|apertura|maximo|minimo|% var"),
    ("Investing.com, German", "datum|zuletzt|eroffn|hoch|tief"),
    ("Investing.com, French", "date|dernier|ouv|plus haut|plus bas"),
    ("Investing.com, Italian", "data|ultimo|apertura|massimo|minimo"),
    ("Investing.com, Polish", "data|ostatnio|otwarcie|max|min"),
    ("nasdaq.com", "date|close last|volume|open|high|low"),
    ("NSE, Quandl", "date|open|high|low|last|close|turnover"),
    ("NSE, Quandl", "date|open|high|low|last|close|turnover lacs"),
    ("NSE", "date|series|open|high|low|prev close|ltp|close|vwap"),
    ("Barchart", "time|open|high|low|last|change|%chg"),
    ("Barchart", "time|open|high|low|latest|change|%change"),
    ("TradingView", "time|open|high|low|close"),
    ("FRED", "observation date"),
    ("Quandl", "date|open|high|low|close|volume|split ratio|adj close"),
    ("Tiingo", "date|close|high|low|open|volume|adjclose|splitfactor"),
    ("Polygon", "ticker|volume|open|close|high|low|window start"),
    ("CoinMarketCap", "timeopen|timeclose|open|high|low|close|volume"),
    ("CoinGecko", "snapped at|price|market cap|total volume"),
    ("KuCoin", "time|open|close|high|low|volume|turnover"),
    ("Interactive Brokers", "date|open|high|low|close|volume|barcount"),
    ("Dukascopy", "gmt time|open|high|low|close"),
    ("Profit", "ativo|data|abertura|maximo|minimo|fechamento|quantidade"),
    ("Euronext", "date|open|high|low|last|close|number of shares"),
    ("akshare", "日期|开盘|收盘|最高|最低|成交量"),
)
# Files without a header: the look of their cells (d date, t time, e digits that may be seconds
# since 1970, n number, w words), and the role of each column, "" where it has none.
POSITIONS: tuple[tuple[str, str, str], ...] = (
    ("Binance", r"e[ne]{11}", "date open high low close volume"),
    ("Stooq, ASCII", r"wwd[tn][ne]{6}", "ticker  date time open high low close volume"),
    ("MetaTrader 5", r"dt[ne]{7}", "date time open high low close volume"),
    ("MetaTrader 4", r"dt[ne]{5,6}", "date time open high low close volume"),
    ("MetaTrader 4", r"dt[ne]{4}", "date time open high low close"),
    ("Kraken", r"e[ne]{6}", "date open high low close volume"),
    ("Yahoo", r"d[ne]{6}", "date open high low close adjusted volume"),
    ("date, time, bar, volume", r"d[ne]{6}", "date time open high low close volume"),
    ("date, bar, volume", r"d[ne]{6}", "date open high low close volume"),
    ("date, bar, volume", r"[de][ne]{5}", "date open high low close volume"),
    ("date and bar", r"[de][ne]{4}", "date open high low close"),
    ("date and price", r"d[ne]", "date close"),
    ("ticker, date, bar, volume", r"wd[ne]{5}", "ticker date open high low close volume"),
)
