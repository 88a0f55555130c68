"""Diagnose posted programs and their repaired twins, at the start and after training.

Usage: python -m benchmarks.posted [--programs a b] [--half report] [--write]
"""

import argparse
import importlib
import json
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.faults.scoring import Rate
from benchmarks.posted.program import PROGRAMS, Program, mean_loss, start, train
from src.diagnostics import diagnose

RESULTS = Path(__file__).parents[1] / "results"
for theme in ("axes", "wiring", "numerics", "sequences", "learning"):
    importlib.import_module(f"benchmarks.posted.{theme}")


class Row(NamedTuple):
    """What was said of one twin at one time; `named` is empty for silence; `seconds` of CPU."""

    program: str
    half: str
    faulty: bool
    trained: bool
    named: list[str]
    place: str
    loss: float
    seconds: float
    error: str
    accepted: Sequence[str]

    @property
    def right(self) -> bool:
        """Whether the first cause is an accepted one; of a repaired twin, whether it is silent."""
        if not self.faulty:
            return not self.named and not self.error
        return bool(self.named) and self.named[0] in self.accepted


def judge(program: Program, faulty: bool, trained: bool) -> Row:
    """Build a twin, train it if asked to, and diagnose it."""
    setup = train(program, faulty) if trained else start(program, faulty)
    model, batches, loss_fn, optimizer, _ = setup
    before, alarms, error = time.process_time(), [], ""
    try:
        alarms = list(diagnose(model, batches, loss_fn, optimizer).alarms)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}".splitlines()[0]
    seconds = round(time.process_time() - before, 2)
    loss = _loss(setup) if trained else float("nan")
    return Row(
        program.name,
        program.half,
        faulty,
        trained,
        [alarm.cause for alarm in alarms],
        alarms[0].location if alarms else "",
        loss,
        seconds,
        error,
        program.causes,
    )


def _loss(setup: Any) -> float:
    try:
        return round(mean_loss(setup), 4)
    except RuntimeError:
        return float("nan")


def rates(rows: Sequence[Row]) -> dict[str, Rate]:
    """Score rows: of faulty twins, detected, first cause accepted and primary; silent twins."""
    faulty, repaired = [r for r in rows if r.faulty], [r for r in rows if not r.faulty]
    return {
        "detected": Rate(sum(bool(r.named) for r in faulty), len(faulty)),
        "first cause": Rate(sum(r.right for r in faulty), len(faulty)),
        "primary cause": Rate(
            sum(r.named[:1] == list(r.accepted[:1]) for r in faulty), len(faulty)
        ),
        "silent twins": Rate(sum(r.right for r in repaired), len(repaired)),
    }


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """Score each half at each time; intervals are by program."""
    table = []
    for half in ("tune", "report"):
        for trained in (False, True):
            part = [r for r in rows if r.half == half and r.trained == trained]
            if part:
                shown = [
                    f"{rate.value:.2f} [{rate.interval[0]:.2f}, {rate.interval[1]:.2f}]"
                    for rate in rates(part).values()
                ]
                table.append([half, "after training" if trained else "at the start", *shown])
    return table


def details(rows: Sequence[Row]) -> list[list[str]]:
    """Say per program what was named, and whether its twin was silent."""
    table = []
    for name, program in PROGRAMS.items():
        own = [r for r in rows if r.program == name]
        if own:
            said = [", ".join(r.named[:1]) or r.error or "-" for r in own]
            table.append([name, program.half, program.says, program.causes[0], *said])
    return table


HEADS = ["half", "time", "detected", "first cause", "primary cause", "silent twins"]
DETAIL_HEADS = ["program", "half", "what is wrong", "cause", "faulty, start", "faulty, trained"]
DETAIL_HEADS += ["repaired, start", "repaired, trained"]


def write(rows: Sequence[Row], command: str) -> None:
    """Write the committed tables and records."""

    def table(heads: list[str], body: list[list[str]]) -> str:
        lines = [heads, ["---"] * len(heads), *body]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    text = f"""# Posted programs

`{command}`: {len(PROGRAMS)} programs as people post them because they will not train, each with its
repaired twin, diagnosed before and after training, torch {torch.__version__}. Thresholds may be
tuned on one half and are reported on the other. Brackets are 95% Wilson intervals over programs.

## Summary

{table(HEADS, summary(rows))}

## Per program

{table(DETAIL_HEADS, details(rows))}
"""
    (RESULTS / "posted.md").write_text(text, encoding="utf-8")
    records = [
        {**row._asdict(), "loss": str(row.loss), "accepted": list(row.accepted)} for row in rows
    ]
    (RESULTS / "posted.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.posted", description=__doc__)
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--half", choices=["tune", "report"], help="one half of the programs")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}/posted.*")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Using a target size")
    chosen = [PROGRAMS[name] for name in options.programs]
    chosen = [p for p in chosen if options.half in (None, p.half)]
    rows = []
    console = Console()
    for program in chosen:
        for faulty in (True, False):
            for trained in (False, True):
                row = judge(program, faulty, trained)
                rows.append(row)
                if not row.right:
                    twin = "faulty" if faulty else "repaired"
                    when = "trained" if trained else "at the start"
                    said = ", ".join(row.named) or row.error or "nothing"
                    console.print(f"{program.name}, {twin}, {when}: {said}", highlight=False)
    table = Table(*HEADS)
    for line in summary(rows):
        table.add_row(*line)
    console.print(table)
    if options.write:
        write(rows, " ".join(["python -m benchmarks.posted", *arguments]))


if __name__ == "__main__":
    main(sys.argv[1:])
