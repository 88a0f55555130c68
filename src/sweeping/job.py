"""One job of a sweep, in whatever process the launcher puts it: run it, record how it ended."""

import logging
import math
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.config.compose import own_part
from src.config.trust import settled
from src.runs.folder import RUN_FOLDER_VARIABLE
from src.sweeping import stopping
from src.sweeping.manifest import Job, Manifest, Plan

log = logging.getLogger(__name__)

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
        if not stopping.leads:
            stack.enter_context(_beside(manifest.folder, job))
        ended = stack.enter_context(_recorded(manifest, job))
        # Imported here: the first job of a process pays for torch, the others do not.
        from src.runs.run import run

        objective = run(settled(own_part(config)), choices, job.varied)
        if objective is not None and math.isfinite(objective):
            ended["objective"] = objective
    stopping.check()
    return objective


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
    os.environ.pop(RUN_FOLDER_VARIABLE, None)
    ended: dict[str, Any] = {}
    with manifest.own(job.index):
        manifest.start(job.index)
        try:
            yield ended
            ended |= {"status": "finished"}
        except (SystemExit, KeyboardInterrupt) as stop:
            terminated = stopping.received or getattr(stop, "code", None) == 143
            ended |= {"status": "interrupted", "reason": "SIGTERM" if terminated else "SIGINT"}
            raise
        except Exception as error:
            if stopping.received:  # a library made an error of its own of the exit
                ended |= {"status": "interrupted", "reason": "SIGTERM"}
                stopping.check()
            ended |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
            foreseen = isinstance(error, ValueError | FloatingPointError)
            log.error("%s: %s", job.name, error, exc_info=None if foreseen else error)
            raise
        finally:
            current = None
            folder = os.environ.pop(RUN_FOLDER_VARIABLE, None)
            ended["folder"] = os.path.relpath(folder, manifest.folder) if folder else None
            plan = manifest.end(job.index, **ended)
            print(job_line(plan, job.index), file=sys.__stdout__, flush=True)
            _close_logs()


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
        stopping.follow(parent.pid)
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
