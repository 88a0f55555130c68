"""From a delimited file to the series it holds: columns found, cells read, one series a ticker."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from src.data.reading.checks import PriceWarning
from src.data.reading.dates import Instants, read_dates
from src.data.reading.errors import DataError, quote
from src.data.reading.further_columns import find_extra
from src.data.reading.layouts import Columns, find_columns
from src.data.reading.names import PRICES, is_foreign, role_of
from src.data.reading.numerals import DECIMALS, read_numbers, shown_sign
from src.data.reading.series import PriceTable, ReadOptions, build_series
from src.data.reading.sheet import Sheet

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_DIGITS = re.compile(r"\d{8,19}")
_DOTTED_DATE = re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}.*")


class _SheetRows:
    """The rows of a sheet, as `build_series` asks for them."""

    def __init__(self, sheet: Sheet, columns: Columns, warnings: list[PriceWarning]) -> None:
        self.sheet, self.roles = sheet, columns.roles
        self.name, self.layout, self.warnings = str(sheet.file.path), columns.layout, warnings
        self.used = {
            role: (sheet.name(position), columns.why.get(role, "by its name"))
            for role, position in columns.roles.items()
        }

    def line(self, row: int) -> int:
        return self.sheet.line(row)

    def error(self, row: int, role: str, expected: str, why: str = "") -> DataError:
        return self.sheet.cell_error(row, self.roles[role], expected, why)

    def cell(self, row: int, role: str) -> str:
        return self.sheet.cell(row, self.roles[role])


def read_tables(sheet: Sheet, options: ReadOptions) -> list[PriceTable]:
    """Read all series of a sheet, or the one that is asked for.

    Args:
        sheet: The cells.
        options: What the user says.

    Returns:
        The series, in the order of the file.

    Raises:
        DataError: If a column, a cell or the wanted ticker cannot be read.
    """
    found = find_columns(sheet, options.columns)
    by_ticker = {columns.ticker: columns for columns in found}
    if options.ticker is not None and len(found) > 1:
        names = [str(columns.ticker) for columns in found]
        found = [by_ticker[_choose(sheet, options.ticker, names)]]
    found = [c for c in found if len(found) == 1 or options.takes(str(c.ticker))]
    if not found:
        return []
    for columns in found:
        _refuse_missing(sheet, columns, options.needed)
    extra = find_extra(sheet, options.extra)
    bars = {n for c in found for role, n in c.roles.items() if role in (*PRICES, "volume")}
    numeric = sorted(bars)
    date, time = found[0].roles["date"], found[0].roles.get("time")
    is_iso = time is None and _head_is(sheet, date, _ISO)
    is_inferred = is_iso or _head_is(sheet, date, _DIGITS)
    sign = DECIMALS.get(options.decimal or "", shown_sign(sheet, numeric))
    words = [] if time is None else [time, *([] if is_inferred else [date])]
    dates = [date] if is_inferred else []
    read = [*numeric, *(n for n in extra.values() if n not in (*numeric, *dates))]
    texts = [] if words or dates or date in read else [date]
    frame = sheet.numbers([*read, *dates], dates if is_iso else [], sign, words, texts)
    inferred = frame[date] if is_inferred else None
    instants = read_dates(sheet, date, time, inferred, options.day_first)
    tables: list[PriceTable] = []
    for columns in found:
        columns.roles.update(extra)
        columns.why.update(dict.fromkeys(extra, "a feature, as data.extra says"))
        tables += _read(sheet, columns, frame, sign, instants, options)
    return tables


def _head_is(sheet: Sheet, position: int, pattern: re.Pattern[str]) -> bool:
    return all(pattern.fullmatch(row[position]) for row in sheet.head[:20] if position < len(row))


def _refuse_missing(sheet: Sheet, columns: Columns, needed: Sequence[str]) -> None:
    missing = [role for role in needed if role not in columns.roles]
    if missing:
        header = ", ".join(map(quote, sheet.header))
        noun = "a column" if len(missing) == 1 else "columns"
        options = ", ".join(f"data.columns.{role}=" for role in missing)
        expected = f"{noun} {', '.join(missing)}; {options} names it by hand"
        raise sheet.header_error(f"columns {header}", expected)


def _read(
    sheet: Sheet,
    columns: Columns,
    frame: pd.DataFrame,
    sign: str,
    instants: Instants,
    options: ReadOptions,
) -> list[PriceTable]:
    wanted = (*PRICES, "volume", *find_extra(sheet, options.extra))
    roles = {role: n for role, n in columns.roles.items() if role in wanted}
    decimal = DECIMALS[options.decimal] if options.decimal else None
    is_english = _is_english(sheet, columns)
    values = read_numbers(sheet, roles, frame, sign, decimal, is_english)
    for position in columns.volumes:
        if "volume" not in values or not (values["volume"] == 0).all():
            break
        again = sheet.numbers([position], decimal=sign)
        other = read_numbers(sheet, {"volume": position}, again, sign, decimal, is_english)
        if not (other["volume"] == 0).all():
            values |= other
            columns.why["volume"] = f"{sheet.name(roles['volume'])} is 0 throughout, not measured"
            columns.roles["volume"] = position
    source = _SheetRows(sheet, columns, _said_of_file(sheet, columns, instants))
    groups = _groups(sheet, columns, options)
    return [
        build_series(source, instants, values, rows, options, ticker) for ticker, rows in groups
    ]


def _is_english(sheet: Sheet, columns: Columns) -> bool:
    """Tell whether a dot before three digits is the decimal sign, where no cell says otherwise."""
    if not sheet.has_header:
        return "high" in columns.roles or sheet.delimiter != ";"
    dotted = _head_is(sheet, columns.roles["date"], _DOTTED_DATE)
    return not (is_foreign(sheet.header) or sheet.delimiter == ";" or dotted)


def _said_of_file(sheet: Sheet, columns: Columns, instants: Instants) -> list[PriceWarning]:
    warnings = []
    if not sheet.has_header:
        order = ", ".join(
            f"{role} {n + 1}" for role, n in sorted(columns.roles.items(), key=lambda i: i[1])
        )
        warnings.append(
            PriceWarning("no header", f"no header: columns are taken by place: {order}")
        )
    if sheet.footers:
        line, text = sheet.footers[0]
        words = (
            f"{len(sheet.footers)} lines below the prices are no bars, line {line}: {quote(text)}"
        )
        warnings.append(PriceWarning("dropped rows (footer)", words))
    if sheet.file.encoding == "Windows-1252":
        words = "the text is not UTF-8; read as Windows-1252"
        warnings.append(PriceWarning("encoding", words))
    if instants.note:
        warnings.append(PriceWarning("date order", instants.note))
    return warnings


def _groups(
    sheet: Sheet, columns: Columns, options: ReadOptions
) -> list[tuple[str | None, np.ndarray]]:
    """Return ticker and rows of each series in a table, in the order of the file."""
    ticker = options.ticker
    if "ticker" not in columns.roles:
        if ticker is not None and columns.ticker is None:
            expected = (
                f"a column of tickers for data.ticker={ticker}; data.columns.ticker= names it"
            )
            header = ", ".join(map(quote, sheet.header))
            raise sheet.header_error(f"columns {header}", expected)
        if ticker is not None:
            _choose(sheet, ticker, [str(columns.ticker)])
        return [(columns.ticker, np.arange(sheet.rows))]
    codes, found = pd.factorize(sheet.text(columns.roles["ticker"]))
    names = [str(name) for name in found]
    wanted = [n for n in names if options.takes(n)]
    wanted = wanted if ticker is None else [_choose(sheet, ticker, names)]
    if ticker is None and len(names) == 1:
        return [(names[0], np.arange(sheet.rows))]
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return [
        (name, order[edges[code] : edges[code + 1]])
        for code, name in enumerate(names)
        if name in wanted and name and role_of(name) != "ticker"
    ]


def _choose(sheet: Sheet, ticker: str, names: Sequence[str]) -> str:
    """Return the ticker of a file that the user means, in its own writing."""
    return choose_ticker(str(sheet.file.path), sheet.header_line, ticker, names)


def choose_ticker(file: str, line: int, ticker: str, names: Sequence[str]) -> str:
    """Return the ticker of a file that the user means, in its own writing.

    Raises:
        DataError: If there is none, with the nearest that there are.
    """
    by_case: Mapping[str, str] = {name.casefold(): name for name in names}
    if ticker in names:
        return ticker
    if ticker.casefold() in by_case:
        return by_case[ticker.casefold()]
    near = difflib.get_close_matches(ticker, names, n=5) or list(names)[:5]
    found = f"no ticker {quote(ticker)} among {len(names)}"
    raise DataError(file, line, 1, found, f"one such as {', '.join(near)}")
