"""Which column of a price file means what, for each of the series that it holds.

A header is understood by its names, a file without one by the look of its cells; tickers side by
side, in a second header row or in the names, have functions of their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from src.data.reading.cells import NULLS, is_date, is_number
from src.data.reading.errors import DataError, quote
from src.data.reading.families import NAMED, POSITIONS
from src.data.reading.names import PRICES, ROLES, columns_of, plain, role_of
from src.data.reading.sheet import Sheet

_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AP]M)?", re.IGNORECASE)
_SECONDS = re.compile(r"\d{9,10}|\d{12,13}|\d{16}|\d{19}")
_TUPLE = re.compile(r"""\(['"](.*?)['"], ?['"](.*?)['"]\)""")
_TICKER = re.compile(r"[\^A-Z0-9][A-Z0-9.^=\-/:!_ ]{0,19}")


@dataclass(frozen=True)
class Columns:
    """Which column plays which role.

    Args:
        layout: Name of the family.
        roles: Role to position, counted from 0.
        ticker: What the series is called; None where a column or nobody tells.
        why: Role to the reason it was chosen, where that is more than its name.
        volumes: Further columns of volumes, for a first one that is not measured.
    """

    layout: str
    roles: dict[str, int]
    ticker: str | None = None
    why: dict[str, str] = field(default_factory=dict)
    volumes: tuple[int, ...] = ()


def find_columns(sheet: Sheet, by_hand: Mapping[str, str | int | None]) -> list[Columns]:
    """Find the columns of each series that a sheet holds.

    Args:
        sheet: The cells.
        by_hand: Role to the name or number of a column that the user has chosen.

    Returns:
        One entry; several where tickers stand side by side.

    Raises:
        DataError: If there is no date or no price.
    """
    chosen = {
        role: _chosen(sheet, role, name) for role, name in by_hand.items() if name is not None
    }
    for family in (_two_headers, _tickers_in_names, _by_name, _one_column_each, _by_position):
        found = family(sheet, chosen)
        if found:
            return found
    roles = dict(chosen)
    if sheet.has_header:
        _find_date(sheet, roles, {})
    raise _missing(sheet, roles)


def _chosen(sheet: Sheet, role: str, name: str | int) -> int:
    """Return the position of a column named, or numbered from 1, by the user."""
    if role not in ROLES:
        raise ValueError(f"data.columns.{role}: choose from {', '.join(ROLES)}")
    names = [plain(header) for header in sheet.header]
    for position, header in enumerate(sheet.header):
        if header and header == str(name):
            return position
    if plain(str(name)) in names and plain(str(name)):
        return names.index(plain(str(name)))
    if str(name).isdigit() and 0 < int(name) <= len(sheet.header):
        return int(name) - 1
    found, expected = _header_of(sheet), f"a column {name}, as data.columns.{role} says"
    raise sheet.header_error(found, expected)


def _header_of(sheet: Sheet) -> str:
    if sheet.has_header:
        return "columns " + ", ".join(quote(name) for name in sheet.header[:20])
    return "columns " + ", ".join(quote(cell) for cell in sheet.head[0][:20])


def _missing(sheet: Sheet, roles: Mapping[str, int]) -> DataError:
    missing = [role for role in ("date", "close") if role not in roles]
    noun = "a column" if len(missing) == 1 else "columns"
    options = ", ".join(f"data.columns.{role}=" for role in missing)
    words = " and ".join(missing)
    return sheet.header_error(_header_of(sheet), f"{noun} {words}; {options} names it by hand")


def _by_name(sheet: Sheet, chosen: Mapping[str, int]) -> list[Columns] | None:
    if not sheet.has_header:
        return None
    roles: dict[str, int] = {}
    why: dict[str, str] = {}
    for role in ROLES:
        if role in ("date", "time"):
            continue
        found = [n for n in columns_of(sheet.header, role) if n not in chosen.values()]
        if found and role not in chosen:
            roles[role] = found[0]
            _refuse_repeated(sheet, role, found)
    roles.update(chosen)
    why.update(dict.fromkeys(chosen, "chosen by hand"))
    _find_date(sheet, roles, why)
    if "close" not in roles and "adjusted" in roles:
        why["close"] = "the only price"
        roles["close"] = roles.pop("adjusted")
    if "close" not in roles and "date" in roles:
        values = [
            n
            for n in range(len(sheet.header))
            if n not in roles.values() and _kind(sheet, n) in "ne"
        ]
        if len(values) == 1 and not set(roles) & set(PRICES):
            roles["close"], why["close"] = values[0], "the only column of values"
    if "close" not in roles or "date" not in roles:
        return None
    if "adjusted" in roles and "close" in chosen:
        # A close chosen by hand is what is wanted, be it the adjusted one or not.
        if chosen["close"] == roles["adjusted"]:
            others = [n for n in columns_of(sheet.header, "close") if n != roles["adjusted"]]
            roles["close"] = others[0] if others else roles.pop("adjusted")
        else:
            del roles["adjusted"]
    if "ticker" in roles and _kind(sheet, roles["ticker"]) in "de":
        del roles["ticker"]
    volumes = tuple(n for n in columns_of(sheet.header, "volume") if n != roles.get("volume"))
    return [Columns(_called(sheet), roles, why=why, volumes=volumes)]


def _refuse_repeated(sheet: Sheet, role: str, found: Sequence[int]) -> None:
    """Refuse a price whose column name comes twice; who needs none of the two may keep both."""
    names = [plain(sheet.header[n]) for n in found]
    if role in PRICES and len(names) > 1 and names[1] == names[0]:
        name = quote(sheet.header[found[1]])
        expected = f"it once; data.columns.{role}={found[0] + 1} takes the first by its number"
        raise sheet.header_error(f"column name {name} a second time", expected, found[1])


def _find_date(sheet: Sheet, roles: dict[str, int], why: dict[str, str]) -> None:
    """Find the column of dates, and the one of times where it stands apart."""
    clocks = [n for n in columns_of(sheet.header, "date") if _kind(sheet, n) == "t"]
    times = [n for n in columns_of(sheet.header, "time") if n not in roles.values()] + clocks
    if "date" not in roles:
        in_block = [
            n for row in sheet.block for n, cell in enumerate(row) if role_of(cell) == "date"
        ]
        named = [*columns_of(sheet.header, "date"), *in_block, *times]
        named += [0] if not sheet.header[0] else []
        named = [n for n in named if n not in roles.values()]
        good = [n for n in named if _kind(sheet, n) in "de" and not _is_rounded(sheet, n)]
        free = [
            n
            for n in range(len(sheet.header))
            if n not in roles.values() and _kind(sheet, n) == "d"
        ]
        if good or named:
            roles["date"] = (good or named)[0]
        elif len(free) == 1:
            roles["date"], why["date"] = free[0], "the only column of dates"
    if "time" not in roles and "date" in roles:
        apart = [n for n in times if n != roles["date"] and _kind(sheet, n) in "tnw"]
        if apart and not _has_clock(sheet, roles["date"]):
            roles["time"] = apart[0]


def _is_rounded(sheet: Sheet, position: int) -> bool:
    """Tell a spreadsheet's 1.64532E+12, a count of milliseconds with its end cut off."""
    return any("E+" in row[position].upper() for row in sheet.head if position < len(row))


def _has_clock(sheet: Sheet, position: int) -> bool:
    return any(":" in row[position] for row in sheet.head if position < len(row))


def _called(sheet: Sheet) -> str:
    words = {plain(name) for name in sheet.header}
    for name, signature in NAMED:
        if words.issuperset(signature.split("|")):
            return name
    return "named columns"


def _two_headers(sheet: Sheet, chosen: Mapping[str, int]) -> list[Columns] | None:
    """Read yfinance's table, whose second header row names the ticker of each column."""
    prices = [n for n, name in enumerate(sheet.header) if role_of(name) in (*PRICES, "volume")]
    rows = [row for row in sheet.block if tuple(row) != sheet.header]
    if not sheet.header or not rows or "close" in chosen:
        return None
    # The name over the dates, "Price", is no price.
    prices = [n for n in prices if n > 0 or role_of(sheet.header[n]) != "close"]
    named = [
        row for row in rows if prices and all(row[n] and role_of(row[n]) is None for n in prices)
    ]
    if not named:
        return None
    tickers = list(dict.fromkeys(named[0][n] for n in prices))
    closes = [n for n in prices if role_of(sheet.header[n]) in ("close", "adjusted")]
    if {named[0][n] for n in closes} != set(tickers):
        return None  # units, such as USD and shares
    return [
        _side_by_side(
            sheet, "yfinance", ticker, [n for n in prices if named[0][n] == ticker], chosen
        )
        for ticker in tickers
    ]


def _side_by_side(
    sheet: Sheet,
    layout: str,
    ticker: str,
    positions: Sequence[int],
    chosen: Mapping[str, int],
    role: Callable[[int], str | None] | None = None,
) -> Columns:
    roles: dict[str, int] = {}
    for position in positions:
        name = role(position) if role else role_of(sheet.header[position])
        if name is not None:
            roles.setdefault(name, position)
    roles.update(chosen)
    why: dict[str, str] = {}
    if "date" not in roles:
        _find_date(sheet, roles, why)
        roles.setdefault("date", 0)
    if "close" not in roles and "adjusted" in roles:
        roles["close"] = roles.pop("adjusted")
    if "close" not in roles:
        raise _missing(sheet, roles)
    return Columns(layout, roles, ticker, why)


def _tickers_in_names(sheet: Sheet, chosen: Mapping[str, int]) -> list[Columns] | None:
    """Read names such as ('Close', 'AAPL'), Close_AAPL or AAPL Close."""
    parts = {n: _role_and_ticker(name) for n, name in enumerate(sheet.header)}
    found = {n: part for n, part in parts.items() if part is not None}
    roles = {role for role, _ in found.values()}
    if not roles & {"close", "adjusted"} or any(role_of(n) in PRICES for n in sheet.header):
        return None
    return [
        _side_by_side(
            sheet,
            "yfinance, flattened",
            ticker,
            [n for n, p in found.items() if p[1] == ticker],
            chosen,
            lambda n: found[n][0],
        )
        for ticker in dict.fromkeys(ticker for _, ticker in found.values())
    ]


def _role_and_ticker(name: str) -> tuple[str, str] | None:
    """Split a name into a role and a ticker; None for any other name.

    >>> _role_and_ticker("('Adj Close', 'AAPL')"), _role_and_ticker("BTC-USD_close")
    (('adjusted', 'AAPL'), ('close', 'BTC-USD'))
    """
    match = _TUPLE.fullmatch(name)
    pairs = [match.groups()] if match else []
    if match is None:
        cuts = [n for n, letter in enumerate(name) if letter in "_ .|:"]
        pairs = [(name[:n], name[n + 1 :].strip()) for n in cuts]
    for left, right in pairs:
        for word, ticker in ((left, right), (right, left)):
            role = role_of(word)
            if (
                role in (*PRICES, "volume")
                and role_of(ticker) is None
                and _TICKER.fullmatch(ticker)
            ):
                return role, ticker
    return None


def _one_column_each(sheet: Sheet, chosen: Mapping[str, int]) -> list[Columns] | None:
    """Read a date and the closes of several tickers, named like tickers and nothing else."""
    if not sheet.has_header or "close" in chosen:
        return None
    roles: dict[str, int] = dict(chosen)
    why: dict[str, str] = {}
    _find_date(sheet, roles, why)
    if "date" not in roles:
        return None
    values = [n for n in range(len(sheet.header)) if n not in roles.values()]
    names = [sheet.header[n] for n in values]
    if len(values) < 2 or not all(_TICKER.fullmatch(name) for name in names):
        return None
    if not all(_kind(sheet, n) in "ne" for n in values):
        return None
    return [
        Columns("a column for each ticker", {**roles, "close": n}, sheet.header[n], why)
        for n in values
    ]


def _by_position(sheet: Sheet, chosen: Mapping[str, int]) -> list[Columns] | None:
    """Read a file without a header by the look of its cells."""
    if sheet.has_header:
        return None
    if {"date", "close"} <= set(chosen):
        return [Columns("columns chosen by hand", dict(chosen))]
    # Remarks beside some of the values are no column of their own.
    places = [n for n in range(len(sheet.header)) if not _is_remarks(sheet, n)]
    look = "".join(_kind(sheet, n) for n in places)
    for name, pattern, words in POSITIONS:
        roles = {role: n for n, role in zip(places, words.split(" "), strict=False) if role}
        if re.fullmatch(pattern, look) and _are_bars(sheet, roles):
            return [Columns(name, {**roles, **chosen}, why=dict.fromkeys(roles, "by its place"))]
    return None


def _are_bars(sheet: Sheet, roles: Mapping[str, int]) -> bool:
    """Tell whether nearly all rows fit the roles: high at the top, low at the bottom."""
    if "high" not in roles:
        return True
    fits = []
    for row in sheet.head[:100]:
        numbers = {role: _plain_number(row[n]) for role, n in roles.items() if role in PRICES}
        if len(row) == len(sheet.header) and not any(map(math.isnan, numbers.values())):
            adjusted = numbers.pop("adjusted", numbers["close"])
            is_in_range = numbers["low"] <= min(numbers.values()) <= numbers["high"]
            is_in_range &= numbers["high"] >= max(numbers.values())
            fits.append(is_in_range and 0 < adjusted <= 1.001 * numbers["close"])
    return sum(fits) > 0.9 * len(fits)


def _is_remarks(sheet: Sheet, position: int) -> bool:
    """Tell whether nearly all cells of a column are empty."""
    cells = [row[position] for row in sheet.head if position < len(row)]
    return sum(map(bool, cells)) < 0.2 * len(cells)


def _plain_number(cell: str) -> float:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return math.nan


def _kind(sheet: Sheet, position: int) -> str:
    """Return how the cells of a column look, as in `POSITIONS`."""
    cells = [row[position] for row in sheet.head if position < len(row)]
    cells = [cell for cell in cells if cell.casefold() not in NULLS]

    def are(test: Callable[[str], object]) -> bool:
        return sum(map(bool, map(test, cells))) > 0.9 * len(cells)

    if not cells:
        return "n"
    if are(_SECONDS.fullmatch):
        return "e"
    if are(is_date):
        return "d"
    if are(_CLOCK.fullmatch):
        return "t"
    return "n" if are(is_number) else "w"
