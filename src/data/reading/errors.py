"""The error of every wrong price file: one line, `file:row:column: found X, expected Y`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

_LONGEST_QUOTE = 60
# What Hydra takes without quotes.
_BARE = re.compile(r"[A-Za-z0-9_./+-]*[A-Za-z_./][A-Za-z0-9_./+-]*")

_WORDS = ("null", "true", "false", "nan", "inf")


class DataError(ValueError):
    """A fault in the prices themselves, said in one line that names file, row and column.

    Args:
        file: Path of the file, or the name of a built-in source.
        row: Physical line number as an editor shows it, counted from 1.
        column: Field number within the row, counted from 1; 1 also stands for the whole row.
        found: What is there.
        expected: What should be there.

    >>> print(DataError("my.csv", 17, 5, "'N/A' in Close", "a number"))
    my.csv:17:5: found 'N/A' in Close, expected a number
    """

    def __init__(self, file: str | Path, row: int, column: int, found: str, expected: str) -> None:
        super().__init__(str(file), row, column, found, expected)

    def __str__(self) -> str:
        file, row, column, found, expected = self.args
        return f"{file}:{row}:{column}: found {found}, expected {expected}"


def quote(text: str) -> str:
    """Show a piece of a file on one line, shortened where it is long.

    >>> print(quote("N/A"), quote("a" * 100))
    'N/A' 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'
    """
    short = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."
    return repr(short)


def as_typed(key: str, value: str) -> str:
    """Write `key=value` as it has to be typed in a shell for Hydra to take the value as it is.

    >>> print(as_typed("data.path", "prices.csv"), as_typed("data.path", "CL=F.csv"))
    data.path=prices.csv 'data.path="CL=F.csv"'
    """
    if not _BARE.fullmatch(value) or value.lower() in _WORDS:
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        value = f'"{quoted}"'
    return shlex.quote(f"{key}={value}")
