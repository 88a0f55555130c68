"""Ask real packages and ours about the same programs: who detects, who names, who cries wolf.

Usage: python -m benchmarks.rivals [--packages a b] [--sets posted seeded] [--write]
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults.report import markdown_table, show_rate
from benchmarks.faults.scoring import Rate
from benchmarks.rivals.naming import causes_of
from benchmarks.rivals.packages import OURS, PACKAGES, make_environment

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
Row = dict[str, Any]


def run(
    package: str, every: int, sets: Sequence[str], folder: Path, seconds: float
) -> tuple[list[Row], str]:
    """Ask one package in its environment.

    Args:
        package: its name.
        every: ask about each so many-th program.
        sets: of programs.
        folder: of the environments.
        seconds: until it is stopped.

    Returns:
        A row a program, and why there are none or not all.
    """
    try:
        python = Path(sys.executable) if package == OURS else make_environment(package, folder)
    except subprocess.CalledProcessError as error:
        return [], f"could not be installed: {str(error.stderr).strip().splitlines()[-1:]}"
    command = [python, "-m", "benchmarks.rivals.probe", package, str(every), *sets]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds
        )
        printed, problem = done.stdout, done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired as late:
        printed, problem = _text(late.stdout), f"stopped after {seconds:.0f} s"
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [{"package": package, **row} for row in rows], "".join(problem.splitlines()[-1:])


def _text(printed: bytes | str | None) -> str:
    return printed.decode() if isinstance(printed, bytes) else printed or ""


def names(row: Row, first: bool = False) -> bool:
    """Return whether any alarm, or the first, lets a reader conclude an accepted cause."""
    said = row["said"][: 1 if first else None]
    return any(
        cause in row["causes"] for rule, _ in said for cause in causes_of(row["package"], rule)
    )


def rate(rows: Sequence[Row], hit: Any) -> str:
    """Write a share with its interval over programs."""
    return show_rate(Rate(sum(bool(hit(row)) for row in rows), len(rows)))


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """Score every package on every set."""
    table = []
    for part in dict.fromkeys((row["set"], row["half"]) for row in rows):
        for package in (OURS, *PACKAGES):
            own = [r for r in rows if (r["set"], r["half"]) == part and r["package"] == package]
            faulty, clean = [r for r in own if r["faulty"]], [r for r in own if not r["faulty"]]
            if not own:
                continue
            times = sorted(row["seconds"] for row in own)
            table.append(
                [
                    f"{part[0]}, {part[1]} half" if part[0] == "posted" else part[0],
                    package,
                    rate(faulty, lambda r: r["said"] or r["error"]),
                    rate(faulty, names),
                    rate(faulty, lambda r: names(r, first=True)),
                    rate(clean, lambda r: r["said"] or r["error"]),
                    str(sum(bool(r["error"]) for r in own)),
                    f"{times[len(times) // 2]:.2f}",
                ]
            )
    return table


HEADS = ("programs", "package", "detected", "named", "named first", "false alarms", "crashes")
HEADS += ("median s",)


def details(rows: Sequence[Row]) -> list[list[str]]:
    """Show for each faulty program the first rule of every package, in bold where it names it."""
    table = []
    for key in dict.fromkeys((row["set"], row["program"]) for row in rows):
        cells = []
        for package in (OURS, *PACKAGES):
            own = [r for r in rows if (r["set"], r["program"]) == key and r["package"] == package]
            cell = "-"
            for row in own:
                if row["faulty"]:
                    cell = row["said"][0][0] if row["said"] else "crash" if row["error"] else "-"
                    cell = f"**{cell}**" if names(row) else cell
                elif row["said"] or row["error"]:
                    cell += " (twin: alarm)"
            cells.append(cell)
        table.append([key[1], *cells])
    return table


def kept_rows() -> list[Row]:
    """Return the committed rows: a run of some packages or sets leaves those of others."""
    path = RESULTS / "rivals.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def write(rows: Sequence[Row], problems: dict[str, str], command: str) -> None:
    """Write the committed tables and records."""
    how = [[n, p.version, p.asked, p.counted, problems.get(n, "")] for n, p in PACKAGES.items()]
    text = f"""# Real packages on the same programs

`{command}`, torch {torch.__version__}.
Each package runs in an environment of its own, as its documentation says, on our own re-creations
of posted programs, and on seeded faults where asked to, each with a repaired twin or a plain run.
Whoever wrote the programs knew ours, which favours it. Detected: any alarm, or a crash. Named: a
reader of any alarm (of the first) could conclude an accepted cause; rules are read generously
([naming](../rivals/naming.py)). False alarms: on repaired twins. Seconds: wall time on a busy
machine. Brackets are 95% Wilson intervals over programs. Ours was tuned on the first half of the
posted programs and on other nets than those of the seeded faults.

{markdown_table(HEADS, summary(rows))}

## How they were asked

{markdown_table(("package", "version", "how", "taken as alarms", "problems"), how)}

## First rule per program, bold where a rule names the cause

{markdown_table(("program", OURS, *PACKAGES), details(rows))}
"""
    (RESULTS / "rivals.md").write_text(text, encoding="utf-8")
    kept = [{**row, "said": [[rule, text[:80]] for rule, text in row["said"]]} for row in rows]
    records = {"command": command, "problems": problems, "rows": kept}
    (RESULTS / "rivals.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    everybody = [OURS, *PACKAGES]
    parser.add_argument("--packages", nargs="+", choices=everybody, default=everybody)
    parser.add_argument(
        "--sets", nargs="+", choices=["posted", "seeded"], default=["posted", "seeded"]
    )
    parser.add_argument("--every", type=int, default=1, help="each so many-th program only")
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv" / "rivals")
    parser.add_argument("--seconds", type=float, default=1800, help="for each package")
    parser.add_argument("--rescore", action="store_true", help="score the committed answers again")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}/rivals.*")
    options = parser.parse_args(arguments)
    if options.rescore:
        stored = json.loads((RESULTS / "rivals.json").read_text())
        return write(stored["rows"], stored["problems"], stored["command"])
    rows, problems = [], {}
    for package in options.packages:
        found, problem = run(
            package, options.every, options.sets, options.environments, options.seconds
        )
        rows += found
        if problem:
            problems[package] = problem
        print(f"{package}: {len(found)} programs {problem}", flush=True)
    for line in summary(rows):
        print("  ".join(line))
    if options.write:
        asked = {(row["package"], row["set"]) for row in rows}
        rows = [r for r in kept_rows() if (r["package"], r["set"]) not in asked] + rows
        write(rows, problems, " ".join(["python -m benchmarks.rivals", *arguments]))


if __name__ == "__main__":
    main(sys.argv[1:])
