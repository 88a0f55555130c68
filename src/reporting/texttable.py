"""A table of text cells, and how it looks in a terminal and in Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

NARROWEST_NAME = 9


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
    lines = [_row(table.headers), _rule(table), *map(_row, table.rows)]
    caption = ["", f"*{_safe(table.caption)}*"] if table.caption else []
    return "\n".join([f"**{_safe(table.title)}**", "", *lines, *caption])


def _rule(table: TextTable) -> str:
    return "|" + "".join(":--|" if i < table.names else "--:|" for i in range(len(table.headers)))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_safe(cell) for cell in cells) + " |"


def _safe(cell: str) -> str:
    """Return text that stays in its cell and is no markup."""
    plain = " ".join(cell.split())
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
