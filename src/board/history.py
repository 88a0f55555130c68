"""How far a run's curves have got, and how to cut them back to there.

A run that goes on from a checkpoint draws again what it had drawn since: without a cut, a curve
would have two values at one step.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from src.files import write_text

EVENTS = "events.out.tfevents.*"
METRICS = "metrics.csv"


def history_so_far(loggers: Iterable[Any], folder: Path) -> dict[str, int]:
    """Flush the loggers, and return how long their files are.

    Args:
        loggers: a Trainer's.
        folder: the run's.

    Returns:
        Bytes of each event file, and rows of metrics.csv, by file name.
    """
    for logger in loggers:
        logger.save()
    sizes = {file.name: file.stat().st_size for file in folder.glob(EVENTS)}
    metrics = folder / METRICS
    return sizes | ({METRICS: metrics.read_bytes().count(b"\n") - 1} if metrics.is_file() else {})


def cut_history(folder: Path, kept: Mapping[str, int]) -> None:
    """Cut a run's curves back to what `history_so_far` found; files it did not know go."""
    for file in folder.glob(EVENTS):
        if file.name not in kept:
            file.unlink()
        elif kept[file.name] < file.stat().st_size:
            os.truncate(file, kept[file.name])
    metrics = folder / METRICS
    if metrics.is_file():
        lines = metrics.read_bytes().decode().splitlines(keepends=True)
        write_text(metrics, "".join(lines[: kept.get(METRICS, -1) + 1]))
