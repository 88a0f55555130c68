"""Time whole trainings by ours and by what people use instead, from the command to the end.

Usage: python -m benchmarks.peers [--workloads lstm_32] [--peers darts] [--rounds 3] [--write]
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.keeping import keep
from benchmarks.peers.packages import BY_HAND, OURS, PEERS, WORKLOADS, make_environment
from benchmarks.peers.windows import write_windows
from src.reporting.text import markdown_rows

ROOT = Path(__file__).parents[2]
NEAR = 1.01
"""Times the loss of the loop's best epoch: where a training counts as there."""
COMPARABLE = (BY_HAND, "Lightning script", OURS)
"""Whose loss is that of the same target in the same unit."""
EXPLAINED = f"""\
Each ratio is to the loop by hand of the same round: median (smallest to largest). Whole: wall time,
imports and the end of the process included. CPU: the processor's time for it, which others change
less. Epoch: CPU time of a later epoch with its validation. There: wall time until the validation
loss is at most {NEAR} times the loop's best; the packages scale their losses in ways of their own.
Peak: resident memory. The loop and the Lightning script are given the windows as arrays; the
packages make windows of the same closes; ours reads and checks the prices, and at its end tests,
diagnoses, draws and writes."""
Row = dict[str, Any]


def run(python: Path, peer: str, workload: str, epochs: int, folder: Path) -> Row:
    """Train once in a process of its own.

    Args:
        python: the peer's.
        peer: its name.
        workload: which.
        epochs: of how many passes over the windows.
        folder: that holds the windows, and may be written to.

    Returns:
        Wall and CPU time of the process in s, and what its clock noted.

    Raises:
        RuntimeError: it failed; with its last words.
    """
    started = time.time()
    command = [str(python), "-m", "benchmarks.peers.programs", peer, workload, str(epochs)]
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [*command, str(folder), str(started)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=output,
        )
        _, status, used = os.wait4(process.pid, 0)
    wall = time.time() - started
    if status:
        lines = (folder / "output.txt").read_text(errors="replace").splitlines()
        raise RuntimeError(f"{peer}, {workload}: {' '.join(lines[-3:])}")
    noted = json.loads((folder / "clock.json").read_text())
    cpu = used.ru_utime + used.ru_stime
    facts = {"peer": peer, "workload": workload, "wall": wall, "cpu": cpu}
    return {**facts, **noted}


def steady(row: Row, clock: int) -> float:
    """Return the median time of an epoch but the first, its validation included, s.

    Args:
        row: of one run.
        clock: 0 for wall time, 1 for CPU time.
    """
    ends = [validation[clock] for validation in row["validations"]]
    return statistics.median(b - a for a, b in pairwise(ends))


def until(row: Row, loss: float) -> float | None:
    """Return when a validation was at a loss or below it first, wall time in s since the start."""
    for wall, _, reached in row["validations"]:
        if reached is not None and reached <= loss:
            return wall
    return None


def ratios(rows: Sequence[Row], peer: str, value: Callable[[Row], float]) -> list[float]:
    """Return a peer's value over that of the loop by hand, a ratio a round."""
    own = [value(row) for row in rows if row["peer"] == peer]
    loop = [value(row) for row in rows if row["peer"] == BY_HAND]
    return [a / b for a, b in zip(own, loop, strict=False)]


