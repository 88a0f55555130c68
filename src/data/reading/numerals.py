"""Turn columns of text into numbers, deciding on the whole file which sign is the decimal one.

`136.187` is 136187 to half of the world. A file usually tells by other cells: `1,45%` beside it,
`8,746.6` below it, or 987 on the day before 1.003. Where nothing tells, it is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from src.data.reading.cells import NULLS, is_date, is_number
from src.data.reading.sheet import Sheet

DECIMALS = {"dot": ".", "comma": ","}
SMALLEST, LARGEST = 1e-30, 1e30
# Neighbours that differ by a factor of 100 show that a sign was read wrongly, by 10 that none was.
_ABSURD, _USUAL = np.log(100.0), np.log(10.0)
_SIGNS = "$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd"
_CURRENCY = re.compile(
    rf"^(R\$|US\$|[{_SIGNS}]|[A-Z]{{3}} )\s*|\s*([{_SIGNS}]|z\u0142|kr| [A-Z]{{3}})$"
)
_BETWEEN_GROUPS = re.compile("(?<=\\d)[ '\u2019\u00a0\u202f](?=\\d{3})")
_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_ONE_GROUP = {sign: re.compile(rf"[+-]?[1-9]\d{{0,2}}\{sign}\d{{3}}") for sign in ".,"}
# By decimal sign: 1,234.5 and 1,23,456.7 beside plain 1234.5 and 1e-7.
_NUMBER = {
    sign: re.compile(
        rf"[+-]?(\d{{1,3}}(\{other}\d{{2,3}})*\{other}\d{{3}}|\d+|(?=\{sign}\d))(\{sign}\d*)?"
        r"([eE][+-]?\d+)?"
    )
    for sign, other in (".,", ",.")
}


def read_numbers(
    sheet: Sheet,
    columns: Mapping[str, int],
    frame: pd.DataFrame,
    shown: str = ".",
    decimal: str | None = None,
    is_english: bool = True,
) -> dict[str, np.ndarray]:
    """Read columns of prices and volumes.

    Args:
        sheet: The cells.
        columns: Role to position.
        frame: The same columns as pandas has inferred them.
        shown: The decimal sign that it took.
        decimal: The decimal sign, `.` or `,`; None decides it from the cells.
        is_english: Whether names and dates speak for the dot, where the cells are silent.

    Returns:
        Role to values (rows,), float64: NaN where a cell holds a word for nothing, infinity where
        it holds no number.

    Raises:
        DataError: If it cannot be told which sign is the decimal one.
    """
    values = {
        role: frame[position].to_numpy(dtype=np.float64)
        for role, position in columns.items()
        if decimal in (None, shown) and _is_settled(sheet, position, frame[position], shown)
    }
    unread = [role for role in columns if role not in values]
    if unread:
        sheet.text(*(columns[role] for role in unread))
    left = [_Column(sheet, columns[role], role) for role in unread]
    evidence = decimal or (_evidence(sheet, left) if left else None)
    for column in left:
        sign = decimal or decimal_sign(column.cells) or evidence or column.by_continuity()
        values[column.role] = column.values(sign or column.by_habit(is_english))
    return values


def decimal_sign(cells: Iterable[str]) -> str | None:
    """Return the decimal sign that most cells show; None where each may be read either way.

    >>> decimal_sign(["1.234"]), decimal_sign(["1.234", "987,5"]), decimal_sign(["1,234,567"])
    (None, ',', '.')
    """
    votes: Counter[str] = Counter()
    for cell in cells:
        dots, commas = cell.count("."), cell.count(",")
        if dots and commas:
            votes["." if cell.rindex(".") > cell.rindex(",") else ","] += 1
        elif dots + commas > 1:
            votes["," if dots else "."] += 1
        elif dots + commas == 1:
            sign = "." if dots else ","
            votes[sign] += not _ONE_GROUP[sign].fullmatch(cell)
    return max(votes, key=lambda sign: votes[sign]) if any(votes.values()) else None


def shown_sign(sheet: Sheet, positions: Iterable[int]) -> str:
    """Return the decimal sign that the first rows of columns show, the dot if they show none."""
    cells = (row[n] for row in sheet.head for n in positions if n < len(row))
    return decimal_sign(_bare(cell)[0] for cell in cells) or "."


def _is_settled(sheet: Sheet, position: int, values: pd.Series, sign: str) -> bool:
    """Tell whether pandas' numbers are right: none could mean thousands, all are finite."""
    if not _is_finite(values):
        return False
    cells = [row[position] for row in sheet.head if position < len(row)]
    if any(sign in cell and not _ONE_GROUP[sign].fullmatch(cell) for cell in cells):
        return True
    return not (values.to_numpy(dtype=np.float64) % 1 > 0).any()


