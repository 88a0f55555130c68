"""A diagnosis as tables for a terminal: what is wrong, where, what would help, what would not."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SHOWN_NAMES = 8
NO_ALARM = "No alarm: zero by construction, or features too rare to tell from dead ones here"


def findings_view(diagnosis: Mapping[str, Any]) -> Group:
    """Return the findings, most severe first, each with its place, names, proof and remedy.

    Args:
        diagnosis: a diagnosis as plain values.
    """
    findings = diagnosis["findings"]
    alarms = [finding for finding in findings if not finding["benign"]]
    head = f"{len(alarms)} finding{'s' if len(alarms) != 1 else ''} to act on"
    lines: list[Any] = [Text(head if alarms else "Healthy: nothing to act on.", style="bold")]
    for number, finding in enumerate(alarms, start=1):
        lines += _lines(finding, f"{number}. ", "bold red")
    benign = [finding for finding in findings if finding["benign"]]
    if benign:
        lines.append(Text(NO_ALARM, style="bold"))
    for finding in benign:
        lines += _lines(finding, "- ", "green")
    return Group(*lines)


def _lines(finding: Mapping[str, Any], mark: str, style: str) -> list[RenderableType]:
    place = finding["parameter"] or finding["module"] or "model"
    head = Text.assemble(
        mark, (finding["cause"], style), f" in {place}: {finding['fraction']:.1%} of its gradient"
    )
    if finding["confirmed"] is not None:
        proof = "confirmed" if finding["confirmed"] else "not confirmed"
        head.append(f" ({proof} by intervention)")
    lines: list[RenderableType] = [head]
    if any(isinstance(index, str) for index in finding["indices"]):
        lines.append(Padding(Text(_names(finding["indices"]), style="dim"), (0, 0, 0, 3)))
    if finding["remedy"]:
        lines.append(Padding(Text(finding["remedy"]), (0, 0, 0, 3)))
    return lines


def _names(indices: Sequence[Any]) -> str:
    shown = ", ".join(str(index) for index in indices[:SHOWN_NAMES])
    more = len(indices) - SHOWN_NAMES
    return f"{len(indices)}: {shown}" + (f", and {more} more" if more > 0 else "")


def what_if_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return what each option does to the gradient of the first weight that sees the features.

    Args:
        rows: group, option, current, refused and, where not refused, zero_fraction, dead_columns,
            distinct_columns, columns, gradient_norm, loss.
    """
    table = Table(
        title="What if: the same batches under each option",
        title_justify="left",
        caption=_what_if_caption(rows),
        caption_justify="left",
    )
    for header in ("group", "option", "zeros", "dead", "distinct", "|grad|", "loss"):
        text = header in ("group", "option")
        table.add_column(header, justify="left" if text else "right", no_wrap=True)
    previous = None
    for row in rows:
        if previous not in (None, row["group"]):
            table.add_section()
        shown_group = "" if previous == row["group"] else row["group"]
        previous = row["group"]
        option = f"[bold]{row['option']} *[/]" if row["current"] else row["option"]
        if row["refused"]:
            table.add_row(shown_group, option, *["-"] * 5)
            continue
        table.add_row(
            shown_group,
            option,
            f"{row['zero_fraction']:.1%}",
            str(row["dead_columns"]),
            f"{row['distinct_columns']} of {row['columns']}",
            f"{row['gradient_norm']:.3g}",
            f"{row['loss']:.3g}",
        )
    return table


def _what_if_caption(rows: Sequence[Mapping[str, Any]]) -> str:
    parameter = next((row["parameter"] for row in rows if not row["refused"]), "")
    return (
        f"zeros, dead and distinct columns of {parameter}; |grad| of all parameters.\n"
        "* as it is now; - does not fit this model or data."
    )
