"""From columns of values to series of prices: one for each ticker, checked, in order of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

import numpy as np

from src.data.reading.checks import PriceWarning, check_series, frequency_of, is_intraday, say_date
from src.data.reading.date_cells import is_clock
from src.data.reading.dates import EXPECTED, Instants
from src.data.reading.errors import DataError
from src.data.reading.further_columns import PREFIX, known_by_then
from src.data.reading.names import ROLES
from src.data.reading.numerals import DECIMALS

BAR_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of a file that the file does not say itself.

    Args:
        columns: Role (date, time, open, high, low, close, volume, ticker) to column name, or to
            its number counted from 1.
        decimal: `dot` or `comma`, the decimal sign.
        day_first: Whether 1/2/2020 is in February.
        ticker: Which series of the file to read.
        tickers: Which ones, where several are read; none for all. One that is not there is no
            error: it may be in another file.
        signed: Whether prices may be 0 or negative.
        needed: Columns that have to be there and right, besides date and close.
        extra: Names of further columns that are wanted as features.
    """

    columns: Mapping[str, str | int | None] = field(default_factory=dict)
    decimal: str | None = None
    day_first: bool | None = None
    ticker: str | None = None
    tickers: tuple[str, ...] = ()
    signed: bool = False
    needed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        by_hand = {role: name for role, name in self.columns.items() if name is not None}
        object.__setattr__(self, "columns", by_hand)
        object.__setattr__(self, "extra", tuple(map(str, self.extra or ())))
        if self.decimal is not None and self.decimal not in DECIMALS:
            raise ValueError(f"decimal must be dot or comma, got {self.decimal!r}")

    def __hash__(self) -> int:
        return hash((tuple(sorted(self.columns.items(), key=str)), self._rest))

    @property
    def _rest(self) -> tuple[object, ...]:
        return tuple(getattr(self, f.name) for f in fields(self) if f.name != "columns")

    def takes(self, ticker: str) -> bool:
        """Tell whether a series is among those asked for."""
        wanted = self.tickers if self.ticker is None else (self.ticker,)
        return not wanted or ticker.casefold() in {name.casefold() for name in wanted}


@dataclass(frozen=True)
class PriceTable:
    """A series of prices in time order.

    Args:
        name: The file or the built-in source they come from.
        dates: Dates (N,), datetime64[s], strictly ascending; of intraday bars in UTC where the
            file tells, of daily ones as written.
        columns: `close` (N,) in price units, and `open`, `high`, `low` (price units) and `volume`
            (units traded) where there are any; all float64. Where the file has an adjusted close,
            that is the close, and the other prices are adjusted by the same factor.
        last_line: The line of the file, or the row of the source, that the data ends on.
        ticker: What is traded; None where nobody tells.
        layout: The family of files that the layout belongs to.
        frequency: The usual distance between bars, as `frequency_of` names it.
        used: Role to the name of its column and why that was taken.
        warnings: What is odd in the series.
        lines: Line of the file on which each warning begins, 1 where it is the whole file.
        ends: First and last date in UTC, as far as the file tells.
        extra: Further columns (N,) that were asked for by name, finite, in their own units.
    """

    name: str
    dates: np.ndarray
    columns: dict[str, np.ndarray]
    last_line: int
    ticker: str | None = None
    layout: str = "built-in"
    frequency: str = "unknown"
    used: dict[str, tuple[str, str]] = field(default_factory=dict)
    warnings: tuple[PriceWarning, ...] = ()
    lines: tuple[int, ...] = ()
    ends: tuple[np.datetime64, ...] = ()
    extra: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def close(self) -> np.ndarray:
        """Closing prices (N,)."""
        return self.columns["close"]

    def refuse_meaningless(self, accept: Sequence[str] = ()) -> None:
        """Refuse prices that no model should be trained on, such as those over a split.

        Args:
            accept: Kinds of warning that the user takes as they are.

        Raises:
            DataError: Naming the first such warning and its line.
        """
        for warning, line in zip(self.warnings, self.lines, strict=True):
            if warning.is_fatal and warning.kind not in accept:
                expected = (
                    f"prices to learn from; data.accept=[{warning.kind}] takes them as they are"
                )
                raise DataError(self.name, line, 1, f"a {warning.kind}: {warning.text}", expected)


class Rows(Protocol):
    """Where the rows of a series come from, for messages."""

    name: str
    layout: str
    used: dict[str, tuple[str, str]]
    warnings: list[PriceWarning]

    def line(self, row: int) -> int:
        """Return the line of a row."""

    def error(self, row: int, role: str, expected: str, why: str = "") -> DataError:
        """Return the error that quotes the cell of a row in the column of a role."""

    def cell(self, row: int, role: str) -> str:
        """Return the text of a row in the column of a role."""


