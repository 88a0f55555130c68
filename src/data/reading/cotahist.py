"""COTAHIST, the daily file of the Brazilian exchange B3: fixed columns, all that was traded.

A year of it is half a gigabyte, so it is read line by line and only the wanted bars are kept. Where
a field stands is in "Layout do arquivo - Cotações Históricas", published by B3; prices are in cents
for as many shares as the price factor says, and not adjusted for dividends and splits.
"""

from __future__ import annotations

import lzma
import zipfile
from pathlib import Path

import numpy as np

from src.data.reading.checks import PriceWarning
from src.data.reading.dates import Instants
from src.data.reading.delimited import choose_ticker
from src.data.reading.errors import DataError, quote
from src.data.reading.files import open_unpacked
from src.data.reading.series import PriceTable, ReadOptions, build_series

LAYOUT = "B3 COTAHIST"
# First column counted from 0, and one past the last.
FIELDS = {
    "date": (2, 10),
    "ticker": (12, 24),
    "market": (24, 27),
    "open": (56, 69),
    "high": (69, 82),
    "low": (82, 95),
    "close": (108, 121),
    "volume": (152, 170),
    "factor": (210, 217),
}
PRICES = ("open", "high", "low", "close")
_SPOT = b"010"
_HEADER, _BAR = b"00COTAHIST", b"01"


def is_cotahist(path: Path) -> bool:
    """Tell by its first bytes whether a file, or the one file in an archive, is a COTAHIST."""
    try:
        with open_unpacked(path) as stream:
            return stream.read(len(_HEADER)) == _HEADER
    except (OSError, EOFError, zipfile.BadZipFile, lzma.LZMAError, RuntimeError, DataError):
        return False


def read_cotahist(path: Path, options: ReadOptions) -> list[PriceTable]:
    """Read one ticker of a COTAHIST file, or all of its spot market.

    Args:
        path: The file, plain or compressed.
        options: The tickers are what matters; bars of any market are read for those given.

    Returns:
        The series, in the order of the file.

    Raises:
        DataError: If a field is no number, or the wanted ticker is not there.
    """
    if options.extra:
        expected = "no data.extra: the layout has no further columns"
        raise DataError(path, 1, 1, "a COTAHIST", expected)
    given = options.tickers if options.ticker is None else (options.ticker,)
    bars, names = _bars(path, {ticker.upper().encode() for ticker in given})
    if not bars and options.tickers and options.ticker is None:
        return []
    if not bars:
        raise _nothing_wanted(path, options.ticker, names)
    tables = []
    for ticker, rows in bars.items():
        source = _CotahistRows(path, rows)
        instants, values = source.values()
        every = np.arange(len(rows))
        tables.append(build_series(source, instants, values, every, options, ticker.decode()))
    return tables


def _nothing_wanted(path: Path, ticker: str | None, names: set[bytes]) -> DataError:
    if ticker is None or not names:
        return DataError(path, 1, 1, "no bars of the spot market", "lines that begin with 01")
    try:
        choose_ticker(str(path), 1, ticker, sorted(name.decode("latin-1") for name in names))
    except DataError as error:
        return error
    raise AssertionError(ticker)


def _bars(
    path: Path, wanted: set[bytes]
) -> tuple[dict[bytes, list[tuple[int, bytes]]], set[bytes]]:
    """Return line number and text of each wanted bar by ticker, and all tickers seen."""
    bars: dict[bytes, list[tuple[int, bytes]]] = {}
    names: set[bytes] = set()
    first, last = FIELDS["ticker"]
    market = slice(*FIELDS["market"])
    with open_unpacked(path) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.startswith(_BAR):
                continue
            ticker = line[first:last].rstrip()
            if not wanted:
                if line[market] == _SPOT:
                    bars.setdefault(ticker, []).append((number, line))
            elif ticker in wanted:
                bars.setdefault(ticker, []).append((number, line))
            else:
                names.add(ticker)
    for ticker, rows in bars.items():
        # An auction or an exercise of the same day is another market's price.
        bars[ticker] = [row for row in rows if row[1][market] == _SPOT] or rows
    return bars, names


class _CotahistRows:
    """The bars of one ticker, as `build_series` asks for them."""

    def __init__(self, path: Path, rows: list[tuple[int, bytes]]) -> None:
        self.path, self.rows = path, rows
        self.name, self.layout = str(path), LAYOUT
        self.warnings: list[PriceWarning] = []
        self.used = {
            role: (f"columns {first + 1} to {last}", "by the layout")
            for role, (first, last) in FIELDS.items()
        }

    def values(self) -> tuple[Instants, dict[str, np.ndarray]]:
        """Return dates and role to values of all bars, prices for one share."""
        factor = self._numbers("factor")
        factor[factor == 0] = 1
        values = {role: self._numbers(role) / 100 / factor for role in PRICES}
        values["volume"] = self._numbers("volume")
        days = self._numbers("date").astype(np.int64)
        written = [f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}" for day in days]
        dates = np.empty(len(days), dtype="datetime64[s]")
        for row, text in enumerate(written):
            try:
                dates[row] = np.datetime64(text, "s")
            except ValueError:
                raise self.error(row, "date", "a date such as 20181231") from None
        return Instants(dates, dates), values

    def _numbers(self, role: str) -> np.ndarray:
        first, last = FIELDS[role]
        values = np.empty(len(self.rows))
        for row, (_, line) in enumerate(self.rows):
            cell = line[first:last]
            if not cell.isdigit() or len(cell) < last - first:
                raise self.error(row, role, f"{last - first} digits")
            values[row] = int(cell)
        return values

    def line(self, row: int) -> int:
        return self.rows[row][0]

    def cell(self, row: int, role: str) -> str:
        return self.rows[row][1][slice(*FIELDS[role])].decode("latin-1").strip()

    def error(self, row: int, role: str, expected: str, why: str = "") -> DataError:
        number, column = self.rows[row][0], FIELDS[role][0] + 1
        found = f"{quote(self.cell(row, role))} as {role}{why}"
        return DataError(self.path, number, column, found, expected)
