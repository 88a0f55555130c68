"""Where the rows of a text file begin, what separates their cells, and what ends them.

Nothing is known of prices here but the names of columns and the look of dates and numbers, which
tell a header from what stands above it.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from src.data.reading.cells import NULLS, is_date, is_number
from src.data.reading.errors import DataError, quote
from src.data.reading.files import BLOCK, TextFile
from src.data.reading.names import PRICES, role_of, spelled_out
from src.data.reading.sheet import Sheet, csv_rows

DELIMITERS = ",;\t|"
_HEAD_LINES = 200
_HEADER_LINES = 40
# Rows at the end of a file that are no bars: "Downloaded from ... as of ...".
_MOST_FOOTERS = 10


def read_sheet(file: TextFile) -> Sheet:
    """Find the header, the delimiter and the last row of a delimited file.

    Args:
        file: The text.

    Returns:
        Its cells.

    Raises:
        DataError: If there are no rows of data, or one has more or fewer cells than the header.
    """
    lines = list(itertools.islice(file.lines(), _HEAD_LINES))
    if not any(line.strip() for line in lines):
        raise DataError(file.path, 1, 1, "an empty file", "a header and rows of prices")
    told = next((line[4:5] for line in lines[:1] if line.lower().startswith("sep=")), "")
    drafts = [_draft(file, lines, delimiter) for delimiter in told or DELIMITERS]
    found = [draft for draft in drafts if draft is not None]
    if not found:
        raise _nothing_to_read(file, lines)
    sheet = max(found, key=_likelihood)
    _count_rows(sheet)
    return sheet


def _draft(file: TextFile, lines: list[str], delimiter: str) -> Sheet | None:
    """Cut the head of a file by one delimiter; None if neither header nor data shows."""
    lined = [(line, cells) for line, cells in _cut(lines, delimiter) if any(cells)]
    rows = [cells for _, cells in lined]
    names, start = _names_and_start(rows)
    if start is None:
        return None
    data = rows[start:]
    header = _align(rows[names], data) if names is not None else [""] * _usual_width(data)
    first = last = start if names is None else names
    if names is not None:
        last = start
        while first > 0 and names - first < 2 and _is_header_row(rows[first - 1], len(rows[names])):
            first -= 1
    block = [_align(cells, data) for cells in rows[first:last]]
    above = [delimiter.join(cells).rstrip(delimiter) for cells in rows[:first]]
    line = lined[start][0] if data else lined[-1][0] + 1
    return Sheet(file, delimiter, block, tuple(header), above, line, data)


def _cut(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and stripped cells of each row, up to one that cannot be cut."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    line = 1
    with contextlib.suppress(csv.Error):
        for cells in reader:
            yield line, [cell.strip().lstrip("\ufeff") for cell in cells]
            line = reader.line_num + 1


def _names_and_start(rows: list[list[str]]) -> tuple[int | None, int | None]:
    """Return the row that names the columns and the first row of data; None for what is not."""
    for number, cells in enumerate(rows[:_HEADER_LINES]):
        if _names_columns(cells):
            after = range(number + 1, len(rows))
            return number, next((n for n in after if not _is_header_row(rows[n])), len(rows))
        if _is_data(cells):
            above = number - 1
            is_named = number > 0 and _is_header_row(rows[above], len(cells))
            return (above if is_named else None), number
    return None, None


def _names_columns(cells: list[str]) -> bool:
    roles = {role_of(cell) for cell in spelled_out(cells) if cell}
    prices = roles.intersection(PRICES)
    # yfinance puts the date below `Price`, of which the other columns are kinds.
    is_dated = bool(roles & {"date", "time"}) or cells[0] in ("", "Price")
    return len(cells) > 1 and (len(prices) > 2 or (len(prices) > 0 and is_dated))


def _is_data(cells: list[str]) -> bool:
    """Tell whether a row holds a date and a number, or a word for none."""
    # Digits alone are as likely a volume, unless they come first.
    dates = [n for n, cell in enumerate(cells) if is_date(cell) and (n < 3 or not cell.isdigit())]
    others = [cell for n, cell in enumerate(cells) if n not in dates[:1]]
    has_value = any(is_number(cell) or (cell and cell.lower() in NULLS) for cell in others)
    return bool(dates) and (has_value or len(cells) == 2)


def _is_header_row(cells: list[str], width: int | None = None) -> bool:
    """Tell whether a row has words alone; given a width, at least two and about as many cells."""
    if any(is_date(cell) or is_number(cell) for cell in cells):
        return False
    if width is None:
        return any(cells[1:]) or role_of(cells[0]) == "date"
    return abs(len(cells) - width) <= 1 and sum(map(bool, cells)) > 1


def _usual_width(data: list[list[str]]) -> int:
    return Counter(map(len, data)).most_common(1)[0][0] if data else 0


def _align(names: list[str], data: list[list[str]]) -> list[str]:
    """Give a header as many names as rows have cells, where it is clear which is missing."""
    width = _usual_width(data)
    if len(names) == width - 1:
        if not any(cells[-1] for cells in data if len(cells) == width):
            return [*names, ""]
        first = [cells[0] for cells in data]
        if all(map(is_date, first)) or all(cell.isdigit() for cell in first):
            return ["", *names]
    while len(names) > width > 0 and not names[-1]:
        names = names[:-1]
    return names


def _likelihood(sheet: Sheet) -> tuple[int, int, int]:
    """Judge a delimiter by the names it shows, the rows it fits and the cells it makes."""
    width = len(sheet.header)
    roles = {role_of(name) for name in sheet.header if name}
    return len(roles - {None}), sum(len(cells) == width for cells in sheet.head), width


def _nothing_to_read(file: TextFile, lines: list[str]) -> DataError:
    number, first = next((n, line) for n, line in enumerate(lines, start=1) if line.strip())
    delimiter = max(DELIMITERS, key=first.count)
    columns = ", ".join(quote(cell.strip()) for cell in first.split(delimiter)[:8])
    expected = "a header with a date column and a close column, and rows of prices"
    return DataError(file.path, number, 1, f"columns {columns}", expected)


def _count_rows(sheet: Sheet) -> None:
    """Count the rows, and find those at the end that are none; refuse one of another width."""
    width = len(sheet.header)
    tally = _tally_plain(sheet, width) or _tally_quoted(sheet, width)
    sheet.rows, sheet.is_regular = tally.rows, tally.is_regular
    sheet.last_line = tally.last
    while tally.odd and _is_footer(sheet, tally, tally.odd[-1]):
        line, cells = tally.odd.pop()
        sheet.footers.insert(0, (line, " ".join(filter(None, cells))))
        sheet.rows -= 1
    if tally.odd:
        line, cells = tally.odd[0]
        column = min(len(cells), width + 1)
        expected = f"{width} as in the header" if sheet.has_header else f"{width} as in the others"
        raise DataError(sheet.file.path, line, column, f"{len(cells)} fields", expected)
    if sheet.rows < 1:
        raise DataError(sheet.file.path, sheet.first_line, 1, "only a header", "rows of prices")


@dataclass
class _Tally:
    """Rows counted.

    Args:
        rows: Their number, blank lines not counted.
        is_regular: Whether each is one line and no line between them is blank.
        odd: Line and cells of each that is not as wide as the header.
        last: Line of the last row as wide as the header.
    """

    rows: int = 0
    is_regular: bool = True
    odd: list[tuple[int, list[str]]] = field(default_factory=list)
    last: int = 0


def _is_footer(sheet: Sheet, tally: _Tally, row: tuple[int, list[str]]) -> bool:
    line, cells = row
    is_words = not is_date(cells[0]) and sum(map(bool, cells)) <= 2
    return line > tally.last and is_words and len(sheet.footers) < _MOST_FOOTERS


def _tally_plain(sheet: Sheet, width: int) -> _Tally | None:
    """Count the rows of a file without quotes block by block; None if it has any."""
    tally = _Tally(last=sheet.first_line - 1)
    delimiter = ord(sheet.delimiter)
    line, rest = 1, b""
    sums = np.empty(2 * BLOCK, dtype=np.int32)
    with sheet.file.open() as stream:
        while block := stream.read(BLOCK) or (rest and b"\n"):
            if b'"' in block:
                return None
            whole, end, after = (rest + block).rpartition(b"\n")
            rest = after if end else rest + block
            if not end:
                continue
            text = np.frombuffer(whole + b"\n", dtype=np.uint8)
            ends = np.flatnonzero(text == ord("\n"))
            if len(text) > len(sums):
                sums = np.empty(2 * len(text), dtype=np.int32)
            so_far = np.cumsum(text == delimiter, dtype=np.int32, out=sums[: len(text)])
            counts = np.diff(so_far[ends], prepend=0)
            if line < sheet.first_line:
                counts[: sheet.first_line - line] = width - 1
            strange = np.flatnonzero(counts != width - 1)
            _note_strange(tally, sheet, whole, ends, strange, line)
            before = max(0, min(len(ends), sheet.first_line - line))
            tally.rows += len(ends) - before
            line += len(ends)
            usual = np.flatnonzero(counts[before:] == width - 1)
            tally.last = line - len(ends) + before + int(usual[-1]) if len(usual) else tally.last
    return tally


def _note_strange(
    tally: _Tally, sheet: Sheet, text: bytes, ends: np.ndarray, strange: np.ndarray, line: int
) -> None:
    """Tell blank lines, which are no rows, from rows of another width."""
    for number in strange.tolist():
        start = int(ends[number - 1]) + 1 if number else 0
        cells = text[start : int(ends[number])].decode().strip("\r").split(sheet.delimiter)
        if len(cells) == 1 and not cells[0].strip():
            tally.rows -= 1
            tally.is_regular = False
        else:
            tally.odd.append((line + number, [cell.strip() for cell in cells]))


def _tally_quoted(sheet: Sheet, width: int) -> _Tally:
    tally = _Tally()
    expected_line = sheet.first_line
    for line, cells in csv_rows(sheet.file, sheet.delimiter, sheet.first_line):
        tally.rows += 1
        tally.is_regular &= line == expected_line
        expected_line = line + 1
        if len(cells) == width:
            tally.last = line
        else:
            tally.odd.append((line, [cell.strip() for cell in cells]))
    return tally
