"""Many runs from one command line, with a record: python -m src.train -m pooling=mean,learnable.

The sweep folder, lightning_logs/sweeps/<time>, holds sweep.json: every job and how it ended. With
sweep.resume=true the same command goes on where an earlier one stopped. A job that was cut short
goes on from its last state, and each result is the one of an undisturbed run.
"""

import logging
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from rich.table import Table
from rich.text import Text

from src.config import CONFIG_DIR
from src.config.keys import quoted
from src.config.launching import check_hydra
from src.files import harmless
from src.reporting.fold_table import fold_table
from src.reporting.score_tables import interval_table
from src.reporting.text import rich_table
from src.runs import stopping
from src.sweeping.folds import combine_folds, walks, with_folds
from src.sweeping.job import leading, run_job
from src.sweeping.launcher import RecordedLauncher
from src.sweeping.manifest import Job, Manifest, Plan
from src.sweeping.plan import Sweep, open_manifest, plan_sweep
from src.terminal import Terminal

_STYLES = {
    "finished": "green",
    "failed": "red",
    "killed": "red",
    "interrupted": "yellow",
    "running": "cyan",
    "waiting": "dim",
}


def sweep(config_name: str, command: Sequence[str]) -> int:
    """Run all jobs of a multirun that are not finished yet, then compare their runs.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        command: the overrides as typed.

    Returns:
        The exit code: 0 if every job finished, 1 if one did not, 128 plus the signal's number
        after a signal.

    Raises:
        ValueError: it cannot work; nothing was written.
    """
    console = Terminal()
    with initialize_config_dir(str(CONFIG_DIR), job_name=config_name, version_base="1.3"):
        asked = plan_sweep(config_name, with_folds(config_name, command))
        _check_values(asked)
        manifest = open_manifest(asked)
        try:
            with manifest.adopt(), leading():
                return _run(asked, manifest, config_name, console)
        except BlockingIOError:
            raise ValueError(f"the sweep {manifest.folder} is running") from None


