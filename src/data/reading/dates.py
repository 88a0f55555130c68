"""Turn a column of dates, or one of dates and one of times, into instants.

The whole column decides: one day above 12 tells which number is the day. Where every cell can be
read both ways, the order of the rows may still tell; else it is refused with both readings.
"""

from __future__ import annotations

import re
import zoneinfo
from typing import NamedTuple

import numpy as np
import pandas as pd

from src.data.reading.date_cells import (
    read_day,
    read_time,
    since_1970,
    split_cells,
    with_century,
)
from src.data.reading.sheet import Sheet

EXPECTED = "a date such as 2018-12-31"
_ZONE = re.compile(r" ((?:[A-Z][A-Za-z]+/)+[A-Z][A-Za-z_]+)$")
_DIGITS_OF_TIME = re.compile(r"(\d{1,2}?)(\d{2})(\d{2})?")
_NAT = np.datetime64("NaT", "s")


class Instants(NamedTuple):
    """Dates read.

    Attributes:
        utc: Dates (N,), datetime64[s]: in UTC where the file gives an offset or the seconds since
            1970, else as written; NaT where there is no date.
        local: The same dates as written.
        has_offset: Whether the file gives an offset from UTC.
        note: How day and month were told apart, if by more than a look at the cells.
    """

    utc: np.ndarray
    local: np.ndarray
    has_offset: bool = False
    note: str = ""


def read_dates(
    sheet: Sheet,
    date: int,
    time: int | None,
    inferred: pd.Series | None,
    day_first: bool | None = None,
) -> Instants:
    """Read a column of dates.

    Args:
        sheet: The cells.
        date: Position of the dates.
        time: Position of the times of day, where they have a column of their own.
        inferred: The dates as pandas has inferred them; None where it was not asked to.
        day_first: Whether 1/2/2020 is in February; None decides it from the cells.

    Returns:
        The dates, in the order of the file.

    Raises:
        DataError: If it cannot be told which number is the day, or only some dates have an offset.
    """
    instants = None if inferred is None else _inferred(inferred)
    if instants is None:
        instants = _read_cells(sheet, date, day_first, is_apart=time is not None)
    return instants if time is None else _with_times(sheet, instants, time)


