"""Seed faults, train, diagnose, score.

Usage: python -m benchmarks.faults [--seeds 5] [--architectures a b] [--faults a b] [--rescore]
       [--write]
"""

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.cases import Case, list_cases, run_case
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.report import (
    print_summary,
    read_results,
    run_facts,
    split,
    write_files,
)
from benchmarks.faults.scoring import Result

RESULTS = Path(__file__).parents[1] / "results"


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="runs per fault and architecture")
    names = sorted(ARCHITECTURES)
    parser.add_argument("--architectures", nargs="+", choices=names, default=names)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--rescore", action="store_true", help="score the committed runs again")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}/faults.*")
    return parser.parse_args(arguments)


def run_cases(cases: list[Case], processes: int, console: Console) -> list[Result]:
    """Run the cases in worker processes; the results keep the order of the cases."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        runs = pool.imap(run_case, cases)
        return list(track(runs, "runs", total=len(cases), console=console))


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    options = parse_arguments(arguments)
    console = Console()
    if options.rescore:
        facts = json.loads((RESULTS / "faults.json").read_text())["facts"]
        results = read_results(RESULTS / "faults.json")
        facts["held_out"] = sorted({r.architecture for r in split(results)["held out"]})
        print_summary(results, console)
        return write_files(results, facts, RESULTS)
    cases = list_cases(options.seeds, options.architectures, options.faults)
    if options.list:
        for case in cases:
            console.print("/".join(map(str, case)), highlight=False)
        console.print(f"{len(cases)} cases")
        return
    started = time.perf_counter()
    results = run_cases(cases, options.processes, console)
    seconds = time.perf_counter() - started
    print_summary(results, console)
    console.print(f"{len(results)} runs in {seconds:.0f} s")
    if options.write:
        command = " ".join(["python -m benchmarks.faults", *arguments])
        write_files(results, run_facts(results, options.seeds, seconds, command), RESULTS)


if __name__ == "__main__":
    main(sys.argv[1:])
