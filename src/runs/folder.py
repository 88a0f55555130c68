"""The folder of one run: how it is named, and what lies where in it."""

import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

REPORT = "report.json"
CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
FORECASTS = "forecasts.csv"
USUAL = ("none", "point")
"""Options that go without saying in the name of a run."""
FORECAST_PICTURE = "forecast.png"
STORY_PICTURE = "story.png"
RUN_FOLDER_VARIABLE = "PRICE_MODELS_RUN_FOLDER"
"""Tells the other processes of a distributed run, and the sweep, which folder was made."""
LONGEST_NAME = 120
MIB = 1 << 20


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


def first_existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def refuse_full_disk(parent: Path, parameters: int) -> None:
    """Refuse to start where a run's folder would not fit.

    Args:
        parent: where run folders go; it need not exist.
        parameters: how many numbers the model has.

    Raises:
        ValueError: with what is free and what is needed.
    """
    # Two checkpoints and one being written, each with weights and two moments; curves and records.
    needed = 3 * 3 * 4 * parameters + MIB
    disk = shutil.disk_usage(first_existing(parent))
    free = disk.free
    if disk.total and free < needed:  # a file system that tells no size, such as /proc, has 0
        raise ValueError(
            f"log_dir: {free / MIB:.1f} MiB are free in {parent}, "
            f"a run of this model writes about {needed / MIB:.1f} MiB"
        )


def remove_empty(folder: Path, kept: Path) -> None:
    """Remove a folder and those above it up to `kept`, as long as nothing is in them."""
    for path in (folder.absolute(), *folder.absolute().parents):
        if path == kept.absolute():
            break
        with suppress(OSError):
            path.rmdir()


def run_name(choices: Mapping[str, str | None], overrides: list[str], seed: int) -> str:
    """Name a run by what it varies: the model's parts, every further override, the seed.

    Args:
        choices: config groups and the option chosen in each.
        overrides: the command line's `key=value` items.
        seed: the run's seed.

    >>> run_name({"model": "lstm", "pooling": "last", "norm": "none"}, ["optimizer.lr=0.1"], 0)
    'lstm-last-lr=0.1-seed0'
    """
    groups = ("model", "pooling", "pooling_prior", "norm", "dropout", "output")
    parts = [str(choices[group]) for group in groups if choices.get(group) not in (None, *USUAL)]
    unnamed = {"seed", "name", "log_dir", "resume", "experiment", *choices}
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key not in unnamed and not key.startswith("hydra"):
            shown = Path(value).stem if key.endswith("path") else value
            if value.startswith("[") or any(sign in shown for sign in "*?[]"):
                # A list, a glob: signs that mean something else to a shell.
                listed = re.sub(r"[\[\]*?'\"]", "", value).rstrip("/").split(",")
                is_path = key.endswith("path")
                shown = "+".join(Path(item).stem if is_path else item.strip() for item in listed)
            parts.append(f"{key.rsplit('.', 1)[-1]}={shown}")
    return f"{'-'.join(parts)[:LONGEST_NAME]}-seed{seed}"


def experiment_name(config: "DictConfig", choices: Mapping[str, Any]) -> str:
    """Return the folder below lightning_logs: the name given, the preset, or <data>_<model>."""
    preset = choices.get("experiment")
    if config.name:
        return str(config.name)
    return str(preset) if preset else f"{choices['data']}_{choices['model']}"


def folder_of(checkpoint: Path) -> Path:
    """Return the run folder a checkpoint file lies in, or else the file's own folder.

    >>> folder_of(Path("runs/a/checkpoints/best.ckpt")).as_posix()
    'runs/a'
    """
    parent = checkpoint.parent
    return parent.parent if parent.name == CHECKPOINTS else parent
