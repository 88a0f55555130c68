"""Fit every model before each block of days, forecast the block, and keep what was forecast.

Usage:
    python -m benchmarks.verdict --write              # all of it, under half an hour on two cores
    python -m benchmarks.verdict --size quick --write # under five minutes: the direction of it
    python -m src.report verdict                      # the page, from what was kept

What is done lies in lightning_logs/verdict and is not done again.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.verdict.plan import ROWS, SERIES, SIZES, Size, asked, blocks, said
from benchmarks.verdict.tasks import Task, work
from src.reporting.predictability.store import FOLDER, NAIVE, QUESTIONS, Kept, Question, write

DONE = Path("lightning_logs/verdict")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = _parse(arguments)
    started, size = time.monotonic(), SIZES[options.size]
    tasks = list(_tasks(options.size, options.folder, options.only))
    for number, done in enumerate(_worked(tasks, options.jobs), 1):
        print(f"{number} of {len(tasks)}: {done}", flush=True)
    if not options.write:
        return
    record = _record(options, size, time.monotonic() - started, tasks)
    for file in write(_kept(tasks), record, options.out):
        print(f"wrote {file}")


def _worked(tasks: list[Task], jobs: int) -> Iterator[str]:
    """Work the tasks, one after the other or in processes side by side; yield what is done."""
    if jobs == 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(work, one) for one in tasks]):
            yield done.result()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--only", nargs="+", help="models, of all")
    parser.add_argument("--folder", type=Path, default=DONE, help="where what is done lies")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where --write writes")
    parser.add_argument("--write", action="store_true", help="keep the forecasts for the page")
    return parser.parse_args(arguments)


def _tasks(size: str, folder: Path, only: list[str] | None) -> Iterator[Task]:
    for row in ROWS:
        for question in asked(row):
            for series in SERIES:
                file = folder / size / f"{series}-{question.key}-{row.name}.json"
                if only is None or row.name in only:
                    yield Task(series, row, question, SIZES[size], file)


def _kept(tasks: list[Task]) -> Iterator[Kept]:
    """Yield the forecasts of each question about each series, of the days that all models share."""
    for question in QUESTIONS:
        for series in SERIES:
            own = [t for t in tasks if (t.question.key, t.series) == (question.key, series)]
            if own:
                yield _joined(
                    series, question, {t.row.name: json.loads(t.file.read_text()) for t in own}
                )


def _joined(series: str, question: Question, by_model: dict[str, dict[str, Any]]) -> Kept:
    days = sorted(set.intersection(*(set(one["date"]) for one in by_model.values())))

    def of(one: dict[str, Any], name: str) -> np.ndarray:
        known = dict(zip(one["date"], one[name], strict=True))
        return np.array([known[day] for day in days], dtype=float)

    first = next(iter(by_model.values()))
    forecasts = {NAIVE: of(first, "naive")}
    forecasts |= {name: of(one, "predicted") for name, one in by_model.items()}
    numbers = (of(first, "last_price"), of(first, "actual"))
    return Kept(series, question, np.array(days), *numbers, forecasts)


def _record(
    options: argparse.Namespace, size: Size, seconds: float, tasks: list[Task]
) -> dict[str, Any]:
    """Return how the forecasts were made."""
    from benchmarks.verdict.forecasting import prices_of

    told = {task.file.stem: json.loads(task.file.read_text()) for task in tasks}
    count = len(blocks(len(prices_of(SERIES[0])), size))
    return {
        "command": f"python -m benchmarks.verdict --size {options.size} --write",
        "size": options.size,
        "larger": None if options.size == "full" else SIZES["full"].command,
        "folds": count,
        "refit_every": size.refit_every,
        "epochs": size.epochs,
        "fits": count * len(tasks),
        "duration_s": round(seconds),
        "fitting_s": round(sum(one["seconds"] for one in told.values())),
        "machine": f"{os.cpu_count()} cores at a load of {os.getloadavg()[2]:.0f}, Python "
        f"{platform.python_version()}",
        "models": {row.name: said(row) for row in ROWS if any(t.row == row for t in tasks)},
        "chosen": {name: one["chosen"] for name, one in told.items() if any(one["chosen"])},
    }


if __name__ == "__main__":
    main()
