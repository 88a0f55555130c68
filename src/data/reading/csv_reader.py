"""Read a CSV file as text, with the line number of every row.

Only the shape of the file is judged here: its bytes, its header and the length of its rows; what
the cells mean is `parsing`'s business. Commas, semicolons and tabs are accepted as delimiters, as
are a byte order mark and any line ending.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from src.data.reading.errors import DataError, quote

_SIGNATURES = {
    b"\x1f\x8b": "gzip-compressed bytes",
    b"PK\x03\x04": "a zip archive or spreadsheet",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


@dataclass(frozen=True)
class CsvText:
    """The header and cells of a CSV file, still as text.

    Args:
        path: Where it was read from.
        delimiter: The character between two fields.
        header: Column names, stripped.
        rows: Cells of each row, as many as the header has names.
        lines: Physical line number on which each row starts.
    """

    path: Path
    delimiter: str
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def column(self, position: int) -> list[str]:
        """Return the stripped cells of the column at `position`, counted from 0."""
        return [row[position].strip() for row in self.rows]

    def error(self, row: int, column: int, found: str, expected: str) -> DataError:
        """Return the error for data row `row` and column `column`, both counted from 0."""
        return DataError(self.path, self.lines[row], column + 1, found, expected)


def read_csv(path: Path) -> CsvText:
    """Read a whole CSV file as text.

    Args:
        path: The file to read, UTF-8 with or without a byte order mark.

    Returns:
        Header, rows and line numbers.

    Raises:
        DataError: If the file is missing, no text, empty, or has a ragged row or a broken header.
    """
    _refuse_what_is_no_text(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read_rows(path, file)
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x}, which is not UTF-8"
        raise DataError(path, _line_of_bad_byte(path), 1, found, "UTF-8 text") from error
    except OSError as error:
        raise DataError(path, 1, 1, f"{error.strerror}", "a readable CSV file") from error


def _refuse_what_is_no_text(path: Path) -> None:
    expected = "a CSV file"
    if path.is_dir():
        raise DataError(path, 1, 1, "a folder", expected)
    if not path.exists():
        raise DataError(path, 1, 1, "no such file", expected)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(path, 1, 1, f"{error.strerror}", "a readable CSV file") from error
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            raise DataError(path, 1, 1, name, "a CSV file in UTF-8")


def _read_rows(path: Path, file: TextIO) -> CsvText:
    first = next(_lines_without_nul(path, file), "")
    file.seek(0)
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(_lines_without_nul(path, file), delimiter=delimiter, strict=True)
    header: tuple[str, ...] = ()
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    try:
        for row in reader:
            if not header:
                header = _check_header(path, line, row)
            elif row:
                _check_length(path, line, row, header)
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        found = "an unclosed quote" if "end of data" in str(error) else f"{error}"
        raise DataError(path, line, 1, found, "every opened quote to be closed") from error
    if not header:
        raise DataError(path, 1, 1, "an empty file", "a header and rows of prices")
    if not rows:
        raise DataError(path, line, 1, "only a header", "rows of prices")
    return CsvText(path, delimiter, header, rows, lines)


def _lines_without_nul(path: Path, file: TextIO) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        if "\0" in line:
            raise DataError(path, number, 1, "a NUL byte", "plain text")
        yield line


def _check_header(path: Path, line: int, row: list[str]) -> tuple[str, ...]:
    header = tuple(name.strip() for name in row)
    if not any(header):
        raise DataError(path, line, 1, "a blank line", "a header with column names")
    seen: set[str] = set()
    for position, name in enumerate(header, start=1):
        if name.casefold() in seen:
            found = f"column name {quote(name)} a second time"
            raise DataError(path, line, position, found, "every column name once")
        seen.add(name.casefold())
    return header


def _check_length(path: Path, line: int, row: list[str], header: tuple[str, ...]) -> None:
    if len(row) != len(header):
        column = min(len(row), len(header) + 1)
        raise DataError(path, line, column, f"{len(row)} fields", f"{len(header)} as in the header")


def _line_of_bad_byte(path: Path) -> int:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return number
    return 1
