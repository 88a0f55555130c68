"""Daily prices from a built-in index or from the user's CSV file, checked and in time order."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from src.data.reading.csv_reader import CsvText, read_csv
from src.data.reading.errors import DataError, quote
from src.data.reading.parsing import parse_dates, parse_numbers

log = logging.getLogger(__name__)

SOURCES = ("sp500", "nasdaq")
BAR_COLUMNS = ("open", "high", "low", "close", "volume")
# Usual names after lower-casing and dropping accents; the first that a file has is taken.
USUAL_NAMES = {
    "date": ("date", "datetime", "timestamp", "time", "data", "day", "dia", ""),
    "open": ("open", "abertura", "apertura"),
    "high": ("high", "maxima", "maximo", "alta"),
    "low": ("low", "minima", "minimo", "baixa"),
    "close": (
        *("close", "adj close", "adj_close", "adjclose", "adjusted close", "close/last"),
        *("fechamento", "cierre", "ultimo", "last", "price", "preco", "value"),
    ),
    "volume": ("volume", "vol", "vol."),
}


@dataclass(frozen=True)
class PriceTable:
    """Prices in time order.

    Args:
        name: The file or the built-in source they come from.
        dates: Dates (N,), datetime64[s], strictly ascending.
        columns: `close` (N,) in price units, and `open`, `high`, `low` (price units) and `volume`
            (units traded) where they were asked for; all float64.
        last_line: The line of the file, or the row of the source, that the data ends on.
    """

    name: str
    dates: np.ndarray
    columns: dict[str, np.ndarray]
    last_line: int

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def close(self) -> np.ndarray:
        """Closing prices (N,)."""
        return self.columns["close"]


def load_prices(
    source: str = "sp500",
    path: str | None = None,
    *,
    date_column: str | None = None,
    close_column: str | None = None,
    columns: Sequence[str] = ("close",),
) -> PriceTable:
    """Load daily prices from a file if one is given, else from a built-in source.

    The built-in sources are the daily S&P 500 and NASDAQ bars of 1999 to 2018 that `arch` ships.

    Args:
        source: `sp500` or `nasdaq`; not looked at if `path` is given.
        path: A CSV file, or None.
        date_column: Name of the date column of the file; None finds it by its usual names.
        close_column: Name of the close column of the file; None finds it by its usual names.
        columns: Which of open, high, low, close and volume to load.

    Returns:
        The prices in ascending order of date.

    Raises:
        DataError: If the file or a cell in it is not what it should be.
        ValueError: If `source` is unknown.
    """
    if path is not None:
        names = {"date": date_column, "close": close_column}
        return _load_csv(Path(path).expanduser(), names, columns)
    if source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {source!r}")
    return _load_builtin(source, columns)


def _load_builtin(source: str, columns: Sequence[str]) -> PriceTable:
    # Importing arch imports statsmodels, more than a second; only the file it ships is needed.
    spec = find_spec("arch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "data" / source
    frame = pd.read_csv(folder / f"{source}.csv.gz", parse_dates=["Date"])
    dates = frame["Date"].to_numpy().astype("datetime64[s]")
    values = {name: frame[name.capitalize()].to_numpy(dtype=np.float64) for name in columns}
    return PriceTable(source, dates, values, len(frame))


def _load_csv(path: Path, names: dict[str, str | None], columns: Sequence[str]) -> PriceTable:
    text = read_csv(path)
    positions = _find_columns(text, names, ("date", *columns))
    dates = parse_dates(text, positions["date"])
    values = {
        name: parse_numbers(text, positions[name], allow_zero=name == "volume") for name in columns
    }
    if {"high", "low"} <= values.keys():
        _check_ranges(text, positions["high"], values)
    descending = _check_order(text, positions["date"], dates)
    last_line = text.lines[-1]
    if descending:
        log.warning("%s has its newest row first; sorted by date, oldest first", path)
        dates = dates[::-1].copy()
        values = {name: column[::-1].copy() for name, column in values.items()}
    return PriceTable(str(path), dates, values, last_line)


def _find_columns(
    text: CsvText, names: dict[str, str | None], wanted: Sequence[str]
) -> dict[str, int]:
    """Map each wanted column to its position, or name all that are missing."""
    by_name = {_plain(name): position for position, name in reversed([*enumerate(text.header)])}
    positions: dict[str, int] = {}
    for column in wanted:
        given = names.get(column)
        candidates = USUAL_NAMES[column] if given is None else (_plain(given),)
        found = [by_name[name] for name in candidates if name in by_name]
        if found:
            positions[column] = found[0]
    missing = [names.get(name) or name for name in wanted if name not in positions]
    if missing:
        header = ", ".join(quote(name) for name in text.header)
        noun = "a column" if len(missing) == 1 else "columns"
        raise DataError(text.path, 1, 1, f"columns {header}", f"{noun} {', '.join(missing)}")
    return positions


def _plain(name: str) -> str:
    """Lower-case a column name and drop its accents, so that `Último` is `ultimo`."""
    decomposed = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _check_ranges(text: CsvText, position: int, values: dict[str, np.ndarray]) -> None:
    for row in np.flatnonzero(values["high"] < values["low"])[:1].tolist():
        high, low = values["high"][row], values["low"][row]
        raise text.error(row, position, f"high {high:g} below low {low:g}", "high >= low")


def _check_order(text: CsvText, position: int, dates: np.ndarray) -> bool:
    """Return whether the dates descend; refuse repeated dates and rows out of order."""
    cells = text.column(position)
    _, first_row, inverse = np.unique(dates, return_index=True, return_inverse=True)
    for row in np.flatnonzero(first_row[inverse] != np.arange(len(dates)))[:1].tolist():
        found = f"{quote(cells[row])} again, as on line {text.lines[first_row[inverse[row]]]}"
        raise text.error(row, position, found, "every date once")
    steps = np.diff(dates).astype(np.int64)
    descending = bool(np.sum(steps < 0) > np.sum(steps > 0))
    for row in (np.flatnonzero(steps > 0 if descending else steps < 0)[:1] + 1).tolist():
        found = f"{quote(cells[row])} after {quote(cells[row - 1])}"
        order = "descending" if descending else "ascending"
        raise text.error(row, position, found, f"dates in {order} order, as most are")
    return descending