def status_table(plan: Plan) -> Table:
    """Return a table with a row per job: what it varies, how it ended, why."""
    table = Table(title=summary(plan), title_justify="left", title_style="bold")
    table.add_column("#", justify="right", style="dim")
    table.add_column("job", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("val/loss", justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for job in plan.jobs:
        table.add_row(*_cells(job))
    return table


def summary(plan: Plan) -> str:
    """Return how many jobs ended how.

    >>> jobs = [Job(i, "", [], [], "", status=s) for i, s in enumerate(["finished", "failed"])]
    >>> summary(Plan([], [], "", {}, 3, jobs))
    '3 jobs: 1 finished, 1 failed, 1 waiting'
    """
    counts = Counter(job.status for job in plan.jobs)
    # A search does not know its later jobs yet.
    counts["waiting"] += plan.total - len(plan.jobs)
    ways = ", ".join(f"{counts[status]} {status}" for status in _STYLES if counts[status])
    return f"{plan.total} {'job' if plan.total == 1 else 'jobs'}: {ways}"


def _check_values(asked: Sweep) -> None:
    """Build the model of each config, and the data where they differ from those of the one before.

    A bad value is found now, not in the night.
    """
    from src.runs.build import build_datamodule, build_module

    seen, folds = set(), set()
    known: list[Any] = []
    datamodule: Any = None
    for index, config in enumerate(asked.configs):
        if id(config) in seen:
            continue
        seen.add(id(config))
        try:
            _refuse_relaunching(config)
            needed = [config.get(group) for group in ("data", "evaluation", "schedule")]
            if needed != known:
                known, datamodule = needed, build_datamodule(config)
            build_module(config, datamodule)
            folds.add(datamodule.num_folds)
        except ValueError as error:
            names = [job.name for job in asked.plan.jobs] or ["first values"]
            raise ValueError(f"job {index} ({names[index]}): {error}") from None
    if len(folds) > 1:
        raise ValueError(
            f"evaluation: the jobs' data have {' and '.join(map(str, sorted(folds, key=str)))} "
            "folds: a walk-forward sweep is one of data of one length"
        )


def _refuse_relaunching(config: DictConfig) -> None:
    if config.get("resume") is not None:
        raise ValueError("resume is for one run; a sweep goes on with sweep.resume=true")
    strategy = str(config.trainer.get("strategy", "auto"))
    if strategy.startswith(("ddp", "fsdp", "deepspeed")) and "spawn" not in strategy:
        raise ValueError(
            f"trainer.strategy={strategy} starts the whole command once for each device; "
            "in a sweep use ddp_spawn"
        )


def _run(asked: Sweep, manifest: Manifest, config_name: str, console: Terminal) -> int:
    console.print(f"{summary(manifest.read())}; sweep folder: {manifest.folder}", soft_wrap=True)
    stopped_by = None
    try:
        _sweep(asked, manifest, config_name)
    except (KeyboardInterrupt, SystemExit):
        stopped_by = signal.Signals(stopping.received or signal.SIGINT)
        manifest.interrupt(stopped_by.name)
    except ValueError as error:
        print(f"error: {harmless(str(error))}", file=sys.stderr)
    plan = manifest.read()
    complete = sum(job.status == "finished" for job in plan.jobs) == plan.total
    console.print(status_table(plan))
    if not stopped_by and walks(asked.settings):
        for report in combine_folds(manifest, asked.configs):
            console.print(rich_table(fold_table(report)))
            if "intervals" in report:
                console.print(interval_table(report["intervals"]))
            console.print(f"run folder: {manifest.folder / report['run']}", soft_wrap=True)
    if not stopped_by and asked.settings.sweep.compare:
        _compare(manifest.folder, console)
    if not complete:
        console.print("the same command with sweep.resume=true runs what is not finished")
    console.print(f"sweep folder: {manifest.folder}", soft_wrap=True, highlight=False)
    return 128 + stopped_by if stopped_by else int(not complete)


def _compare(folder: Path, console: Terminal) -> None:
    """Write the comparison of the sweep's runs into its folder, and show it."""
    from src.reporting import report_view, write_report

    report = write_report(folder, folder)
    console.print(report_view(report))
    page = next(file for file in report.files if file.suffix == ".html")
    console.print(f"report: {page}", soft_wrap=True, highlight=False)


def _sweep(asked: Sweep, manifest: Manifest, config_name: str) -> None:
    """Do what Hydra does for a multirun, with the manifest between sweeper and launcher."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    overrides = [
        *asked.hydra,
        *asked.overrides,
        f"hydra.sweep.dir={quoted(str(manifest.folder))}",
        "hydra.mode=MULTIRUN",
        *_threads(asked.settings),
    ]
    config = hydra.compose_config(config_name, overrides, run_mode=RunMode.MULTIRUN)
    check_hydra(config)
    callbacks = Callbacks(config)
    callbacks.on_multirun_start(config=config, config_name=config_name)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    sweeper = Plugins.instance().instantiate_sweeper(
        config=config, hydra_context=context, task_function=run_job
    )
    _quiet()
    # The sweepers that come as plugins wrap the one that has the launcher.
    inner: Any = getattr(sweeper, "sweeper", sweeper)
    launcher = RecordedLauncher(inner.launcher, manifest, asked.swept, asked.how)
    if asked.is_search:
        inner.launcher = launcher
        try:
            sweeper.sweep(asked.overrides)
            manifest.expect(len(manifest.read().jobs))
        except RuntimeError as error:
            raise ValueError(f"the search ended: {error}") from None
    else:
        at_once = config.hydra.sweeper.max_batch_size or len(asked.plan.jobs)
        for first in range(0, len(asked.plan.jobs), at_once):
            jobs = asked.plan.jobs[first : first + at_once]
            launcher.launch([job.overrides for job in jobs], first)
    callbacks.on_multirun_end(config=config, config_name=config_name)


def _threads(config: DictConfig) -> list[str]:
    """Give submitit's jobs as many threads as processors; joblib divides them by itself."""
    count = config.hydra.launcher.get("cpus_per_task")
    return [f"++hydra.job.env_set.OMP_NUM_THREADS={count}"] if count else []


def _quiet() -> None:
    """Keep what Hydra and Optuna say of their launching out of the terminal and the runs' logs."""
    for name in ("hydra", "hydra_plugins", "optuna"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _cells(job: Job) -> list[Text]:
    loss = f"{job.objective:.5g}" if job.objective is not None else ""
    seconds = f"{job.duration_s:.1f}" if job.duration_s is not None else ""
    status = Text(job.status, style=_STYLES[job.status])
    # Text, not str: rich would take brackets in a name for its markup.
    rest = (Text(cell) for cell in (loss, seconds, job.reason or ""))
    return [Text(str(job.index)), Text(job.name), status, *rest]
