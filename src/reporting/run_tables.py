"""What a command shows of one run in a terminal: findings, gates."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from src.reporting.text import count_of, titled

CLAIMED = {5: 0.95, 10: 0.85, 20: 0.75, 50: 0.60}
"""What textbooks say an LSTM keeps after so many days."""
SHOWN_NAMES = 8
MOST_STEPS = 12
"""Steps of a training that are shown."""
NO_ALARM = "No alarm: zero by construction, or features too rare to tell from dead ones here"


def findings_view(diagnosis: Mapping[str, Any]) -> Group:
    """Return the findings, most severe first, each with its place, names, proof and remedy.

    Args:
        diagnosis: a diagnosis as plain values.
    """
    findings = diagnosis["findings"]
    alarms = [finding for finding in findings if not finding["benign"]]
    head = f"{count_of(len(alarms), 'finding')} to act on"
    lines: list[Any] = [Text(head if alarms else "Healthy: nothing to act on.", style="bold")]
    for number, finding in enumerate(alarms, start=1):
        lines += _lines(finding, f"{number}. ", "bold red")
    benign = [finding for finding in findings if finding["benign"]]
    if benign:
        lines.append(Text(NO_ALARM, style="bold"))
    for finding in benign:
        lines += _lines(finding, "- ", "green")
    return Group(*lines)


def checks_view(diagnosis: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was looked at: how many causes were ruled out, and which could not be, and why.

    Args:
        diagnosis: a diagnosis as plain values.
    """
    checks = diagnosis.get("checks") or ()
    if not checks:
        return
    counts = Counter(check["outcome"] for check in checks)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts))
    yield f"Looked for {count_of(len(checks), 'cause')}: {told}."
    for check in checks:
        if check["why"] and check["outcome"] != "failed":
            yield f"   {check['cause']}: {check['outcome']}: {check['why']}"


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
        lines.append(_indented(Text(_names(finding["indices"]), style="dim")))
    if finding["remedy"]:
        lines.append(_indented(Text(finding["remedy"])))
    return lines


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 3), expand=False)


def _names(indices: Sequence[Any]) -> str:
    shown = ", ".join(str(index) for index in indices[:SHOWN_NAMES])
    more = len(indices) - SHOWN_NAMES
    return f"{len(indices)}: {shown}" + (f", and {more} more" if more > 0 else "")


def course_table(history: Mapping[str, Any]) -> Table:
    """Return the zeros of the first weight's gradient over a training, at most a dozen steps.

    Args:
        history: `parameter`, and `records` with `step`, `zero_fraction`, `rows`, `columns`,
            `scattered`, `distinct_columns`.
    """
    records = history["records"]
    places = [round(n * (len(records) - 1) / (MOST_STEPS - 1)) for n in range(MOST_STEPS)]
    table = titled(
        f"While it trained: zeros in the gradient of {history['parameter']}",
        "Entries in rows (units) or columns (features) that are zero throughout, and elsewhere.",
    )
    for header in ("step", "zeros", "in dead rows", "in dead columns", "scattered", "distinct"):
        table.add_column(header, justify="right", no_wrap=True)
    for record in (records[place] for place in dict.fromkeys(places)):
        shares = (record[key] for key in ("zero_fraction", "rows", "columns", "scattered"))
        table.add_row(
            f"{record['step']:,}",
            *(f"{share:.1%}" for share in shares),
            str(record["distinct_columns"]),
        )
    return table


def what_if_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return what each option does to the gradient of the first weight that sees the features.

    Args:
        rows: group, option, current, refused and, where not refused, zero_fraction, dead_columns,
            distinct_columns, columns, gradient_norm, loss.
    """
    table = titled("What if: the same batches under each option", _what_if_caption(rows))
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


def gate_table(answers: Mapping[str, Any]) -> Table:
    """Return the answers to what is claimed of gates and memory, as a table for a terminal.

    Args:
        answers: `cell`, `gate`, `windows`, `trace_error`, `keeping`, `kept`, `retention` and
            `parameters`, and the `step` between two prices, as plain values.
    """
    gate, cell, step = answers["gate"], answers["cell"], answers.get("step", "day")
    table = titled(
        f"{cell.upper()} on {answers['windows']} windows that share no {step}",
        f"Gates recomputed from the weights: at most {answers['trace_error']:.1e} off.",
    )
    for header in ("claim", "measured", "value [95% interval]"):
        table.add_column(header)
    for layer, found in enumerate(answers["keeping"], start=1):
        claim = f"80% kept on rising {step}s" if layer == 1 else ""
        for name in ("rising", "falling", "difference"):
            what = f"layer {layer}, {gate} gate, {name}" + (f" {step}s" if name[0] != "d" else "")
            digits = 4 if name == "difference" else 3
            table.add_row(claim, what, _value(found[name], digits))
            claim = ""
    table.add_section()
    state = "cell" if cell == "lstm" else "hidden state"
    for lag, influence in answers["retention"].items():
        kept = ", ".join(f"{layer[lag]:.1%}" for layer in answers["kept"])
        what = f"{state} left, by layer; influence on forecast"
        claim = f"{CLAIMED[lag]:.0%} kept after {lag} {step}s"
        table.add_row(claim, what, f"{kept}; {influence:.1%}")
    table.add_section()
    counts = answers["parameters"]
    table.add_row(
        "LSTM = 4 x RNN",
        "parameters of layers of this size",
        "\n".join(f"{name} {n:,} ({n / counts['rnn']:.2f}x)" for name, n in counts.items()),
    )
    return table


def _value(values: list[float], digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in values)
    return f"{mean} [{low}, {high}]"
