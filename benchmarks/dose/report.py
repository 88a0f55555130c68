"""The committed table, records and picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.dose.ladders import LADDERS, NETS
from benchmarks.dose.scores import (
    HARMFUL,
    HARMLESS,
    Dose,
    halves,
    is_named,
    ladder_rows,
    missed,
    summary,
)
from benchmarks.faults.report import markdown_table

RESULTS = Path(__file__).parents[1] / "results"


def plot(doses: Sequence[Dose], path: Path) -> None:
    """Draw harm over dose per ladder; filled where named, a cross where something else is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 5, figsize=(16, 6), sharey=True, layout="constrained")
    marks = {"named first": "o", "something else is": "x", "silent": "."}
    for axis, (name, ladder) in zip(axes.flat, LADDERS.items(), strict=True):
        for kind, marker in marks.items():
            part = [d for d in doses if d.ladder == name and _kind(d) == kind]
            x = [d.rung + 0.08 * (NETS.index(d.net) - 2.5) for d in part]
            y = [min(max(d.harm, 0.5), 1e3) for d in part]
            axis.plot(x, y, marker, label=kind, color={"o": "C2", "x": "C3", ".": "C7"}[marker])
        axis.axhspan(HARMFUL, 1e3, color="C1", alpha=0.08)
        axis.set(title=name, xlabel=ladder.says, yscale="log", xticks=range(len(ladder.doses)))
        axis.set_xticklabels([f"{dose:g}" for dose in ladder.doses], fontsize=7)
    axes[0, 0].legend()
    for axis in axes[:, 0]:
        axis.set_ylabel("loss over the clean twin's")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _kind(dose: Dose) -> str:
    if is_named(dose):
        return "named first"
    return "something else is" if dose.named["ours"] else "silent"


def write(doses: Sequence[Dose], command: str, seconds: float) -> None:
    """Write the committed table, records and picture."""
    heads = ["harm", "diagnoser", "runs", "any alarm", "named first", "named by any alarm"]
    pairs = len({(dose.ladder, dose.net) for dose in doses})
    possible = sum(ladder.fits(net) for ladder in LADDERS.values() for net in NETS)
    text = f"""# Dose and harm

`{command}`: {len(LADDERS)} faults at eight doses in {len(NETS)} nets, {pairs} of {possible} pairs
of fault and net, {len(doses)} runs of 60 steps, {seconds:.0f} s, torch {torch.__version__}. Harm:
the share of the targets' variance that is left over that of the clean twin, the ladder's first
dose. Intervals are 95% Wilson over clusters (fault and net).

Where the loss is {HARMFUL} times the twin's or worse the fault has to be named first (goal: 0.9),
where it is below {HARMLESS} times silence is right. Thresholds were set on the half "tune".

{markdown_table(["half", "harmful runs", "named first", "harmless runs", "silent"], halves(doses))}

![harm over dose](dose.png)

## By harm

{markdown_table(heads, summary(doses))}

## By fault: dose, median harm, named first of runs (+ other alarms)

{markdown_table(["fault", *(f"dose {i}" for i in range(1, 9))], ladder_rows(doses))}

## Harmful and not named first, or harmless and not silent

{markdown_table(["fault and dose", "net", "harm", "ours says"], missed(doses))}
"""
    (RESULTS / "dose.md").write_text(text, encoding="utf-8")
    records = [{**d._asdict(), "loss": f"{d.loss:.6g}", "harm": f"{d.harm:.6g}"} for d in doses]
    facts: dict[str, Any] = {"command": command, "seconds": round(seconds), "runs": records}
    (RESULTS / "dose.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    plot(doses, RESULTS / "dose.png")


def read() -> tuple[list[Dose], dict[str, Any]]:
    """Return the committed runs, and the facts about them."""
    facts = json.loads((RESULTS / "dose.json").read_text())
    numbers = ("loss", "harm")
    runs = [Dose(**{**run, **{key: float(run[key]) for key in numbers}}) for run in facts["runs"]]
    return runs, facts
