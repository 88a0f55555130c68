"""Words for numbers, and tables of text: how they look in a terminal and in Markdown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from src.reporting.statistics import Estimate

NOTHING = "-"
NARROWEST_NAME = 9


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count_of(1, "run"), count_of(2, "run")
    ('1 run', '2 runs')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def number(value: float | None, sign: str = "") -> str:
    """Return a number as it is read; "-" where there is none.

    >>> number(1234.56), number(19.83226), number(0.374239), number(-0.0045, "+"), number(math.nan)
    ('1234.6', '19.832', '0.3742', '-0.0045', '-')
    >>> number(0.0), number(0.000031)
    ('0.0000', '3.1e-05')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if 0 < abs(value) < 0.001:
        return f"{value:{sign}.2g}"
    decimals = 4 if abs(value) < 1 else 3 if abs(value) < 100 else 1
    return f"{value:{sign}.{decimals}f}"


def interval(estimate: "Estimate", sign: str = "") -> str:
    """Return the interval, or how many seeds are too few for one."""
    if math.isnan(estimate.low):
        return f"n={estimate.n}"
    return f"{number(estimate.low, sign)} to {number(estimate.high, sign)}"


def p_text(p_value: float) -> str:
    """Return a p-value as it is read.

    >>> p_text(0.0304), p_text(0.00002)
    ('0.030', '<0.001')
    """
    return NOTHING if math.isnan(p_value) else "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def listed(labels: Sequence[str], shown: int = 4) -> str:
    """Return the first labels and how many more there are.

    >>> listed(["a", "b", "c"], shown=2)
    'a, b and 1 more'
    """
    more = len(labels) - shown
    return ", ".join(labels[:shown]) + (f" and {more} more" if more > 0 else "")


def span(values: Iterable[float]) -> str:
    """Return the range of numbers; one number where they read alike.

    >>> span([0.5, 2.0]), span([0.5, 0.5])
    ('0.5000 to 2.000', '0.5000')
    """
    found = list(values)
    return " to ".join(dict.fromkeys((number(min(found)), number(max(found)))))


def percents(shares: Iterable[float]) -> str:
    """Return the range of shares in per cent.

    >>> percents([0.012, 0.5]), percents([0.0001])
    ('1.2% to 50.0%', '<0.1%')
    """
    found = list(shares)
    ends = (f"{one:.1%}" if one >= 0.0005 else "<0.1%" for one in (min(found), max(found)))
    return " to ".join(dict.fromkeys(ends))


def change(share: float) -> str:
    """Return a change in per cent, with as many digits as it takes to be seen.

    >>> change(0.0123), change(-0.00003), change(0.0), change(math.nan)
    ('+1.2%', '-0.003%', '+0.0%', '-')
    """
    if not math.isfinite(share):
        return NOTHING
    is_small = 0 < abs(share) < 0.0005
    decimals = -2 - math.floor(math.log10(abs(share))) if is_small else 1
    return f"{share:+.{decimals}%}"


@dataclass(frozen=True)
class TextTable:
    """A table of text; the first `names` columns are words, the others numbers."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    caption: str = ""


def rich_table(table: TextTable) -> Table:
    """Return a table for a terminal."""
    shown = Table(
        title=Text(table.title),
        title_justify="left",
        caption=Text(table.caption) if table.caption else None,
        caption_justify="left",
    )
    for place, header in enumerate(table.headers):
        # On a narrow terminal every column folds, none is cut: a cut number is a wrong number.
        longest = max((len(row[place]) for row in table.rows), default=0)
        shown.add_column(
            Text(header),
            justify="left" if place < table.names else "right",
            min_width=min(longest, NARROWEST_NAME) if place < table.names else None,
            overflow="fold",
        )
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in row))
    return shown


def markdown(table: TextTable) -> str:
    r"""Return a table in GitHub's Markdown.

    >>> print(markdown(TextTable("T", ("a", "b"), (("x|y", "1"),))))
    **T**
    <BLANKLINE>
    | a | b |
    |:--|--:|
    | x\|y | 1 |
    """
    caption = ["", f"*{_safe(table.caption)}*"] if table.caption else []
    lines = markdown_rows(table.headers, table.rows, table.names)
    return "\n".join([f"**{_safe(table.title)}**", "", *lines, *caption])


def markdown_rows(
    headers: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1
) -> list[str]:
    """Return the lines of a Markdown table; the first `names` columns are words, others numbers."""
    rule = "".join(":--|" if place < names else "--:|" for place in range(len(headers)))
    return [_row(headers), f"|{rule}", *map(_row, rows)]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_safe(cell) for cell in cells) + " |"


def _safe(cell: str) -> str:
    """Return text that stays in its cell and is no markup."""
    plain = " ".join(cell.split())
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def titled(title: str, caption: str) -> Table:
    """Return an empty table with a title above and a caption below, both at the left."""
    return Table(title=title, title_justify="left", caption=caption, caption_justify="left")
