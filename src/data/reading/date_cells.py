"""One cell of a column of dates: the words for its day and its time, and what they say."""

from __future__ import annotations

import datetime
import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.data.reading.cells import NULLS

# A year of two digits that is further ahead than this belongs to the century before.
_YEARS_AHEAD = 10
_YEAR_FIRST = re.compile(r"(\d{4})([-/.]) ?(\d{1,2})\2 ?(\d{1,2})\.?")
# Year, month and day under their Chinese, Japanese and Korean signs.
_YEAR_SIGNED = re.compile(
    r"(\d{4})[\u5e74\ub144] ?(\d{1,2})[\u6708\uc6d4] ?(\d{1,2})[\u65e5\uc77c]"
)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})")
_YEAR_MONTH = re.compile(r"(\d{4})[-/.M](\d{1,2})")
_MONTH_YEAR = re.compile(r"(\d{1,2})[-/.](\d{4})")
_COMPACT = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})(?:[T ]?(\d{2})(\d{2})(\d{2})?Z?)?")
_QUARTER = re.compile(r"(\d{4})[- ]?Q([1-4])")
_WEEK = re.compile(r"(\d{4})[- ]?W(\d{2})(?:-([1-7]))?")
_EPOCH = re.compile(r"(\d{9,10}|\d{12,13}|\d{15,16}|\d{18,19})(\.\d*)?")
_NAMED_MONTH = re.compile(
    r"(?:[^\W\d]{2,9}[,.]? )?(?:(\d{1,2})(?:st|nd|rd|th)?[- ./] ?(?:de )?)?"
    r"([^\W\d]{3,10})\.?[-/ ,]+"
    r"(?:de )?(?:(\d{1,2})(?:st|nd|rd|th)?,? )?(\d{4}|\d{2}),?"
)
_TIME = re.compile(
    r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?(?:[.,:]\d+)?(?:[- ]?([AP])\.?M\.?)?"
    r" ?(Z|(?:UTC|GMT)?(?:[+-]\d{1,2}(?::?\d{2})?)?)",
    re.IGNORECASE,
)
_HOUR_ONLY = re.compile(r" (\d{1,2}[- ]?[AP]M)$", re.IGNORECASE)
_MONTHS = {
    word: month
    for month, words in enumerate(
        (
            *("jan ene gen sty \u044f\u043d\u0432", "feb fev f\u00e9v lut \u0444\u0435\u0432"),
            *("mar m\u00e4r mrz \u043c\u0430\u0440", "apr abr avr kwi \u0430\u043f\u0440"),
            *(
                "may mai mag maj \u043c\u0430\u044f \u043c\u0430\u0439",
                "jun giu juin cze \u0438\u044e\u043d",
            ),
            *("jul lug juil lip \u0438\u044e\u043b", "aug ago ao\u00fb aou sie \u0430\u0432\u0433"),
            *("sep set wrz \u0441\u0435\u043d", "oct out okt ott pa\u017a paz \u043e\u043a\u0442"),
            *("nov lis \u043d\u043e\u044f", "dec dez dic d\u00e9c gru \u0434\u0435\u043a"),
        ),
        start=1,
    )
    for word in words.split()
}
# Cells from which on it pays to look whether they are all alike.
_MANY = 10_000


class Day(NamedTuple):
    """A date without its time of day, taken apart.

    Attributes:
        numbers: Year, month and day; or the three numbers of a date whose order is open.
        order: `ymd`, or `?` followed by the sign between the numbers and the digits of the last.
        seconds: Seconds since midnight, or since 1970, where the digits hold them too.
    """

    numbers: tuple[int, int, int]
    order: str = "ymd"
    seconds: int = 0