def build_series(
    source: Rows,
    instants: Instants,
    values: Mapping[str, np.ndarray],
    rows: np.ndarray,
    options: ReadOptions,
    ticker: str | None,
) -> PriceTable:
    """Check the rows of one series and bring them into order.

    Args:
        source: Where they come from.
        instants: Dates of all rows of the file.
        values: Role to values of all rows: NaN where there is none, infinite where it is wrong.
        rows: Which rows belong to the series.
        options: What the user says.
        ticker: Its name.

    Returns:
        The series.

    Raises:
        DataError: If a price or a date is wrong, or dates are repeated or out of order.
    """
    has_adjusted = "adjusted" in values and not np.isnan(values["adjusted"][rows]).all()
    price = "adjusted" if has_adjusted else "close"
    kept, warnings = _rows_with_price(source, instants, values, rows, price, options)
    for row in kept[np.isnat(_take(instants.utc, kept))][:1].tolist():
        raise source.error(row, "date", EXPECTED)
    columns = {role: _take(values[role], kept) for role in BAR_COLUMNS if role in values}
    warnings += _clean(source, columns, kept, options)
    utc, order, said = _in_order(source, _take(instants.utc, kept), columns, kept)
    warnings += said
    if has_adjusted:
        adjusted = _take(values["adjusted"], kept)
        factor = adjusted / columns["close"]
        columns["close"] = adjusted
        for role in {"open", "high", "low"} & columns.keys():
            columns[role] = columns[role] * factor
    columns = {role: _take(column, order) for role, column in columns.items()}
    kept = _take(kept, order)
    frequency = frequency_of(utc)
    dates = utc if is_intraday(frequency) else _take(instants.local, kept)
    wanted = _extra(source, values, kept, options.extra)
    extra, first, said = known_by_then(wanted, dates, frequency)
    if first:
        utc, dates, kept = utc[first:], dates[first:], kept[first:]
        columns, extra = ({k: v[first:] for k, v in part.items()} for part in (columns, extra))
    warnings += said
    odd = check_series(dates, columns, frequency, np.datetime64("now", "s"))
    warnings = [*odd, *warnings, *source.warnings]
    return PriceTable(
        name=source.name,
        dates=dates,
        columns=columns,
        last_line=source.line(int(rows[-1])),
        ticker=ticker,
        layout=source.layout,
        frequency=frequency,
        used=_used(source, columns, price),
        warnings=tuple(warnings),
        lines=tuple(source.line(int(kept[w.row])) if w.row >= 0 else 1 for w in warnings),
        ends=(utc[0], utc[-1]),
        extra=extra,
    )


