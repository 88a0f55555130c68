"""Runs in processes of their own that something may end: which runs, and how they are started.

Each process is forked from this one, which has imported everything: a trial costs its training, not
six seconds of imports, and is killed as any other process is.
"""

import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra import compose, initialize_config_dir

from benchmarks.torture.traces import trace
from src.config import CONFIG_DIR
from src.config.compose import own_part
from src.config.trust import settled
from src.runs import stopping
from src.runs.run import run
from src.training.module import RegressionModule

STEPS = 60
LONGEST_S = 120.0
"""How long a trial may take; the bound of every campaign is this times its number of trials."""

# Four epochs of 15 batches, each followed by a validation.
BASE = (
    *("data=prices", "data.context_length=20", "data.batch_size=16", "model=transformer_tiny"),
    *("pooling=learnable", "trainer=cpu", "trainer.max_epochs=4"),
    *("+trainer.limit_train_batches=15", "trainer.limit_val_batches=1"),
    *("+trainer.limit_test_batches=1", "trainer.log_every_n_steps=1", "callbacks=basic"),
    *("callbacks.progress_bar=null", "logger=tensorboard_csv"),
)
_OFTEN = ("callbacks.last_state.every_n_steps=1",)
_BY_SEVEN = ("callbacks.last_state.every_n_steps=7",)
_DROPOUT = ("dropout=projection",)
_INJECTED = ("pooling_prior.injection.every_n_steps=4",)
VARIANTS: dict[str, tuple[str, ...]] = {
    "each_epoch": (),
    "each_step": _OFTEN,
    "dropout": (*_DROPOUT, *_BY_SEVEN),
    "dropout_each_step": (*_DROPOUT, *_OFTEN),
    "lstm": (
        *("model=lstm", "model.hidden_size=8", "model.num_layers=2", "dropout.encoder=0.3"),
        *_OFTEN,
    ),
    "accumulation": ("trainer.accumulate_grad_batches=2", "trainer.max_epochs=8", *_OFTEN),
    "validated_by_steps": (
        *("trainer.max_steps=60", "trainer.max_epochs=-1", "trainer.val_check_interval=7"),
        *("trainer.check_val_every_n_epoch=null", *_BY_SEVEN),
    ),
    "kl_prior": ("pooling_prior=recency_kl", *_DROPOUT, *_OFTEN),
    "entropy_prior": ("pooling_prior=entropy", *_OFTEN),
    "injection_prior": ("pooling_prior=gradient_injection", *_INJECTED, *_OFTEN),
    "update_prior": (
        "pooling_prior=direct_update",
        "pooling_prior.update.every_n_steps=4",
        *_OFTEN,
    ),
    "forced_prior": ("pooling_prior=forced", *_INJECTED, *_DROPOUT),
    "monitored": (
        *("callbacks=milestones", "callbacks.progress_bar=null", *_DROPOUT, *_BY_SEVEN),
        *("callbacks.milestones.scale=0.005", "callbacks.milestones.every_n_steps=5"),
        "callbacks.gradient_health.every_n_steps=5",
        "callbacks.gradient_health.details_every_n_steps=10",
        "callbacks.pooling_monitor.every_n_steps=5",
    ),
    "schedule": (
        *("data=scenario", "schedule=dead_inputs", "schedule.scale=0.005", "data.batch_size=16"),
        *_BY_SEVEN,
    ),
}


@dataclass(frozen=True)
class Whole:
    """A run that nothing ended, to compare with.

    Args:
        config: of it and of the trials.
        choices: config groups and the option chosen in each.
        folder: below which each trial gets one of its own.
        trace: what it left.
        seconds: how long it took.
    """

    config: Any
    choices: Mapping[str, Any]
    folder: Path
    trace: Mapping[str, Any]
    seconds: float

    def start(self, name: str, kill_at: int | None = None, errors: Path | None = None) -> int:
        """Start the same run in a process; return its pid."""
        return start(self.config, self.choices, name, kill_at, errors)

    def go_on(self, folder: Path, errors: Path | None = None) -> int:
        """Resume a run in a process; return its pid."""
        again = self.config.copy()
        again.resume = str(folder)
        return in_a_process(lambda: run(again, self.choices, []), errors)


def whole_run(overrides: Sequence[str], folder: Path) -> Whole:
    """Train the run of BASE and some overrides to its end.

    Raises:
        RuntimeError: it does not end well by itself.
    """
    config, choices = compose_run([*BASE, *overrides], folder)
    began, errors = time.monotonic(), folder / "whole.txt"
    folder.mkdir(parents=True, exist_ok=True)
    if code := ended(start(config, choices, "whole", errors=errors)):
        raise RuntimeError(f"the run itself ended with {code}: {errors.read_text()[-2000:]}")
    took = time.monotonic() - began
    return Whole(config, choices, folder, trace(only_run(folder / "whole")), took)


def compose_run(overrides: Sequence[str], folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the config of a run below a folder, and the choices made for it."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("train", [*overrides, f"log_dir={folder}"], return_hydra_config=True)
    return settled(own_part(config)), dict(config.hydra.runtime.choices)


def start(
    config: Any,
    choices: Mapping[str, Any],
    name: str,
    kill_at: int | None = None,
    errors: Path | None = None,
) -> int:
    """Start a run in a process; it kills itself at a training step, if it is told to."""
    original = RegressionModule.training_step

    def training_step(module: Any, batch: Any, batch_idx: int) -> Any:
        if kill_at is not None and module.trainer.global_step == kill_at % STEPS:
            if kill_at % 2:  # before, or after, the step's forward pass
                original(module, batch, batch_idx)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(module, batch, batch_idx)

    def work() -> None:
        named = config.copy()
        named.name = name
        with patch.object(RegressionModule, "training_step", training_step):
            run(named, choices, [])

    return in_a_process(work, errors)


def in_a_process(work: Callable[[], Any], errors: Path | None = None) -> int:
    """Do some work in a forked process, what it prints in a file or nowhere; return the pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 0
    try:
        for stream, name in ((1, os.devnull), (2, errors or os.devnull)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
        with stopping.listening():
            work()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException as error:
        os.write(2, "".join(traceback.format_exception(error)).encode())
        code = 1
    finally:
        os._exit(code)


def ended(pid: int, longest: float = LONGEST_S) -> int:
    """Wait for a process; return its exit code, negative for a signal.

    Raises:
        TimeoutError: it has not ended in time; now it has.
    """
    descriptor = os.pidfd_open(pid)
    try:
        is_over = bool(select.select([descriptor], [], [], longest)[0])
    finally:
        os.close(descriptor)
    if not is_over:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not is_over:
        raise TimeoutError(f"it had not ended after {longest:g} s")
    return code


def only_run(parent: Path) -> Path:
    """Return the one run folder below a folder."""
    (folder,) = (file.parent for file in parent.glob("*/config.yaml"))
    return folder


def temporaries(folder: Path) -> list[str]:
    """Return what is left half written below a folder."""
    return [file.name for file in folder.rglob(".*.tmp")]
