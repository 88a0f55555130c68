"""One job of a sweep, in whatever process the launcher puts it: run it, record how it ended."""

import functools
import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.config.compose import own_part
from src.config.trust import CheckpointError, settled
from src.files import harmless
from src.importing import importing
from src.runs import stopping
from src.runs.folder import REPORT, RUN_FOLDER_VARIABLE
from src.sweeping.manifest import Job, Manifest, Plan

log = logging.getLogger(__name__)

leads = False
"""Whether this process leads a sweep; otherwise it works on jobs beside the one that does."""

current: tuple[Path, int] | None = None
"""Sweep folder and number of the job that this process works on, for callbacks that compare."""


def run_job(config: DictConfig) -> float | None:
    """Run one job and record its end; return the best validation loss, the sweepers' objective.

    Args:
        config: the job's composed config; `sweep.job` is its number.
    """
    hydra = HydraConfig.get()
    manifest = Manifest(Path(hydra.sweep.dir))
    plan, settings = manifest.read(), config.sweep
    job = plan.jobs[settings.job]
    if settings.fail_fast and any(j.status in ("failed", "killed") for j in plan.jobs):
        raise RuntimeError(f"{job.name}: not started, an earlier job failed")
    choices = {k: v for k, v in hydra.runtime.choices.items() if k != "sweep"}
    with ExitStack() as stack:
        if not leads:
            stack.enter_context(_beside(manifest.folder, job))
        ended = stack.enter_context(_recorded(manifest, job))
        # Imported here: the first job of a process pays for torch, the others do not.
        with importing():
            from src.runs.run import run

        own, note = settled(own_part(config)), partial(_note_folder, manifest, job)
        cut_short = _unfinished_run(manifest, job)
        if cut_short is not None:
            try:
                own.resume = str(cut_short)
                objective = run(own, choices, [], note)
            except CheckpointError as error:
                log.warning("%s starts again: %s", job.name, error)
                cut_short = own.resume = None
        if cut_short is None:
            objective = run(own, choices, job.varied, note)
        if objective is not None and math.isfinite(objective):
            ended["objective"] = objective
    return objective


def _note_folder(manifest: Manifest, job: Job, folder: Path) -> None:
    """Write down where a job works: who is killed cannot do it later."""
    manifest.update(job.index, folder=os.path.relpath(folder, manifest.folder))


def job_line(plan: Plan, index: int) -> str:
    """Return one line about a job that has just ended.

    >>> job = Job(0, "seed=0", [], [], "", status="finished", objective=0.5, duration_s=2.0)
    >>> job_line(Plan([], [], "", {}, 1, [job]), 0)
    '1/1 finished: seed=0, val/loss 0.5, 2.0 s'
    """
    job = plan.jobs[index]
    ended = sum(job.status not in ("waiting", "running") for job in plan.jobs)
    facts = [job.name, f"val/loss {job.objective:.5g}" if job.objective is not None else ""]
    facts += [f"{job.duration_s:.1f} s", job.reason or ""]
    return f"{ended}/{plan.total} {job.status}: {', '.join(filter(None, facts))}"


@contextmanager
def _recorded(manifest: Manifest, job: Job) -> Iterator[dict[str, Any]]:
    """Keep the manifest true about one job; the caller adds to what it says at the end."""
    global current
    current = manifest.folder, job.index
    ended: dict[str, Any] = {}
    with manifest.own(job.index):
        manifest.start(job.index)
        try:
            yield ended
            ended |= {"status": "finished"}
        except (SystemExit, KeyboardInterrupt) as stop:
            number = signal.SIGTERM if getattr(stop, "code", None) == 143 else signal.SIGINT
            ended |= {"status": "interrupted", "reason": number.name}
            raise
        except Exception as error:
            if stopping.received is not None:  # a library made an error of its own of the exit
                ended |= {"status": "interrupted"}
                ended |= {"reason": signal.Signals(stopping.received).name}
                stopping.check()
            ended |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
            foreseen = isinstance(error, ValueError | FloatingPointError)
            log.error("%s: %s", job.name, error, exc_info=None if foreseen else error)
            raise
        finally:
            current = None
            os.environ.pop(RUN_FOLDER_VARIABLE, None)
            plan = manifest.end(job.index, **ended)
            print(harmless(job_line(plan, job.index)), file=sys.__stdout__, flush=True)
            _close_logs()


def _unfinished_run(manifest: Manifest, job: Job) -> Path | None:
    """Return the folder of an earlier start of a job, if it was cut short there."""
    from src.runs.opening import open_run

    folder = Path(os.path.normpath(manifest.folder / job.folder)) if job.folder else None
    if folder is None or not (folder / REPORT).is_file():
        return None
    return folder if open_run(folder).status in ("killed", "interrupted") else None


def _close_logs() -> None:
    """Take leave of the run's log file and terminal, before others write to them."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def _beside(folder: Path, job: Job) -> Iterator[None]:
    """Work on a job beside others: what it prints goes to a file, it ends with the sweep."""
    # A pool's process has a parent to follow; submitit's are meant to go on by themselves.
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        _follow(parent.pid)
    with (folder / f"job-{job.index}.log").open("a") as file:
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield
        except (SystemExit, KeyboardInterrupt):
            # Only this job was told to stop; a pool would take the exit for the sweep's own.
            raise RuntimeError(f"{job.name} was stopped") from None
        finally:
            if parent is not None and os.getppid() != parent.pid:
                os._exit(143)  # the sweep is gone; a pool would wait minutes for its next job


@contextmanager
def leading() -> Iterator[None]:
    """Let this process lead a sweep: a signal ends it with its exit code."""
    global leads
    leads = True
    try:
        with stopping.listening():
            yield
    finally:
        leads = False


@functools.cache
def _follow(parent: int) -> None:
    """Tell this process to stop once `parent` is gone: nobody waits for its result."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
