"""How a run sets up its process: memory that is kept, a terminal and a train.log to speak to."""

import ctypes
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from src.files import harmless
from src.terminal import Terminal

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_GIB = 1 << 30
MOST_ALONE = 256
"""Width up to which recurrent layers are computed by one thread."""
MOST_SERIES = 12
"""Of several series: a line each."""


def keep_freed_memory() -> bool:
    """Keep large buffers between steps instead of giving them back to the system.

    With glibc's defaults every training step maps and unmaps the recurrent layers' work buffers,
    and the page faults cost as much as the arithmetic. What was freed before, by reading and
    preparing, is given back first.

    Returns:
        Whether glibc's mmap and trim thresholds were raised; False where there is no glibc.

    Source: mallopt(3), malloc_trim(3).
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "gnu_get_libc_version"):
        return False
    libc.malloc_trim(0)
    largest_int = 2**31 - 1
    return bool(
        libc.mallopt(_M_MMAP_THRESHOLD, _GIB) and libc.mallopt(_M_TRIM_THRESHOLD, largest_int)
    )


@contextmanager
def few_threads(module: nn.Module) -> Iterator[None]:
    """Compute recurrent layers with one thread, unless OMP_NUM_THREADS says how many.

    Their steps are small products that wait for one another. Threads that meet after each of them
    lose: up to the width of 200 a training took 1.1 to 2.4 times as long on two idle cores, and a
    step of the LSTM of width 50 four times as long on sixteen.

    Args:
        module: what is trained; without recurrent layers the threads stay as they are.
    """
    widths = [layer.hidden_size for layer in module.modules() if isinstance(layer, nn.RNNBase)]
    before = torch.get_num_threads()
    if widths and max(widths) <= MOST_ALONE and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def log_to_terminal() -> None:
    """Send log records to the terminal once, in plain words; Lightning's from warnings up."""
    # torch 2.13 deprecates a check that Lightning 2.6 makes at every start.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")
    # A run that goes on writes where it wrote before: a run's folder is nobody else's.
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        lightning_log = logging.getLogger(name)
        lightning_log.handlers.clear()
        lightning_log.propagate = True
        lightning_log.setLevel(logging.WARNING)
    threading.excepthook = _say_once
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setFormatter(_Harmless())
    terminal.addFilter(_is_news)
    root.addHandler(terminal)


class _Harmless(logging.Formatter):
    """Writes records that quote what others stored, without letting that steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text."""
        return harmless(super().format(record))


_findings_told: set[str] = set()


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what was printed, and a finding that another job of this sweep has told."""
    if record.name.startswith("src.diagnostics") and record.levelno >= logging.WARNING:
        message = record.getMessage()
        if message in _findings_told:
            return False
        _findings_told.add(message)
    return not getattr(record, "is_shown", False)


def _say_once(failed: threading.ExceptHookArgs) -> None:
    """Leave out what the thread of an event file met: TensorBoard raises it in the training too."""
    if not isinstance(failed.exc_value, OSError):
        threading.__excepthook__(failed)


@rank_zero_only
def log_to_file(folder: Path) -> None:
    """Send log records to the run's train.log too."""
    file = logging.FileHandler(folder / "train.log")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(file)


@rank_zero_only
def say(*lines: str, style: str | None = None) -> None:
    """Print lines, and write them into train.log."""
    console = Terminal()
    for line in lines:
        console.print(line, style=style, soft_wrap=True, highlight=False, markup=False)
        log.info("%s", line, extra={"is_shown": True})


def print_going_on(folder: Path, state: Mapping[str, Any], changes: Sequence[str]) -> None:
    """Print where a run goes on, and what is different from now on.

    Args:
        folder: the run's.
        state: what its last checkpoint says; empty if it has none.
        changes: a line each.
    """
    where = f"epoch {state['epoch']}, batch {state['batch']}" if state else "its beginning"
    say(f"going on with {folder} at {where}", *(f"  {change}" for change in changes))


def print_header(facts: Mapping[str, Any], parameters: int, choices: Mapping[str, Any]) -> None:
    """Print what is about to be trained on what.

    Args:
        facts: what the DataModule says of its data.
        parameters: how many the model has.
        choices: config groups and the option chosen in each.
    """
    parts = ("data", "model", "pooling", "pooling_prior", "norm", "dropout", "optimizer")
    say(" ".join(f"{part}={choices[part]}" for part in parts if choices.get(part)), style="bold")
    shape = f"{facts['context_length']} steps x {facts['num_features']} features"
    say(f"{facts['data']}: windows of {shape}; {parameters:,} parameters")
    if price := facts["columns"].get("close"):
        say(f"  price {price[0]}: {price[1]}")
    for split in ("train", "val", "test"):
        part = facts[split]
        say(f"  {split:5} {part['first']} to {part['last']}, {part['windows']:,} windows")
    series = facts.get("series", ())
    for one in series[:MOST_SERIES]:
        windows = ", ".join(f"{part} {count:,}" for part, count in one["windows"].items())
        say(f"  {one['ticker']}: {one['rows']:,} bars, {one['first']} to {one['last']}; {windows}")
    if len(series) > MOST_SERIES:
        say(f"  and {len(series) - MOST_SERIES} series more")
    for warning in facts["warnings"]:
        say(f"  {warning}", style="yellow")