def _is_finite(values: pd.Series) -> bool:
    """Tell whether pandas has read numbers, all of a size that single precision holds."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    sizes = np.abs(values.to_numpy(dtype=np.float64))
    least, most = np.fmin.reduce(sizes, initial=1), np.fmax.reduce(sizes, initial=1)
    if least <= SMALLEST:
        least = np.min(sizes, where=sizes > 0, initial=1)
    return bool(least > SMALLEST and most < LARGEST)


def _evidence(sheet: Sheet, columns: list[_Column]) -> str | None:
    """Return the decimal sign that the file shows, columns that nobody asks for among them."""
    signs = {decimal_sign(column.cells) for column in columns}
    known = {column.position for column in columns}
    for position in range(len(sheet.header)):
        if position not in known:
            cells = [row[position] for row in sheet.head if position < len(row)]
            cells = [cell for cell in cells if is_number(cell) and not is_date(cell)]
            signs.add(decimal_sign(_bare(cell)[0] for cell in cells))
    signs.discard(None)
    return signs.pop() if len(signs) == 1 else None


class _Column:
    """The different cells of a column, and where each of them stands."""

    def __init__(self, sheet: Sheet, position: int, role: str) -> None:
        self.sheet, self.position, self.role = sheet, position, role
        self.codes, self.raw = sheet.words(position)
        bare = [("", 1.0) if cell.casefold() in NULLS else _bare(cell) for cell in self.raw]
        self.cells, self.factors = [cell for cell, _ in bare], np.array([f for _, f in bare])

    def values(self, decimal: str) -> np.ndarray:
        """Return the values of all rows under a decimal sign."""
        return self._different(decimal)[self.codes]

    def _different(self, decimal: str) -> np.ndarray:
        values = np.array([_value(cell, decimal) for cell in self.cells]) * self.factors
        # A suffix belongs to a volume; a currency sign on some prices may mean two currencies.
        if self.role != "volume":
            values[self.factors != 1] = np.inf
            values[self._odd_currency()] = np.inf
        sizes = np.abs(values)
        values[(sizes >= LARGEST) | ((sizes <= SMALLEST) & (sizes > 0))] = np.inf
        return values

    def _odd_currency(self) -> np.ndarray:
        has_sign = np.array([bool(_CURRENCY.search(cell)) for cell in self.raw])
        is_price = np.array([cell != "" for cell in self.cells])
        signed, bare = has_sign & is_price, ~has_sign & is_price
        if not signed.any() or not bare.any():
            return np.zeros(len(has_sign), dtype=bool)
        return signed if signed.sum() <= bare.sum() else bare

    def by_continuity(self) -> str | None:
        """Return the sign that makes no large step, if the other one makes an absurd step."""
        largest = {}
        for decimal in ".,":
            values = self.values(decimal)
            values = values[np.isfinite(values) & (values > 0)]
            largest[decimal] = np.abs(np.diff(np.log(values))).max(initial=0.0)
        for decimal, other in (".,", ",."):
            if largest[decimal] < _USUAL and largest[other] > _ABSURD:
                return decimal
        return None

    def by_habit(self, is_english: bool) -> str:
        """Return what is usual where no cell tells; refuse where both readings are."""
        grouped = {
            sign: [code for code, cell in enumerate(self.cells) if pattern.fullmatch(cell)]
            for sign, pattern in _ONE_GROUP.items()
        }
        if not grouped[","] and (is_english or not grouped["."]):
            return "."
        if self.role == "volume":
            return "," if grouped["."] else "."
        code = (grouped["."] or grouped[","])[0]
        row = int(np.flatnonzero(self.codes == code)[0])
        values = [_value(self.cells[code], sign) for sign in ".,"]
        why = f", which may be {values[0]:.12g} or {values[1]:.12g}"
        expected = "data.decimal=dot or data.decimal=comma, which says what its sign means"
        raise self.sheet.cell_error(row, self.position, expected, why)


def _bare(cell: str) -> tuple[str, float]:
    """Take the currency, the per cent, the spaces and the K, M or B off a number."""
    cell = _CURRENCY.sub("", cell.replace("\u2212", "-")).rstrip("% ")
    factor = _SUFFIXES.get(cell[-1:].upper(), 1.0)
    if factor != 1.0:
        cell = cell[:-1].rstrip()
    return _BETWEEN_GROUPS.sub("", cell), factor


def _value(cell: str, decimal: str) -> float:
    if not cell:
        return np.nan
    if not _NUMBER[decimal].fullmatch(cell):
        return np.inf
    other = "," if decimal == "." else "."
    return float(cell.replace(other, "").replace(decimal, "."))
