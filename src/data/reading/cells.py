"""What a single cell looks like: a date, a number, or a word for nothing."""

from __future__ import annotations

import re

NULLS = frozenset(
    (
        *("", "null", "nan", "na", "n/a", "#n/a", "none", "nil", "nd", "n/d", "s/d", "(null)"),
        *("<na>", "nat", "-", "--", "---", ".", "..", "\u2013", "\u2014", "#n/a n/a"),
    )
)
_NUMBER = re.compile(
    r"[-+(\u2212]?\s*(R\$|US\$|[$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd])?\s*[-+\u2212]?"
    r"[\d.,'\u2019\u00a0\u202f ]*\d([eE][-+]?\d+)?\)?"
    r"\s*(%|[KMBT]|[$\u20ac\u00a3\u00a5\u20b9]|z\u0142|kr)?"
)
_DATE = re.compile(
    r"\d{4}[-/.] ?\d{1,2}([-/.] ?\d{1,2}\.?)?([T ][\w:.+ -]*)?"
    r"|\d{4}[\u5e74\ub144] ?\d{1,2}[\u6708\uc6d4] ?\d{1,2}[\u65e5\uc77c]( .*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})([T ][\w:.+ -]*)?"
    r"|(19|20)\d{6}([T ]?\d{4,6}Z?)?"
    r"|\d{4}[- ]?(Q[1-4]|M\d{2}|W\d{2}(-[1-7])?)"
    r"|(0?[1-9]|1[0-2])[-/](19|20)\d{2}"
    r"|\d{9,10}(\.\d*)?|\d{12,13}(\.0*)?|\d{16}|\d{19}|\d\.\d+E\+\d+"
    r"|([^\W\d]{2,9}[,.]? )?[^\W\d]{3,10}\.? \d{1,2},? \d{4}.*"
    r"|([^\W\d]{2,9}[,.]? )?\d{1,2}\.?[- ](de )?[^\W\d]{3,10}\.?[- ,]+(de )?(\d{4}|\d{2})( .*)?"
)


def is_date(cell: str) -> bool:
    """Tell whether a cell looks like a date, or like seconds since 1970."""
    return _DATE.fullmatch(cell) is not None


def is_number(cell: str) -> bool:
    """Tell whether a cell looks like a number in any writing."""
    return _NUMBER.fullmatch(cell) is not None
