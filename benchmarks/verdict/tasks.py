"""One model, asked one question about one series: what a process of the benchmark does."""

import json
import logging
import os
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.verdict.plan import Row, Size, blocks, options_of
from src.reporting.predictability.store import Question


class Task(NamedTuple):
    """One model, asked one question about one series, over all blocks."""

    series: str
    row: Row
    question: Question
    size: Size
    file: Path


def work(task: Task) -> str:
    """Forecast all blocks of a task, unless that is done; return what it was, and how long."""
    options = options_of(task.row, task.question, task.size)
    made_by = {"options": options, "refit_every": task.size.refit_every}
    name = f"{task.series} {task.question.key} {task.row.name}"
    if task.file.is_file() and json.loads(task.file.read_text())["made_by"] == made_by:
        return f"{name}, done before"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")  # Lightning's advice on workers and lengths of epochs
    for noisy in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    import torch

    from benchmarks.verdict.forecasting import forecast_block, joined, prices_of
    from src.config.compose import compose_line, own_part
    from src.files import write_json

    torch.set_num_threads(1)
    started, prices = time.monotonic(), prices_of(task.series)
    config = own_part(compose_line("train", options))
    parts = [forecast_block(config, prices, one) for one in blocks(len(prices), task.size)]
    seconds = time.monotonic() - started
    plain = {key: value for key, value in asdict(joined(parts)).items() if key != "chosen"}
    task.file.parent.mkdir(parents=True, exist_ok=True)
    told = {"chosen": [part.chosen for part in parts], "seconds": seconds, "made_by": made_by}
    write_json(task.file, {**told, **{key: value.tolist() for key, value in plain.items()}})
    return f"{name}, {seconds:.0f} s"