def spread(values: Sequence[float]) -> str:
    """Write a median and the range.

    >>> spread([1.0, 1.5, 1.25])
    '1.25 (1.00 to 1.50)'
    """
    if not values:
        return "-"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(rows: Sequence[Row], workload: str) -> list[str]:
    """Return one workload's table, a line a row."""
    rows = [row for row in rows if row["workload"] == workload]
    best = [min(v[2] for v in row["validations"]) for row in rows if row["peer"] == BY_HAND]
    goal = NEAR * statistics.median(best) if best else None
    heads = ("", "whole, s", "whole / loop", "CPU / loop", "first step, s")
    heads += ("epoch / loop", "peak, MB", "there, s")
    lines = []
    for peer in PEERS:
        own = [row for row in rows if row["peer"] == peer]
        if not own:
            continue

        def median(value: Callable[[Row], float], own: Sequence[Row] = own) -> str:
            return f"{statistics.median(map(value, own)):.1f}"

        there = [until(row, goal) for row in own] if goal and peer in COMPARABLE else []
        reached = [seconds for seconds in there if seconds is not None]
        cells = (peer, median(lambda row: row["wall"]))
        cells += (spread(ratios(rows, peer, lambda row: row["wall"])),)
        cells += (spread(ratios(rows, peer, lambda row: row["cpu"])),)
        cells += (median(lambda row: row["first"][0]),)
        cells += (spread(ratios(rows, peer, lambda row: steady(row, 1))),)
        cells += (f"{statistics.median(row['peak_mb'] for row in own):.0f}",)
        cells += (f"{statistics.median(reached):.1f}" if reached else "-",)
        lines.append(cells)
    return markdown_rows(heads, lines)


def page(results: dict[str, Any]) -> str:
    """Return the committed page."""
    rows, machine = results["rows"], results["machine"]
    loads = [row["load"] for row in rows]
    about = [
        f"`{results['command']}`, torch {machine['torch']}, Python {machine['python']}, one thread",
        f"on {machine['processors']} processors.",
        f"Load while it ran: {min(loads):.1f} to {max(loads):.1f}; a process alone makes 1.",
        f"{results['epochs']} epochs over the S&P 500's windows, in processes that take turns.",
    ]
    lines = ["# Whole trainings, from the command to the end", "", *about, "", EXPLAINED, ""]
    for name, workload in WORKLOADS.items():
        if any(row["workload"] == name for row in rows):
            lines += [f"## {workload.title}", "", *table(rows, name), ""]
    for problem in results["problems"]:
        lines += [f"Not measured: {problem}", ""]
    how = [(name, peer.package or "", peer.how) for name, peer in PEERS.items()]
    lines += ["## How each was used", "", *markdown_rows(("peer", "package", "how"), how)]
    return "\n".join(lines) + "\n"


def measure(options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Run all that was asked for; return the runs, and what could not be run and why."""
    rows, problems = [], []
    pythons = {}
    for peer in options.peers:
        try:
            pythons[peer] = make_environment(peer, options.environments)
        except subprocess.CalledProcessError as error:
            last = str(error.stderr).strip().splitlines()[-1:]
            problems.append(f"{peer} could not be installed: {' '.join(last)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_windows(folder)
        for turn in range(options.rounds):
            for workload in options.workloads:
                for peer in [p for p in pythons if workload in PEERS[p].workloads]:
                    try:
                        row = run(pythons[peer], peer, workload, options.epochs, folder)
                    except RuntimeError as error:
                        problems.append(str(error))
                        continue
                    rows.append({"round": turn, **row})
                    print(
                        f"{turn} {workload} {peer}: {row['wall']:.1f} s, {row['cpu']:.1f} s of CPU,"
                        f" first step {row['first'][0]:.1f} s, {row['peak_mb']:.0f} MB",
                        flush=True,
                    )
                    for other in ("ours", "logs", "darts", "neuralforecast"):
                        shutil.rmtree(folder / other, ignore_errors=True)
    return rows, list(dict.fromkeys(problems))


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv" / "peers")
    parser.add_argument("--write", action="store_true", help="rewrite results/peers.*")
    options = parser.parse_args(arguments)
    rows, problems = measure(options)
    machine = {"system": platform.platform(), "python": platform.python_version()}
    machine |= {"torch": version("torch"), "processors": os.cpu_count()}
    command = f"python -m benchmarks.peers --rounds {options.rounds} --epochs {options.epochs}"
    results = {"command": command, "epochs": options.epochs, "machine": machine}
    results |= {"problems": problems, "rows": rows}
    text = page(results)
    print(text)
    if options.write:
        keep("peers", results, text)


if __name__ == "__main__":
    main(sys.argv[1:])
