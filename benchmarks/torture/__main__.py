"""Kill, stop and damage runs, hand them hostile files and values, and see whether anything is lost.

    python -m benchmarks.torture                                 # every campaign, about 45 minutes
    python -m benchmarks.torture steps --variants dropout lstm --every 7
    python -m benchmarks.torture random signals --trials 20

Each trial of the first three is a run of 60 steps in a process of its own that something ends; it
goes on, and is compared with one that nothing ended: weights, optimiser, scores, forecasts and
every logged scalar have to be the same, bit for bit. Every trial has 120 s at most.

steps     killed at a step: 60 kills of a plain run, 60 with dropout, and 66 that the other
          variants (pooling priors, LSTM, accumulation, ...) share
random    killed at random moments up to three times, also while it writes or goes on: 50
signals   SIGTERM or Ctrl-C at random moments: 72
damage    a checkpoint with bits flipped, cut short, overwritten, added to: 200
hostile   configs, checkpoints and command lines that try to run something: all of the tests
values    values that no run could use: all of the tests
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.torture.campaigns import (
    Trials,
    damage_checkpoints,
    kill_at_random,
    kill_at_steps,
    stop_at_random,
)
from benchmarks.torture.trials import STEPS, VARIANTS, only_run, whole_run

TRIALS = {"steps": STEPS, "random": 50, "signals": 72, "damage": 200, "hostile": 0, "values": 0}
ALWAYS = ("each_step", "dropout_each_step")
"""The variants that are killed at each of the 60 steps; the others take turns."""
TURN = 11
"""An odd number of steps: kills before and after a step's forward pass take turns, too."""
TESTS = {
    "hostile": ("tests/config/test_hostile_configs.py", "tests/config/test_trust.py"),
    "values": ("tests/config/test_values.py",),
}


def main() -> None:
    """Run the campaigns asked for, print a line for each, end with 1 if anything was lost."""
    line = _arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        for campaign in line.campaigns or TRIALS:
            for label, trials in _trials(campaign, line, Path(name)):
                results[f"{campaign}: {label}"] = _tried(f"{campaign}: {label}", trials)
    if line.write:
        _keep(results)
    sys.exit(any(result["lost"] for result in results.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaigns", nargs="*", help=", ".join(TRIALS))
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), help="kill these alone")
    parser.add_argument("--every", type=int, default=1, help="kill --variants at every n-th step")
    parser.add_argument("--trials", type=int, help="how many of each campaign but steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the figures in results/")
    line = parser.parse_args()
    if unknown := set(line.campaigns) - set(TRIALS):
        parser.error(f"{', '.join(unknown)}: no such campaign; choose from {', '.join(TRIALS)}")
    return line


def _trials(campaign: str, line: Any, folder: Path) -> Iterator[tuple[str, Trials]]:
    """Yield what a campaign tries, by name."""
    count, seed = line.trials or TRIALS[campaign], line.seed
    if campaign == "steps":
        for variant, steps in _steps(line):
            own = folder / variant
            yield variant, kill_at_steps(VARIANTS[variant], steps, own)
    elif campaign == "random":
        variant = VARIANTS["dropout_each_step"]
        yield "dropout", kill_at_random(variant, count, seed, folder / "random")
    elif campaign == "signals":
        yield "dropout", stop_at_random(VARIANTS["dropout"], count, seed, folder / "signals")
    elif campaign == "damage":
        whole_run((), folder / "damage")
        best = only_run(folder / "damage" / "whole") / "checkpoints" / "best.ckpt"
        yield "best.ckpt", damage_checkpoints(best, count, seed)
    else:
        for file in TESTS[campaign]:
            yield file, _tests(file)


def _steps(line: Any) -> Iterator[tuple[str, range]]:
    """Yield which variant is killed at which steps."""
    if not line.variants:
        yield from ((variant, range(STEPS)) for variant in ALWAYS)
    variants = line.variants or [variant for variant in VARIANTS if variant not in ALWAYS]
    every = line.every if line.variants else TURN
    for place, variant in enumerate(variants):
        yield variant, range(place % every, STEPS, every)


def _tests(file: str) -> Trials:
    """Run a file of tests, each of them a trial."""
    import pytest

    class Counter:
        """Collects how each test ended."""

        def __init__(self) -> None:
            self.wrong: dict[str, list[str]] = {}

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            """Note a test, and where it failed."""
            failed = [report.longreprtext[-500:]] if report.failed else []
            self.wrong[report.nodeid] = self.wrong.get(report.nodeid, []) + failed

    counter = Counter()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main([file, "-q", "-p", "no:cacheprovider"], plugins=[counter])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"{file}: the tests did not run: {said.getvalue()[-500:]}")
    yield from enumerate(counter.wrong.values())


def _tried(label: str, trials: Trials) -> dict[str, Any]:
    began, number, lost, longest = time.monotonic(), 0, [], 0.0
    for moment, wrong in trials:
        number += 1
        longest = max(longest, moment)
        if wrong:
            lost.append(f"{moment:g}: {', '.join(wrong[:4])}")
            print(f"  {label} at {lost[-1]}", flush=True)
    took = time.monotonic() - began
    print(f"{label}: {number - len(lost)} of {number} kept, {took:.0f} s", flush=True)
    return {"tried": number, "lost": lost, "longest": longest, "seconds": round(took)}


def _keep(results: Mapping[str, Mapping[str, Any]]) -> None:
    from benchmarks.keeping import keep
    from src.reporting.text import markdown_rows

    rows = [(name, str(r["tried"]), str(len(r["lost"]))) for name, r in results.items()]
    table = "\n".join(markdown_rows(("campaign", "tried", "lost"), rows))
    keep("torture", results, f"# Kills, signals and damage\n\n{table}\n")


if __name__ == "__main__":
    main()
