"""Turn the text of a column into dates or numbers, or say which cell is at fault."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np

from src.data.reading.csv_reader import CsvText
from src.data.reading.errors import quote

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]*)?")
_DOT_GROUPS = re.compile(r"[+-]?[0-9]{1,3}\.[0-9]{3}")
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})([T ].*)?")
_SLASHED_DATE = re.compile(r"([0-9]{1,2})([/.-])([0-9]{1,2})\2([0-9]{4})")
_YEAR_FIRST = re.compile(r"([0-9]{4})([/.])([0-9]{1,2})\2([0-9]{1,2})")


def parse_numbers(text: CsvText, position: int, *, allow_zero: bool = False) -> np.ndarray:
    """Parse a column of prices or volumes.

    A decimal comma is read in files whose delimiter is not the comma, where it cannot be mistaken.

    Args:
        text: The file.
        position: The column, counted from 0.
        allow_zero: Accept 0 (a volume may be 0, a price may not).

    Returns:
        Values (N,), float64, finite in float32 as well.

    Raises:
        DataError: If a cell is not a plain number of the wanted sign and size.
    """
    cells = text.column(position)
    decimal_comma = text.delimiter != "," and any("," in cell for cell in cells)
    pattern = _DECIMAL_COMMA if decimal_comma else _NUMBER
    _refuse_ambiguous_dots(text, position, cells, decimal_comma)
    expected = "a number of at least 0" if allow_zero else "a positive number"
    values = np.empty(len(cells))
    for row, cell in enumerate(cells):
        found = f"{quote(cell)} in {text.header[position]}"
        if not pattern.fullmatch(cell):
            raise text.error(row, position, found, expected)
        value = float(cell.replace(".", "").replace(",", ".") if decimal_comma else cell)
        if value < 0 or (value == 0 and not allow_zero):
            raise text.error(row, position, found, expected)
        if value != 0 and not 1e-30 < value < 1e30:
            raise text.error(row, position, found, f"{expected} between 1e-30 and 1e30")
        values[row] = value
    return values


def parse_dates(text: CsvText, position: int) -> np.ndarray:
    """Parse a column of dates: ISO 8601, year first, day.month.year, or slashes with a clear order.

    An offset from UTC is dropped, so that the local date of the exchange stays what it was.

    Args:
        text: The file.
        position: The column, counted from 0.

    Returns:
        Dates (N,), datetime64[s], in the order of the file.

    Raises:
        DataError: If a cell is no date, or the order of day and month cannot be told.
    """
    cells = text.column(position)
    day_first = _day_comes_first(text, position, cells)
    dates = np.empty(len(cells), dtype="datetime64[s]")
    for row, cell in enumerate(cells):
        try:
            dates[row] = np.datetime64(_parse_date(cell, day_first), "s")
        except ValueError as error:
            found = f"{quote(cell)} in {text.header[position]}"
            raise text.error(row, position, found, "a date such as 2018-12-31") from error
    return dates


def _refuse_ambiguous_dots(
    text: CsvText, position: int, cells: list[str], decimal_comma: bool
) -> None:
    """Refuse a column like 1.234, 1.240 in a semicolon file: 1234 to some, 1.234 to others."""
    if text.delimiter == ";" and not decimal_comma and all(map(_DOT_GROUPS.fullmatch, cells)):
        found = f"{quote(cells[0])} in {text.header[position]}, which may mean thousands"
        raise text.error(0, position, found, "at least one number that shows the decimal sign")


def _day_comes_first(text: CsvText, position: int, cells: list[str]) -> bool:
    """Tell 31/12/2018 from 12/31/2018 by the first row in which one number exceeds 12."""
    matches = [match for cell in cells if (match := _SLASHED_DATE.fullmatch(cell))]
    if not matches or any(match[2] == "." or int(match[1]) > 12 for match in matches):
        return True
    if any(int(match[3]) > 12 for match in matches):
        return False
    found = f"{quote(cells[0])} in {text.header[position]}, which may be day or month first"
    raise text.error(0, position, found, "dates such as 2018-12-31")


def _parse_date(cell: str, day_first: bool) -> datetime:
    if _ISO_DATE.fullmatch(cell):
        return datetime.fromisoformat(cell).replace(tzinfo=None)
    if match := _YEAR_FIRST.fullmatch(cell):
        return datetime(int(match[1]), int(match[3]), int(match[4]))
    if match := _SLASHED_DATE.fullmatch(cell):
        first, second = int(match[1]), int(match[3])
        day, month = (first, second) if day_first else (second, first)
        return datetime(int(match[4]), month, day)
    raise ValueError(f"no date: {cell}")