def _inferred(inferred: pd.Series) -> Instants | None:
    """Return dates that pandas has parsed, or whole numbers that stand for some; None for text."""
    if pd.api.types.is_datetime64_dtype(inferred):
        dates = inferred.to_numpy().astype("datetime64[s]")
        return Instants(dates, dates)
    if not pd.api.types.is_integer_dtype(inferred):
        return None
    numbers = inferred.to_numpy(dtype=np.int64)
    if len(numbers) and numbers.min() >= 19000101 and numbers.max() <= 20991231:
        dates = _civil(numbers // 10000, numbers // 100 % 100, numbers % 100)
        return Instants(dates, dates)
    if len(numbers) and numbers.min() >= 10**8 and not _is_compact(numbers).any():
        dates = since_1970(numbers)
        return Instants(dates, dates)
    return None


def _is_compact(numbers: np.ndarray) -> np.ndarray:
    """Tell digits such as 202001311700 and 20200131170000 from a count since 1970."""
    with_minutes = (numbers > 19e10) & (numbers < 21e10)
    return with_minutes | ((numbers > 19e12) & (numbers < 21e12))


def _civil(years: np.ndarray, months: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return dates (N,), datetime64[s], from numbers; NaT where there is no such day."""
    in_range = (months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)
    count = (years - 1970) * 12 + np.where(in_range, months, 1) - 1
    first = count.astype("datetime64[M]")
    dates = first.astype("datetime64[D]") + np.where(in_range, days, 1) - 1
    is_day = in_range & (dates.astype("datetime64[M]") == first)
    return np.where(is_day, dates.astype("datetime64[s]"), _NAT)


def _read_cells(sheet: Sheet, position: int, day_first: bool | None, is_apart: bool) -> Instants:
    """Read dates as they are written; their times of day too, unless these stand apart."""
    zone = None
    if is_apart:
        day_codes, day_words = sheet.words(position)
        clock_codes, clock_words = np.zeros_like(day_codes), [""]
    else:
        text, zone = _without_zone(sheet.text(position))
        day_codes, day_words, clock_codes, clock_words = split_cells(text)
    days = [read_day(word) for word in day_words]
    numbers = np.array([day.numbers if day else (0, 0, 0) for day in days], dtype=np.int64)
    dates = _civil(*numbers.reshape(-1, 3).T)
    dates += np.array([day.seconds if day else 0 for day in days]).astype("timedelta64[s]")
    is_open = np.array([day is not None and day.order[0] == "?" for day in days], dtype=bool)
    note = ""
    if is_open.any():
        styles = {day.order for day in days if day is not None and day.order[0] == "?"}
        place = np.where(is_open, np.cumsum(is_open) - 1, -1)[day_codes]
        order, note = _order(sheet, position, numbers[is_open], place, styles, day_first)
        dates[is_open] = _in_order(numbers[is_open], order)
    clocks = [read_time(word) if word else (0, None) for word in clock_words]
    seconds = np.array([clock[0] if clock else 0 for clock in clocks]).astype("timedelta64[s]")
    seconds[[n for n, clock in enumerate(clocks) if clock is None]] = np.timedelta64("NaT")
    local = dates[day_codes] + seconds[clock_codes]
    if zone is not None:
        return Instants(_in_utc(local, zone), local, True, note)
    has_offset = np.array([clock is not None and clock[1] is not None for clock in clocks])
    if has_offset.any():
        for row in np.flatnonzero(~has_offset[clock_codes] & ~np.isnat(local))[:1].tolist():
            raise sheet.cell_error(row, position, "an offset from UTC, as other dates have")
    ahead = np.array([(clock and clock[1]) or 0 for clock in clocks]).astype("timedelta64[s]")
    return Instants(local - ahead[clock_codes], local, bool(has_offset.any()), note)


def _without_zone(text: pd.Series) -> tuple[pd.Series, str | None]:
    """Take the name of a place off the end of dates, where all have the same: US/Eastern."""
    match = _ZONE.search(text.iloc[0]) if len(text) else None
    if match is None or match[1] not in zoneinfo.available_timezones():
        return text, None
    ending = match[0]
    if not text.str.endswith(ending).all():
        return text, None
    return text.str.removesuffix(ending), match[1]


def _in_utc(local: np.ndarray, zone: str) -> np.ndarray:
    """Return the instants of local times; the hour that comes twice is told by its neighbours."""
    times = pd.DatetimeIndex(local)
    try:
        placed = times.tz_localize(zone, ambiguous="infer", nonexistent="shift_forward")
    except ValueError:
        first = np.ones(len(times), dtype=bool)
        placed = times.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    return placed.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")


def _with_times(sheet: Sheet, instants: Instants, position: int) -> Instants:
    """Add times of day that have a column of their own: 09:30, 9:30 AM, 930 or 093000."""
    codes, found = sheet.words(position)
    seconds = np.zeros(len(found), dtype=np.int64)
    for code, raw in enumerate(found):
        cell = str(raw).removesuffix(".0")
        match = _DIGITS_OF_TIME.fullmatch(cell.zfill(4 if len(cell) < 5 else 6))
        time = read_time(":".join(filter(None, match.groups()))) if match else read_time(cell)
        seconds[code] = -1 if time is None else time[0]
    for row in np.flatnonzero((seconds[codes] < 0) & ~np.isnat(instants.utc))[:1].tolist():
        raise sheet.cell_error(row, position, "a time of day such as 09:30")
    shift = seconds[codes].astype("timedelta64[s]")
    return instants._replace(utc=instants.utc + shift, local=instants.local + shift)


_ORDERS = {"dmy": (2, 1, 0), "mdy": (2, 0, 1), "ymd": (0, 1, 2)}


def _in_order(numbers: np.ndarray, order: str) -> np.ndarray:
    years, months, days = (numbers[:, n] for n in _ORDERS[order])
    return _civil(with_century(years), months, days)


def _order(
    sheet: Sheet,
    position: int,
    numbers: np.ndarray,
    place: np.ndarray,
    styles: set[str],
    day_first: bool | None,
) -> tuple[str, str]:
    """Return the order of day, month and year, and how it was found.

    Args:
        sheet: The cells, for messages.
        position: Their column.
        numbers: The different dates whose order is open (K, 3).
        place: Which of them stands in each row (N,), -1 for none.
        styles: The signs between the numbers, and the digits of the last.
        day_first: What the user says.
    """
    orders = ["dmy"] if all(style[1] == "." for style in styles) else ["dmy", "mdy"]
    orders += ["ymd"] if any(style[2] == "2" for style in styles) else []
    if day_first is not None:
        return ("dmy" if day_first else "mdy"), ""
    read = {order: _in_order(numbers, order) for order in orders}
    valid = {order: int((~np.isnat(dates)).sum()) for order, dates in read.items()}
    best = max(valid.values())
    if best < len(numbers):
        return max(orders, key=lambda order: valid[order]), ""
    orders = [order for order in orders if valid[order] == best]
    rows = np.flatnonzero(place >= 0)
    for is_plausible in (_is_monotonic, _is_even):
        left = [order for order in orders if is_plausible(read[order][place[rows]])]
        if len(orders) > 1 and len(left) == 1 and len(rows) > 6:
            words = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}[left[0]]
            return left[0], f"dates are read {words}: only so are they in even steps of time"
        orders = left or orders
    if len(orders) == 1:
        return orders[0], ""
    row = int(rows[0])
    both = " or ".join(str(read[order][place[row]])[:10] for order in orders[:2])
    why = f", which may be day or month first ({both})"
    raise sheet.cell_error(row, position, "data.day_first=true or data.day_first=false", why)


def _is_monotonic(dates: np.ndarray) -> bool:
    steps = np.diff(dates).astype(np.int64)
    return bool((steps > 0).all() or (steps < 0).all())


def _is_even(dates: np.ndarray) -> bool:
    """Tell whether all steps are about as long, as those from month to month are."""
    steps = np.abs(np.diff(dates).astype(np.int64))
    return bool(len(steps) and steps.max() <= 1.25 * steps.min())
