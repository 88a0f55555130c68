"""Try the published operators on our encoder and on a decoder: what is detected, what is named.

Usage: python -m benchmarks.deform [--scopes encoder] [--operators MZM QZQ] [--doses last] [--write]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.deform.catalogue import OPERATORS, operators
from benchmarks.deform.faults import FAULTS
from benchmarks.deform.scoring import Row, category_guessed, root_cause_named, scores
from benchmarks.deform.trial import FINE, ROUGH, SEEDS, VARIANTS, Judged, diagnosed, judge
from benchmarks.faults.report import markdown_table

RESULTS = Path(__file__).parents[1] / "results"
PUBLISHED = {"detection F1": 0.826, "category F1": 0.850, "root cause": 0.793}
"""What DEFault++ reaches on encoders, trained on labelled runs and given a clean run to compare."""


def rows_of(scope: str, chosen: Sequence[str], doses: str) -> list[Row]:
    """Judge doses of the chosen operators, `all` or the `last`, and the correct runs."""
    rows = []
    for name, operator in operators(scope).items():
        given = operator.doses if doses == "all" else operator.doses[-1:]
        for dose in given if name in chosen else ():
            found = judge(scope, lambda s, n=name, d=dose: FAULTS[n](s, d))
            rows.append(_row(scope, name, dose, found))
    for name, change in VARIANTS.items():
        said, error = diagnosed(scope, 0, change)
        rows.append(_row(scope, "", name, Judged([], [], said, error)))
    return rows


def _row(scope: str, name: str, dose: Any, found: Any) -> Row:
    row = {"scope": scope, "operator": name, "dose": dose, "harmful": found.harmful}
    row |= {
        "clean": [round(e, 4) for e in found.clean],
        "faulty": [round(e, 4) for e in found.faulty],
    }
    row |= {"said": [list(one) for one in found.said], "error": found.error}
    told = ", ".join(" at ".join(one) for one in found.said[:2]) or "silent"
    harm = "harmful" if found.harmful else "harmless"
    print(f"{scope} {name or 'correct'} {dose}: {harm}, {told} {found.error}", flush=True)
    return row


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """Score both models beside what is published."""
    table = []
    for scope in ("encoder", "decoder"):
        own = [row for row in rows if row["scope"] == scope]
        if not own:
            continue
        found = scores(own)
        table.append(
            [
                f"ours, {scope}",
                f"{found['faults']} of {found['operators']} operators",
                f"{found['recall']:.2f}",
                f"{found['detection F1']:.3f}",
                f"{found['category F1']:.3f}",
                f"{found['root cause']:.3f}",
                f"{found['root cause first']:.3f}",
                f"{found['false alarms']} of {found['correct']}",
            ]
        )
    known = [f"{PUBLISHED[name]:.3f}" for name in ("detection F1", "category F1", "root cause")]
    return [*table, ["DEFault++, encoder, published", "", "", *known, "", ""]]


HEADS = ("", "harmful faults", "recall", "detection F1", "category F1", "root cause", "said first")
HEADS += ("false alarms",)


def details(rows: Sequence[Row]) -> list[list[str]]:
    """Say per operator and model at how many doses it does harm, and what was said then."""
    table = []
    for name, operator in OPERATORS.items():
        line = [name, operator.category, operator.root_cause, operator.does]
        for scope in ("encoder", "decoder"):
            own = [r for r in rows if (r["scope"], r["operator"]) == (scope, name)]
            bad = [row for row in own if row["harmful"]]
            said = [row for row in bad if row["said"]]
            right = sum(root_cause_named(row, False) for row in bad)
            placed = sum(category_guessed(row) == operator.category for row in bad)
            first = ", ".join(dict.fromkeys(row["said"][0][0] for row in said))
            counts = f"{len(said)} / {placed} / {right} of {len(bad)}: {first or '-'}"
            line.append(counts if bad else "harmless" if own else "")
        table.append(line)
    return table


def write(rows: Sequence[Row], command: str) -> None:
    """Write the committed tables and records."""
    heads = ("operator", "component", "root cause", "what it does here")
    text = f"""# Published fault operators for transformers

`{command}`, torch {torch.__version__}. The 52 operators of DEForm (Jahan, Rajput, Sharma and Rahman
2026, arXiv 2604.28118) with their published components, root causes and doses, re-created on our
encoder, a regression of bars, and on a causal decoder of tokens with a cache. What an operator does
here is our reading of its sentence in their catalogue; where our models have no such part, such as
the types of tokens, it is the nearest one. A model learns {ROUGH} steps without the fault, then
{FINE} with it; a fault counts where the error on other data is worse on all {SEEDS} seeds (their
test, p = 1/32) by a hundredth at least. The diagnosis is asked at the start and at the end of those
{FINE} steps. Theirs was trained on labelled runs of the same kinds and gets a clean run to compare
with, ours knows neither: an activation, a dropout rate or a decay that is only worse than another
one is no fault to it. Theirs was scored on other, larger models: the figures stand beside each
other, and are no race.

{markdown_table(HEADS, summary(rows))}

Detection F1: any alarm, correct runs weighted as many as faults. Category F1: mean over the
components; the one that the first alarm with a place points at. Root cause: an alarm says an
accepted cause ([catalogue](../deform/catalogue.py)); most operators without one are a choice, not a
fault, to our vocabulary, and count as missed. False alarms: on clean runs with other data, batch
sizes and rates.

Per operator: detected / component right / root cause right of the doses that do harm, and what is
said first.

{markdown_table((*heads, "encoder", "decoder"), details(rows))}
"""
    (RESULTS / "deform.md").write_text(text, encoding="utf-8")
    (RESULTS / "deform.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deform", description=__doc__)
    scopes = ["encoder", "decoder"]
    parser.add_argument("--scopes", nargs="+", choices=scopes, default=scopes)
    parser.add_argument("--operators", nargs="+", choices=list(OPERATORS), default=list(OPERATORS))
    parser.add_argument("--doses", choices=["all", "last"], default="all", help="of each operator")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}/deform.*")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for scope in options.scopes:
        rows += rows_of(scope, options.operators, options.doses)
    if options.write:
        path = RESULTS / "deform.json"
        kept = json.loads(path.read_text()) if path.exists() else []
        asked = {(row["scope"], row["operator"]) for row in rows}
        rows = [row for row in kept if (row["scope"], row["operator"]) not in asked] + rows
        write(rows, f"python -m benchmarks.deform --doses {options.doses} --write")
    for line in summary(rows):
        print("  ".join(line))


if __name__ == "__main__":
    main(sys.argv[1:])