def since_1970(numbers: np.ndarray) -> np.ndarray:
    """Return dates from seconds, milli-, micro- or nanoseconds; their size tells which."""
    powers = (numbers >= 10**11).astype(np.int64) + (numbers >= 10**14) + (numbers >= 10**17)
    return (numbers // 1000**powers).astype("datetime64[s]")


Words = tuple[np.ndarray, list[str], np.ndarray, list[str]]


def is_clock(cell: str) -> bool:
    """Tell whether a cell holds a time of day and no date."""
    return read_time(cell) is not None


def split_cells(text: pd.Series) -> Words:
    """Return codes and words of the days, then of the times of day, that a column consists of."""
    cells = text.to_numpy(dtype=object)
    if len(cells) > _MANY and (found := _split_alike(cells)):
        return found
    days: dict[str, int] = {}
    clocks: dict[str, int] = {}
    codes = np.empty((2, len(cells)), dtype=np.int64)
    for row, cell in enumerate(cells):
        day, clock = _split(cell)
        codes[0, row] = days.setdefault(day, len(days))
        codes[1, row] = clocks.setdefault(clock, len(clocks))
    return codes[0], list(days), codes[1], list(clocks)


def _split_alike(cells: np.ndarray) -> Words | None:
    """Split cells that differ in their digits alone, all at once; None for others."""
    try:
        letters = cells.astype("S")
    except UnicodeEncodeError:
        return None
    letters = letters.view(np.uint8).reshape(len(cells), -1)
    is_digit = (letters >= ord("0")) & (letters <= ord("9"))
    if (is_digit != is_digit[0]).any() or (letters != letters[0])[:, ~is_digit[0]].any():
        return None
    first = str(cells[0])
    cut = len(_split(first)[0])
    parts: list[Any] = []
    for start, end in ((0, cut), (cut, len(first))):
        number = np.zeros(len(cells), dtype=np.int64)
        for column in np.flatnonzero(is_digit[0][start:end]) + start:
            number = number * 10 + letters[:, column] - ord("0")
        codes, different = pd.factorize(number)
        rows = np.empty(len(different), dtype=np.int64)
        rows[codes[::-1]] = np.arange(len(cells))[::-1]  # of equal ones the first is left
        parts += [codes, [_split(str(cells[row]))[start > 0] for row in rows.tolist()]]
    return parts[0], parts[1], parts[2], parts[3]


def _split(cell: str) -> tuple[str, str]:
    """Cut a cell before its time of day."""
    colon = cell.find(":")
    if colon < 0:
        match = _HOUR_ONLY.search(cell)
        return (cell[: match.start()], match[1]) if match else (cell, "")
    cut = max(cell.rfind(" ", 0, colon), cell.rfind("T", 0, colon))
    return cell[: max(cut, 0)].rstrip(" ,"), cell[cut + 1 :]


def read_day(cell: str) -> Day | None:
    """Take a date without its time of day apart; None for what is no date."""
    if cell.casefold() in NULLS:
        return None
    if match := _YEAR_FIRST.fullmatch(cell):
        return Day((int(match[1]), int(match[3]), int(match[4])))
    if match := _YEAR_SIGNED.fullmatch(cell):
        return Day((int(match[1]), int(match[2]), int(match[3])))
    if match := _YEAR_LAST.fullmatch(cell):
        order = f"?{match[2]}{len(match[4])}"
        return Day((int(match[1]), int(match[3]), int(match[4])), order)
    if match := _COMPACT.fullmatch(cell):
        hour, minute, second = (int(match[n] or 0) for n in (4, 5, 6))
        seconds = 3600 * hour + 60 * minute + second
        return Day((int(match[1]), int(match[2]), int(match[3])), seconds=seconds)
    if match := _EPOCH.fullmatch(cell):
        seconds = int(since_1970(np.array([int(match[1])]))[0].astype(np.int64))
        return Day((1970, 1, 1), seconds=seconds)
    if match := _QUARTER.fullmatch(cell):
        return Day((int(match[1]), 3 * int(match[2]) - 2, 1))
    if match := _WEEK.fullmatch(cell):
        return _week(int(match[1]), int(match[2]), int(match[3] or 1))
    if match := _YEAR_MONTH.fullmatch(cell):
        return Day((int(match[1]), int(match[2]), 1))
    if match := _MONTH_YEAR.fullmatch(cell):
        return Day((int(match[2]), int(match[1]), 1))
    if match := _NAMED_MONTH.fullmatch(cell):
        month = next((m for w, m in _MONTHS.items() if match[2].casefold().startswith(w)), 0)
        day, year = match[1] or match[3] or "1", int(with_century(np.array(int(match[4]))))
        return Day((year, month, int(day)))
    return None


def _week(year: int, week: int, weekday: int) -> Day | None:
    """Return a day of a week as ISO 8601 counts them; None where the year has no such week."""
    try:
        day = datetime.date.fromisocalendar(year, week, weekday)
    except ValueError:
        return None
    return Day((day.year, day.month, day.day))


def with_century(years: np.ndarray) -> np.ndarray:
    """Complete years of two digits, none later than prices may be: 60 is 1960, not 2060."""
    latest = datetime.date.today().year + _YEARS_AHEAD
    written = np.where(years > 99, years, 2000 + years)
    return np.where((years <= 99) & (written > latest), written - 100, written)


def read_time(cell: str) -> tuple[int, int | None] | None:
    """Return seconds since midnight and offset from UTC; None for what is no time of day."""
    match = _TIME.fullmatch(cell)
    if match is None or (match[2] is None and match[4] is None):
        return None
    hour, minute, second = (int(match[n] or 0) for n in (1, 2, 3))
    if match[4]:
        hour = hour % 12 + (12 if match[4].upper() == "P" else 0)
    if hour > 24 or minute > 59 or second > 59:
        return None
    zone = match[5].upper()
    if not zone:
        return 3600 * hour + 60 * minute + second, None
    digits = re.sub(r"\D", "", zone)
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    offset = 3600 * int(hours or 0) + 60 * int(minutes)
    return 3600 * hour + 60 * minute + second, -offset if "-" in zone else offset
