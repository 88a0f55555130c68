"""What would help a model to learn, in a terminal: the verdict, and the trials behind it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def trials_view(trials: Mapping[str, Any]) -> Group:
    """Return the verdict in words, and a row a trial: the repairs that help, or else all.

    Args:
        trials: what `what_would_help` found, as plain values.
    """
    style = "bold red" if trials["alarm"] else "bold green"
    lines: list[RenderableType] = [
        Text.assemble(("What would help: ", "bold"), (trials["words"], style))
    ]
    if trials["trials"]:
        lines.append(_table(trials))
    return Group(*lines)


def _table(trials: Mapping[str, Any]) -> Table:
    left_out = ", ".join(trials["untried"])
    caption = "Skill on batches not learnt from: 0 is the best constant, 1 is all."
    caption += f"\nNo time was left for: {left_out}." if left_out else ""
    table = Table(
        title="Copies trained under one change each",
        title_justify="left",
        caption=caption,
        caption_justify="left",
    )
    rows = [*trials["trials"][:1], *trials["rows"]] if trials["rows"] else trials["trials"]
    marks = max((list(row["skills"]) for row in rows), key=len)
    for header in ("change", "start", *(f"skill at {mark}" for mark in marks), "cause", "do"):
        table.add_column(header, justify="right" if header.startswith("skill") else "left")
    for row in rows:
        skills = [_skill(row["skills"].get(mark)) for mark in marks]
        planted = ", planted target" if row["planted"] else ""
        table.add_row(
            row["change"] + planted, row["start"], *skills, row["cause"], row["do"] or row["error"]
        )
    return table


def _skill(value: Any) -> str:
    """Show a skill; what is no number did not get there.

    >>> _skill(0.876), _skill(-1234.5), _skill("nan"), _skill(None)
    ('0.88', '< -9.99', 'diverged', '-')
    """
    if value is None:
        return "-"
    if isinstance(value, str):
        return "diverged"
    return f"{value:.2f}" if value > -10 else "< -9.99"
