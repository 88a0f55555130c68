"""How runs use the cores: what comes before the first step, threads of one run, many runs at once.

Usage: python -m benchmarks.cores [--rounds 3] [--runs 64] [--write]

Every reading is of a whole process, from the command to its end, and those that are compared take
turns. A load is made of processes that do nothing but count.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.keeping import keep
from src.reporting.text import count_of, markdown_rows

ROOT = Path(__file__).parents[1]
STARTS = {
    "`import torch`": ["-c", "import torch"],
    "`import lightning.pytorch`": ["-c", "import lightning.pytorch"],
    "`python -m src.train --help`": ["-m", "src.train", "--help"],
    "all that a run imports": [
        "-c",
        "from src.importing import importing\nwith importing():\n    import src.runs.run",
    ],
}
PLAN = """
import time
from hydra import initialize_config_dir
from src.config import CONFIG_DIR
from src.sweeping.plan import plan_sweep
asked = ["pooling=mean,last,attention,exponential,learnable", "norm=none,layer,feature,batch",
         "dropout=none,input", "seed=0,1,2,3", "optimizer.lr=1e-3,2e-3,3e-3,4e-3"]
with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
    started = time.perf_counter(), time.process_time()
    assert len(plan_sweep("train", asked).plan.jobs) == 640
    print(time.perf_counter() - started[0], time.process_time() - started[1])
"""
"""Plans 640 jobs of 160 configs that differ in more than the seed, and prints wall and CPU time."""
EXPERIMENTS = ("price_lstm", "bars_transformer")
SMALL = ("experiment=price_lstm", "model.hidden_size=8", "trainer.max_epochs=1", "logger=none")
"""A run of 109 steps, some of which take as long as what is around them."""


def timed(arguments: Sequence[str], threads: int | None = 1) -> dict[str, Any]:
    """Run Python once.

    Args:
        arguments: of the interpreter.
        threads: of OpenMP; None leaves the number to the program.

    Returns:
        `wall` and `cpu` time in s, children included, and what it printed as `said`.

    Raises:
        RuntimeError: it failed; with its last words.
    """
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment |= {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        output.seek(0)
        said = output.read()
    if status:
        raise RuntimeError(f"{' '.join(arguments)}: {said[-500:]}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "said": said}


@contextmanager
def load_of(processes: int) -> Iterator[None]:
    """Keep so many processes busy."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def starts(rounds: int) -> list[dict[str, Any]]:
    """Return wall and CPU time of what comes before a run's first step, and of planning."""
    rows = []
    for _ in range(rounds):
        for name, arguments in STARTS.items():
            found = timed(arguments)
            rows.append({"what": name, "wall": found["wall"], "cpu": found["cpu"]})
        wall, cpu = map(float, timed(["-c", PLAN])["said"].split()[-2:])
        rows.append({"what": "planning 640 jobs of 160 configs", "wall": wall, "cpu": cpu})
    return rows


def threads(rounds: int) -> list[dict[str, Any]]:
    """Return wall and CPU time of one run of two epochs, by experiment, load and threads asked."""
    rows = []
    for load in (0, 4):
        with load_of(load), tempfile.TemporaryDirectory() as folder:
            for _ in range(rounds):
                for name in EXPERIMENTS:
                    asked = [f"experiment={name}", "trainer.max_epochs=2", f"log_dir={folder}"]
                    for count in (1, None):
                        found = timed(["-m", "src.train", *asked], count)
                        row = {"experiment": name, "load": load, "threads": count or "unset"}
                        rows.append(row | {"wall": found["wall"], "cpu": found["cpu"]})
    return rows


def many(runs: int) -> list[dict[str, Any]]:
    """Return wall and CPU time of a sweep of small runs, with one worker and with one a core."""
    rows = []
    for workers in (1, os.cpu_count() or 1):
        with tempfile.TemporaryDirectory() as folder:
            launcher = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}"]
            where = [f"log_dir={folder}", "sweep.compare=false"]
            seeds = ["seed=" + ",".join(map(str, range(runs)))]
            found = timed(["-m", "src.train", "-m", *SMALL, *seeds, *launcher, *where])
        rows.append({"workers": workers, "wall": found["wall"], "cpu": found["cpu"]})
    return rows


def _median(rows: Sequence[dict[str, Any]], clock: str, **wanted: Any) -> float:
    chosen = [r[clock] for r in rows if all(r[key] == value for key, value in wanted.items())]
    return statistics.median(chosen)


def page(result: dict[str, Any]) -> str:
    """Return the results in Markdown."""
    began, single, swept = result["starts"], result["threads"], result["many"]
    torch_s = _median(began, "cpu", what="`import torch`")
    names = list(dict.fromkeys(row["what"] for row in began))
    shown = [(n, _median(began, "wall", what=n), _median(began, "cpu", what=n)) for n in names]
    lines = [
        "# How runs use the cores",
        "",
        f"`{result['command']}`, torch {result['machine']['torch']}, Python "
        f"{result['machine']['python']}, {result['machine']['processors']} processors, load "
        f"{result['load']:.1f} before it began. Whole processes; of the first two tables medians "
        f"of {count_of(result['rounds'], 'round')}.",
        "",
        "## Before the first step",
        "",
        *markdown_rows(
            ("", "wall, s", "CPU, s", "of `import torch`"),
            [(n, f"{w:.2f}", f"{c:.2f}", f"{c / torch_s:.2f}") for n, w, c in shown],
        ),
        "",
        "## Threads of one run",
        "",
        "Two epochs with `OMP_NUM_THREADS=1` and without: then a recurrent model of up to 256 "
        "takes one thread, any other one a core, which wait for each other without spinning. The "
        "load is of so many processes that only count.",
        "",
        *markdown_rows(
            ("experiment", "load", "wall, 1 thread", "wall, unset", "CPU, 1 thread", "CPU, unset"),
            [
                (
                    *(name, str(load)),
                    *(
                        f"{_median(single, clock, experiment=name, load=load, threads=count):.1f}"
                        for clock in ("wall", "cpu")
                        for count in (1, "unset")
                    ),
                )
                for name in EXPERIMENTS
                for load in (0, 4)
            ],
        ),
        "",
        "## Many small runs",
        "",
        f"{result['runs']} runs of an LSTM of width 8 for one epoch, tests and diagnosis included.",
        "",
        *markdown_rows(
            ("workers", "wall, s", "CPU, s", "s a run", "times as fast"),
            [
                (
                    *(str(row["workers"]), f"{row['wall']:.0f}", f"{row['cpu']:.0f}"),
                    *(
                        f"{row['wall'] / result['runs']:.2f}",
                        f"{swept[0]['wall'] / row['wall']:.2f}",
                    ),
                )
                for row in swept
            ],
        ),
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and with `--write` keep the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cores", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=64, help="small runs of the sweep")
    parser.add_argument("--write", action="store_true", help="rewrite results/cores.*")
    options = parser.parse_args(arguments)
    result = {
        "command": f"python -m benchmarks.cores --rounds {options.rounds} --runs {options.runs}",
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "torch": version("torch"),
            "processors": os.cpu_count(),
        },
        **{"rounds": options.rounds, "runs": options.runs, "load": os.getloadavg()[0]},
        "starts": starts(options.rounds),
        "threads": threads(options.rounds),
        "many": many(options.runs),
    }
    text = page(result)
    print(text)
    if options.write:
        keep("cores", result, text)


if __name__ == "__main__":
    main()
