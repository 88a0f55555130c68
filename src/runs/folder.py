"""The folder of one run: its name, its report, and where its checkpoints are."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from src.files import write_json

REPORT = "report.json"
CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
FORECASTS = "forecasts.csv"
RUN_FOLDER_VARIABLE = "PRICE_MODELS_RUN_FOLDER"
"""Tells the other processes of a distributed run, and the sweep, which folder was made."""
LONGEST_NAME = 120


def create_run_folder(parent: Path, name: str) -> Path:
    """Make `parent`/`name`-<number> with the first number that is free.

    Creating the folder is the test for its being free, so two runs started in the same moment
    get two folders.

    Args:
        parent: the experiment's folder, made if it is not there.
        name: what the run varies and its seed; what troubles a shell or an override, "=" too,
            becomes "_", so that a folder can be pasted behind `ckpt_path=`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     [create_run_folder(Path(parent), "mean-seed0").name for _ in range(2)]
    ['mean-seed0-0', 'mean-seed0-1']
    """
    parent.mkdir(parents=True, exist_ok=True)
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
    number = 0
    while True:
        folder = parent / f"{safe}-{number}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def run_name(choices: Mapping[str, str | None], overrides: list[str], seed: int) -> str:
    """Name a run by what it varies: the model's parts, every further override, the seed.

    Args:
        choices: config groups and the option chosen in each.
        overrides: the command line's `key=value` items.
        seed: the run's seed.

    >>> run_name({"model": "lstm", "pooling": "last", "norm": "none"}, ["optimizer.lr=0.1"], 0)
    'lstm-last-lr=0.1-seed0'
    """
    groups = ("model", "pooling", "pooling_prior", "norm", "dropout")
    parts = [str(choices[group]) for group in groups if choices.get(group) not in (None, "none")]
    unnamed = {"seed", "name", "log_dir", "ckpt_path", "experiment", *choices}
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key not in unnamed and not key.startswith("hydra"):
            shown = Path(value).stem if key.endswith("path") else value
            parts.append(f"{key.rsplit('.', 1)[-1]}={shown}")
    return f"{'-'.join(parts)[:LONGEST_NAME]}-seed{seed}"


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the run's report.json, whole or not at all; numbers that JSON lacks become null."""
    write_json(folder / REPORT, report)


def environment() -> dict[str, Any]:
    """Return what a result depends on besides its config: commit, versions, machine."""
    packages = ("torch", "lightning", "hydra-core", "torchmetrics", "numpy", "arch", "TA-Lib")
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "machine": {"system": platform.platform(), "cpu_count": os.cpu_count()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def find_checkpoint(path: Path, which: Literal["best", "last"] = "best") -> Path:
    """Return the checkpoint meant by `path`: the file itself, or a run folder's best or last.

    Raises:
        ValueError: there is none.
    """
    if path.is_file():
        return path
    if not path.exists():
        raise ValueError(f"ckpt_path does not exist: {path}")
    checkpoint = path / CHECKPOINTS / f"{which}.ckpt"
    if not checkpoint.is_file():
        raise ValueError(f"ckpt_path holds no {CHECKPOINTS}/{which}.ckpt: {path}")
    return checkpoint


def folder_of(checkpoint: Path) -> Path:
    """Return the run folder a checkpoint file lies in, or else the file's own folder.

    >>> folder_of(Path("runs/a/checkpoints/best.ckpt")).as_posix()
    'runs/a'
    """
    parent = checkpoint.parent
    return parent.parent if parent.name == CHECKPOINTS else parent


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