def _extra(
    source: Rows, values: Mapping[str, np.ndarray], kept: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the further columns that are wanted; refuse what is no number, and one without any."""
    columns = {}
    for name in names:
        column = _take(values[PREFIX + name], kept)
        for n in np.flatnonzero(np.isinf(column))[:1].tolist():
            raise source.error(int(kept[n]), PREFIX + name, "a number, or nothing")
        if np.isnan(column).all():
            raise source.error(int(kept[0]), PREFIX + name, "a number in at least one row")
        columns[name] = column
    return columns


def _take(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return values in the order of rows; the array itself, uncopied, where that is all of it."""
    is_all = len(rows) == len(values) and (np.diff(rows) == 1).all()
    return values if is_all else values[rows]


def _used(
    source: Rows, columns: Mapping[str, np.ndarray], price: str
) -> dict[str, tuple[str, str]]:
    present = {*columns, "date", "time"} & source.used.keys()
    used = {role: source.used[role] for role in ROLES if role in present}
    used |= {role: name for role, name in source.used.items() if role.startswith(PREFIX)}
    if price == "adjusted":
        raw, (name, _) = source.used["close"][0], source.used["adjusted"]
        why = f"adjusted for splits and dividends; data.columns.close={raw!r} takes the raw close"
        used["close"] = (name, why)
        for role in {"open", "high", "low"} & used.keys():
            used[role] = (used[role][0], f"times {name} / {raw}")
    return used


def _rows_with_price(
    source: Rows,
    instants: Instants,
    values: Mapping[str, np.ndarray],
    rows: np.ndarray,
    price: str,
    options: ReadOptions,
) -> tuple[np.ndarray, list[PriceWarning]]:
    """Return the rows that are bars, and what is to be said of the others."""
    prices = _take(values[price], rows)
    missing = np.isnan(prices)
    for n in np.flatnonzero(np.isinf(prices)).tolist():
        if not (_is_header(source, int(rows[n]), price) or _is_event(source, int(rows[n]), price)):
            raise source.error(int(rows[n]), price, "a positive number")
        missing[n] = True
    for role in options.needed:
        missing |= np.isnan(_take(values[role], rows))
    # Today's price, under the time of day instead of the date.
    for n in np.flatnonzero(np.isnat(_take(instants.utc, rows)) & ~missing).tolist():
        missing[n] = is_clock(source.cell(int(rows[n]), "date"))
    kept = rows[~missing] if missing.any() else rows
    if not options.signed:
        for row in kept[_take(values[price], kept) <= 0][:1].tolist():
            expected = "a positive number; data.target=residual data.input=price takes any price"
            raise source.error(row, price, expected)
    if not len(kept):
        raise source.error(int(rows[0]), price, "at least one price")
    return kept, _say_dropped(source, instants, values, rows[missing], kept, price)


def _is_header(source: Rows, row: int, role: str) -> bool:
    """Tell whether a cell is the name of its column once more."""
    return source.cell(row, role).casefold() == source.used[role][0].casefold()


def _is_event(source: Rows, row: int, role: str) -> bool:
    """Tell whether a row says `0.24 Dividend` or `4:1 Stock Split`, as Yahoo's page does."""
    return source.cell(row, role).casefold().endswith((" dividend", " dividends", " split"))


def _say_dropped(
    source: Rows,
    instants: Instants,
    values: Mapping[str, np.ndarray],
    dropped: np.ndarray,
    kept: np.ndarray,
    price: str,
) -> list[PriceWarning]:
    no_date = np.isnat(instants.utc[dropped])
    is_last = dropped > kept[-1]
    footers = dropped[no_date & is_last]
    names = np.array([_is_header(source, int(row), price) for row in dropped], dtype=bool)
    others = dropped[~(no_date & is_last) & ~names]
    warnings = []
    if len(footers):
        line = source.line(int(footers[0]))
        text = f"{len(footers)} lines below the prices are no bars, first line {line}"
        warnings.append(PriceWarning("dropped rows (footer)", text))
    if len(others):
        line = source.line(int(others[0]))
        text = f"{len(others)} rows without a price are left out, first line {line}"
        warnings.append(PriceWarning("dropped rows", text))
    if names.any():
        line = source.line(int(dropped[names][0]))
        text = f"{int(names.sum())} lines repeat the header, first line {line}"
        warnings.append(PriceWarning("repeated header", text))
    return warnings


def _clean(
    source: Rows, columns: dict[str, np.ndarray], kept: np.ndarray, options: ReadOptions
) -> list[PriceWarning]:
    """Empty what is no price beside a price that is one; refuse it where it is needed."""
    warnings = []
    for role, column in columns.items():
        if role == "volume":
            wrong, expected = np.isinf(column) | (column < 0), "a number of at least 0"
        else:
            wrong, expected = (
                np.isinf(column) | (~np.bool_(options.signed) & (column <= 0)),
                "a positive number",
            )
        if not wrong.any():
            continue
        row = int(kept[np.argmax(wrong)])
        if role in options.needed:
            raise source.error(row, role, expected)
        columns[role] = np.where(wrong, np.nan, column)
        if role != "close":
            text = f"{role} is no price in {int(wrong.sum())} bars, first line {source.line(row)}"
            warnings.append(PriceWarning(f"no {role}", text))
    if {"high", "low"} <= set(options.needed):
        for n in np.flatnonzero(columns["high"] < columns["low"])[:1].tolist():
            why = f", below low {columns['low'][n]:g}"
            raise source.error(int(kept[n]), "high", "high >= low", why)
    return warnings


def _in_order(
    source: Rows, utc: np.ndarray, columns: Mapping[str, np.ndarray], kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[PriceWarning]]:
    """Return ascending dates and the order that makes them so; refuse repeated and swapped ones."""
    warnings: list[PriceWarning] = []
    order = np.arange(len(utc))
    steps = np.diff(utc).astype(np.int64)
    if (steps > 0).all():
        return utc, order, warnings
    order, repeated = _without_repeated(source, utc, columns, kept)
    if repeated:
        warnings.append(PriceWarning("duplicate rows", repeated))
    steps = np.diff(utc[order]).astype(np.int64)
    descending = bool(np.sum(steps < 0) > np.sum(steps > 0))
    for n in (np.flatnonzero(steps > 0 if descending else steps < 0)[:1] + 1).tolist():
        before = say_date(utc[order[n - 1]], frequency_of(np.sort(utc)))
        words = f"dates in {'descending' if descending else 'ascending'} order, as most are"
        raise source.error(int(kept[order[n]]), "date", words, f" after {before}")
    if descending:
        warnings.append(PriceWarning("order", "newest row first; sorted by date, oldest first"))
        order = order[::-1]
    return utc[order], order, warnings


def _without_repeated(
    source: Rows, utc: np.ndarray, columns: Mapping[str, np.ndarray], kept: np.ndarray
) -> tuple[np.ndarray, str]:
    """Leave out rows that repeat another in every value; refuse a date with two values."""
    _, first, inverse = np.unique(utc, return_index=True, return_inverse=True)
    original = first[inverse]
    again = np.flatnonzero(original != np.arange(len(utc)))
    for n in again.tolist():
        same = all(
            column[n] == column[original[n]]
            or (np.isnan(column[n]) and np.isnan(column[original[n]]))
            for column in columns.values()
        )
        if not same:
            why = f" again, as on line {source.line(int(kept[original[n]]))}"
            raise source.error(int(kept[n]), "date", "every date once", why)
    if not len(again):
        return np.arange(len(utc)), ""
    text = f"{len(again)} rows repeat another, first line {source.line(int(kept[again[0]]))}"
    return np.delete(np.arange(len(utc)), again), text
