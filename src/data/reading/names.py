"""What the columns of a price file are called, in the languages that files come in.

A new dialect of a known layout is a word in `ENGLISH` or `OTHERS`. Of several columns that could
play a role, the earlier word wins: `Close` before `Last`, `date` before `unix`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

ROLES = ("date", "time", "open", "high", "low", "close", "adjusted", "volume", "ticker")
PRICES = ("open", "high", "low", "close", "adjusted")

ENGLISH: dict[str, tuple[str, ...]] = {
    "date": (
        *("date", "datetime", "date time", "trade date", "trading date", "observation date"),
        *("timestamp", "time stamp", "day", "dt", "open time", "opentime", "gmt time"),
        *("local time", "utc time", "time utc", "date gmt", "date utc", "dtyyyymmdd"),
        *("window start", "snapped at", "mts", "as of date", "business date", "session"),
        *("unix", "unix timestamp", "epoch", "ts", "period", "month", "quarter", "week"),
    ),
    "time": ("time", "hour"),
    "open": ("open", "opening", "open price", "opening price"),
    "high": ("high", "max", "high price", "highest", "maximum"),
    "low": ("low", "min", "low price", "lowest", "minimum"),
    "close": (
        *("close", "closing", "close price", "closing price", "close last", "last", "latest"),
        *("last price", "ltp", "price", "value", "rate", "settle", "settlement price"),
    ),
    "adjusted": (
        *("adj close", "adjclose", "adjusted close", "adj close price", "close adj"),
        *("adj closing price", "adjusted closing price", "close adjusted", "adjusted"),
    ),
    "volume": (
        # Of two columns the one that counts pieces, not money.
        *("number of shares", "no of shares", "shares traded", "quantidade", "stueck", "stuecke"),
        *("volume", "vol", "tickvol", "tick volume", "volumes", "total trade quantity"),
        *("totaltradequantity", "total traded quantity", "tottrdqty", "quantity", "qty"),
        *("volume traded", "traded volume"),
    ),
    "ticker": (
        *("ticker", "symbol", "tickers", "symbols", "stock symbol", "ticker symbol", "sym"),
        *("tic", "stock", "name", "code", "instrument", "asset", "pair", "security", "scrip"),
    ),
}
OTHERS: dict[str, tuple[str, ...]] = {
    "date": (
        *("data", "datum", "fecha", "tarih", "dia", "data do pregao", "data pregao", "data hora"),
        *("дата", "日付", "日付け", "日期", "时间", "交易日期", "날짜"),
    ),
    "time": ("hora", "uhrzeit", "zeit", "czas", "heure", "ora", "saat", "время"),
    "open": (
        *("abertura", "apertura", "abert", "preco de abertura", "eroffnung", "eroffn"),
        *("eroffnungskurs", "erster", "ouverture", "ouv", "otwarcie", "acilis", "oppen"),
        *("откр", "始値", "开盘", "开盘价", "시가", "preabe"),
    ),
    "high": (
        *("maxima", "maximo", "alta", "preco maximo", "hoch", "tageshoch", "haut", "plus haut"),
        *(
            "massimo",
            "najwyzszy",
            "hoog",
            "yuksek",
            "hogst",
            "макс",
            "高値",
            "高",
            "最高",
            "最高价",
            "고가",
            "premax",
        ),
    ),
    "low": (
        *("minima", "minimo", "baixa", "preco minimo", "tief", "tagestief", "bas", "plus bas"),
        *("najnizszy", "laag", "dusuk", "lagst", "мин", "安値", "低", "저가", "premin"),
        *("最低", "最低价"),
    ),
    "close": (
        *("fechamento", "cierre", "schluss", "schlusskurs", "cloture", "fermeture", "chiusura"),
        *("zamkniecie", "kapanis", "preco de fechamento", "ultimo", "zuletzt", "letzter"),
        *("dernier", "ostatnio", "laatst", "senast", "simdi", "preco", "precio", "valor"),
        *(
            "cotacao",
            "kurs",
            "senaste",
            "收盘价",
            "slutkurs",
            "slotkoers",
            "цена",
            "終値",
            "收盘",
            "종가",
            "preult",
        ),
    ),
    "adjusted": (
        *("fechamento ajustado", "preco ajustado", "cierre ajustado", "cierre aj"),
        *("bereinigter schlusskurs", "cloture ajustee", "chiusura aggiustata"),
    ),
    "volume": (
        *("volumen", "wolumen", "wol", "obrot", "stuck", "stueck", "hac", "hacim", "quantidade"),
        *("объем", "出来高", "交易量", "成交量", "거래량", "quatot"),
    ),
    "ticker": ("papel", "ativo", "codigo", "simbolo", "codneg", "wertpapier"),
}
WORDS = {role: (*ENGLISH[role], *OTHERS[role]) for role in ROLES}
_ROLE_OF = {word: role for role, words in WORDS.items() for word in words}
_FOREIGN = {word for words in OTHERS.values() for word in words}
# "1. open", "4a. close (USD)", "Close*": what stands around a name without being part of it.
_AROUND = re.compile(r"^\d+[a-z]?\. |\((usd|usdt|eur|brl|gbp|jpy|inr|r\$|\$)\)|[*°]")
# Letters that have no accent to take off.
_LETTERS = str.maketrans("łøđı", "lodi")


def plain(name: str) -> str:
    """Reduce a column name to lower-case words without accents, brackets and numbering.

    >>> [plain(name) for name in ("<CLOSE>", " Último", "5. adjusted close", "Close/Last", "Vol.")]
    ['close', 'ultimo', 'adjusted close', 'close last', 'vol']
    """
    lowered = _AROUND.sub(" ", name.strip().lstrip("\ufeff").casefold()).translate(_LETTERS)
    decomposed = unicodedata.normalize("NFKD", lowered)
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    # Taking accents off takes syllables apart too: put those together again.
    return " ".join(re.sub(r"[^\w%+]|_", " ", unicodedata.normalize("NFC", letters)).split())


_LETTERS_OF = {"t": "timestamp", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}


def spelled_out(header: Sequence[str]) -> Sequence[str]:
    """Return a header of single letters as words, where all of a bar's are there.

    >>> spelled_out(["t", "o", "h", "l", "c", "vw"]), spelled_out(["t", "c"])
    (['timestamp', 'open', 'high', 'low', 'close', 'vw'], ['t', 'c'])
    """
    letters = [name.casefold() for name in header]
    if not {"t", "o", "h", "l", "c"} <= set(letters):
        return header
    return [_LETTERS_OF.get(letter, name) for letter, name in zip(letters, header, strict=True)]


def role_of(name: str) -> str | None:
    """Return the role that a column name stands for, or None.

    >>> role_of("Adj Close**"), role_of("Máxima"), role_of("RSI")
    ('adjusted', 'high', None)
    """
    return _ROLE_OF.get(plain(name))


def columns_of(header: Sequence[str], role: str) -> list[int]:
    """Return the positions of the columns that can play a role, the best first."""
    by_word: dict[str, list[int]] = {}
    for position, name in enumerate(spelled_out(header)):
        by_word.setdefault(plain(name), []).append(position)
    found = [position for word in WORDS[role] for position in by_word.get(word, [])]
    if role == "volume" and not found:
        # "Volume BTC", "Volume USDT": the first counts units of what is traded.
        found = [n for n, name in enumerate(header) if plain(name).startswith("volume ")]
    return found


def is_foreign(header: Sequence[str]) -> bool:
    """Tell whether a header is not English, so that a dot may stand between thousands."""
    words = [plain(name) for name in header]
    return any(word in _FOREIGN or not word.isascii() for word in words)
