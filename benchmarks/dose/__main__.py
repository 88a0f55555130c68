"""Dose and harm: each fault at eight doses, how much it hurts, and from where on it is named.

A fault that hurts nobody need not be named, and one that hurts has to be. Harm is the loss over
that of the clean twin after equally many steps, each on its own data, targets brought to one scale.

Thresholds may be set on one half of the pairs of fault and net and are reported on the other.

Usage: python -m benchmarks.dose [--ladders a b] [--nets a b] [--half tune] [--seeds 1] [--ours]
       [--write]
"""

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.dose.cases import Case, run_case
from benchmarks.dose.ladders import HALVES, LADDERS, NETS, half_of
from benchmarks.dose.report import RESULTS, read, write
from benchmarks.dose.scores import Dose, halves, summary


def with_recorded(dose: Dose, recorded: Mapping[tuple[Any, ...], Dose]) -> Dose:
    """Add the committed answers of diagnosers that were not asked again about the same run.

    Raises:
        ValueError: The committed run is another one.
    """
    old = recorded.get(dose[:4])
    if old is None or not (
        old.loss == dose.loss or math.isclose(old.loss, dose.loss, rel_tol=0.02)
    ):
        ended = f"at {old.loss}" if old else "nowhere"
        raise ValueError(f"{dose[:4]} ended at {dose.loss}, the committed run {ended}")
    return dose._replace(named={**old.named, **dose.named})


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dose", description=__doc__)
    parser.add_argument("--ladders", nargs="+", choices=list(LADDERS), default=list(LADDERS))
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--seeds", type=int, default=1, help="runs per fault, net and dose")
    parser.add_argument("--half", choices=HALVES, help="one half of the pairs of fault and net")
    others = "ask only ours; of the others the committed answers about the same runs are kept"
    parser.add_argument("--ours", action="store_true", help=others)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rescore", action="store_true", help="score the committed runs again")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}/dose.*")
    options = parser.parse_args(arguments)
    if options.rescore:
        runs, facts = read()
        return write(runs, facts["command"], facts["seconds"])
    cases = [
        Case(ladder, net, seed)
        for ladder in options.ladders
        for net in options.nets
        for seed in range(options.seeds)
        if LADDERS[ladder].fits(net) and options.half in (None, half_of(ladder, net))
    ]
    started = time.perf_counter()
    run = partial(run_case, asked=("ours",)) if options.ours else run_case
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        doses = [dose for rungs in pool.imap(run, cases) for dose in rungs]
    if options.ours:
        recorded = {dose[:4]: dose for dose in read()[0]}
        doses = [with_recorded(dose, recorded) for dose in doses]
    for row in [*summary(doses), *halves(doses)]:
        print("  ".join(row))
    if options.write:
        command = " ".join(["python -m benchmarks.dose", *arguments])
        write(doses, command, time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1:])
