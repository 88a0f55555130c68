"""The cells of a delimited text file: parsed by pandas, each still knowing its line."""

from __future__ import annotations

import csv
import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from src.data.reading.cells import NULLS
from src.data.reading.errors import DataError, quote
from src.data.reading.files import TextFile

_NULL_WORDS = [*NULLS, *(word.upper() for word in NULLS), "NaN", "None", "Null", "NaT"]


@dataclass
class Sheet:
    """The cells of a delimited file.

    Args:
        file: The text.
        delimiter: The character between two cells.
        block: Rows of the header, from the first that is as wide as the data; may be empty.
        header: The names of the columns; empty strings where there are none.
        above: Lines above the header, such as a title.
        first_line: Physical line of the first row of data, counted from 1.
        head: Cells of the first rows of data.
        rows: Number of rows of data; -1 until they are counted.
        last_line: Physical line of the last of them.
        footers: Lines below the last row of data, with their line numbers.
    """

    file: TextFile
    delimiter: str
    block: list[list[str]]
    header: tuple[str, ...]
    above: list[str]
    first_line: int
    head: list[list[str]]
    rows: int = -1
    last_line: int = -1
    footers: list[tuple[int, str]] = field(default_factory=list)
    is_regular: bool = True
    _texts: dict[int, pd.Series] = field(default_factory=dict)
    _words: dict[int, tuple[np.ndarray, list[str]]] = field(default_factory=dict)

    @property
    def has_header(self) -> bool:
        """Whether the columns have names."""
        return bool(self.block)

    @property
    def header_line(self) -> int:
        """Physical line of the header, 1 where there is none."""
        return max(1, self.first_line - len(self.block))

    def name(self, position: int) -> str:
        """Return what to call a column in a message."""
        return self.header[position] if self.has_header else f"column {position + 1}"

    def numbers(
        self,
        positions: Sequence[int],
        dates: Sequence[int] = (),
        decimal: str = ".",
        words: Sequence[int] = (),
        texts: Sequence[int] = (),
    ) -> pd.DataFrame:
        """Return columns as pandas reads them: numbers where all cells are plain numbers or null.

        Args:
            positions: The columns, counted from 0.
            dates: Those of them that hold ISO dates.
            decimal: The decimal sign.
            words: Further columns to read as text in the same pass, for a later call of `words`.
            texts: Those for a later call of `text`: more different cells than words have.

        Returns:
            A frame (rows, positions), its columns named by position.
        """
        options = (
            {"parse_dates": [str(n) for n in dates], "date_format": "ISO8601"} if dates else {}
        )
        frame = self._read(
            {*positions, *words, *texts},
            dtype=dict.fromkeys(map(str, words), "category")
            | dict.fromkeys(map(str, texts), object),
            na_values={str(n): _NULL_WORDS for n in positions},
            keep_default_na=False,
            decimal=decimal,
            **options,
        )
        # Of digits alone pandas makes numbers, and 093000 is no longer what it was.
        kept = [n for n in words if not pd.api.types.is_numeric_dtype(frame[n].cat.categories)]
        self._words |= {n: _codes_and_words(frame[n]) for n in kept}
        self._texts |= {n: _stripped(frame[n]) for n in texts}
        return frame

    def words(self, position: int) -> tuple[np.ndarray, list[str]]:
        """Return which of the different cells of a column stands in each row, and these, stripped.

        They differ in more than spaces; the first row with a cell is the one to name.
        """
        if position not in self._words:
            codes, found = pd.factorize(self.text(position))
            self._words[position] = codes, [str(word) for word in found]
        return self._words[position]

    def text(self, *positions: int) -> pd.Series:
        """Return the stripped cells of a column, as str, "" where there is nothing.

        Further positions are read in the same pass through the file, for a later call.
        """
        if missing := [n for n in positions if n not in self._texts]:
            frame = self._read(missing, dtype=object, na_filter=False)
            for n in missing:
                self._texts[n] = _stripped(frame[n])
        return self._texts[positions[0]]

    def cell(self, row: int, position: int) -> str:
        """Return one cell, row and position counted from 0."""
        return str(self.text(position).iloc[row])

    def line(self, row: int) -> int:
        """Return the physical line on which a row of data starts."""
        return self.first_line + row if self.is_regular else int(self._line_numbers[row])

    def error(self, row: int, position: int, found: str, expected: str) -> DataError:
        """Return the error for a cell, row and position counted from 0."""
        return DataError(self.file.path, self.line(row), position + 1, found, expected)

    def cell_error(self, row: int, position: int, expected: str, why: str = "") -> DataError:
        """Return the error that quotes a cell and names its column."""
        found = f"{quote(self.cell(row, position))} in {self.name(position)}{why}"
        return self.error(row, position, found, expected)

    def header_error(self, found: str, expected: str, position: int = 0) -> DataError:
        """Return an error about the header."""
        return DataError(self.file.path, self.header_line, position + 1, found, expected)

    @cached_property
    def _line_numbers(self) -> np.ndarray:
        rows = csv_rows(self.file, self.delimiter, self.first_line)
        return np.fromiter((line for line, _ in itertools.islice(rows, self.rows)), dtype=np.int64)

    def _read(self, positions: Iterable[int], **options: Any) -> pd.DataFrame:
        wanted = sorted(set(positions))
        with self.file.open() as stream, warnings.catch_warnings():
            # A column of numbers with a word far down: it is read again, as text.
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            frame = pd.read_csv(
                stream,
                sep=self.delimiter,
                header=None,
                # Names, not numbers: pandas takes numbers for places among the columns used.
                names=[str(n) for n in range(len(self.header))],
                index_col=False,
                usecols=[str(n) for n in wanted],
                skiprows=self.first_line - 1,
                nrows=self.rows if self.footers else None,
                skipinitialspace=True,
                **options,
            )
        assert len(frame) == self.rows, f"{len(frame)} rows, counted {self.rows}"
        return frame.rename(columns=int)


def _stripped(column: pd.Series) -> pd.Series:
    cells = column.to_numpy(dtype=object)
    return pd.Series([cell.strip() for cell in cells.tolist()], dtype=object)


def _codes_and_words(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    words = [str(word).strip() for word in column.cat.categories]
    first = {word: n for n, word in reversed([*enumerate(words)])}
    codes = column.cat.codes.to_numpy(dtype=np.int64)
    if len(first) < len(words):
        codes = np.array([first[word] for word in words])[codes]
    return codes, words


def csv_rows(file: TextFile, delimiter: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row of data that is not blank.

    Raises:
        DataError: If a quote is not closed.
    """
    lines = itertools.islice(file.lines(), first_line - 1, None)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    line = first_line
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield line, cells
            line = reader.line_num + first_line
    except csv.Error as error:
        found = "an unclosed quote" if "end of data" in str(error) else f"{error}"
        raise DataError(file.path, line, 1, found, "every opened quote to be closed") from error
