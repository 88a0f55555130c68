"""One run from a composed config to a finished run folder."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from src.board.history import cut_history
from src.board.run_page import RunPage
from src.config.trust import CheckpointError
from src.data import PriceDataModule
from src.reporting.run_ending import (
    WRITTEN,
    gradient_lines,
    length_line,
    next_lines,
    written_lines,
)
from src.reporting.score_tables import interval_table, score_table, series_table, steps_table
from src.runs import stopping
from src.runs.build import (
    build_callbacks,
    build_datamodule,
    build_module,
    build_trainer,
    compile_model,
    effective_choices,
    load_weights,
    refuse_empty_parts,
)
from src.runs.calibration import write_calibration
from src.runs.checkpoint import load_checkpoint
from src.runs.diagnosis import in_our_terms
from src.runs.fitting import fit_model, keep
from src.runs.folder import (
    RUN_FOLDER_VARIABLE,
    create_run_folder,
    experiment_name,
    first_existing,
    refuse_full_disk,
    remove_empty,
    run_name,
)
from src.runs.interval_report import interval_report
from src.runs.last_state import LastState
from src.runs.observers import failures
from src.runs.opening import is_made_up, unquoted
from src.runs.process import (
    few_threads,
    keep_freed_memory,
    log_to_file,
    log_to_terminal,
    print_going_on,
    print_header,
    say,
)
from src.runs.resuming import Resumption, find_resumption, working_in
from src.runs.run_report import (
    best_so_far,
    callback_reports,
    count_parameters,
    divergence,
    draw_forecasts,
    draw_story,
    ended,
    ended_by,
    first_report,
    going_on_report,
    is_first_process,
    recorded,
    scores_report,
    thinned,
    write_forecasts,
)
from src.terminal import Terminal
from src.training.module import RegressionModule

log = logging.getLogger(__name__)


def run(
    config: DictConfig,
    choices: Mapping[str, Any],
    overrides: list[str],
    on_start: Callable[[Path], object] | None = None,
) -> float | None:
    """Build everything, make the run folder, train, test the best checkpoint, report.

    Args:
        config: a composed conf/train.yaml.
        choices: config groups and the option chosen in each, for names and reports.
        overrides: the command line's items, for the run's name.
        on_start: is told the run's folder before the training begins.

    Returns:
        The best validation loss (scaled target); None for a model without parameters.

    Raises:
        ValueError: something in the config cannot work; nothing was written.
    """
    log_to_terminal()
    with stopping.listening(), ExitStack() as stack:
        built = _build(config, choices, overrides)
        keep_freed_memory()  # of the steps, not of what reading and preparing took
        stack.enter_context(few_threads(built.module))
        with stopping.held_back():  # from a folder's making to its first record
            started = _begin(built, overrides)
            folder, report = started.folder, started.report
            stack.enter_context(ended(folder, report, started.kept))
            stack.enter_context(_working_in(folder))
            if on_start is not None:
                on_start(folder)
            page = _open_books(started, overrides, stack)
        stopping.check()
        _train(started)
        _record(started, page)
        stack.close()
        _print_ending(started, config)
    return report["best"].get("val_loss")


@dataclass(frozen=True)
class _Built:
    """A run whose data and model are there, and nothing on the disk yet."""

    config: DictConfig
    choices: Mapping[str, Any]
    datamodule: PriceDataModule
    module: RegressionModule
    goes_on: Resumption | None


@dataclass(frozen=True)
class _Started:
    """A run that is built, with its folder made and nothing trained yet."""

    datamodule: PriceDataModule
    module: RegressionModule
    trainer: pl.Trainer
    folder: Path
    kept: Path
    report: dict[str, Any]
    goes_on: Resumption | None


def _build(config: DictConfig, choices: Mapping[str, Any], overrides: list[str]) -> _Built:
    """Build data and model, before there is a folder: what cannot work leaves none."""
    goes_on = find_resumption(config, choices, overrides)
    if goes_on is not None:
        config, choices = goes_on.config, goes_on.report.get("choices", choices)
    pl.seed_everything(config.seed, verbose=False)
    with unquoted(config) if goes_on else nullcontext():
        datamodule = build_datamodule(config)
    if goes_on is not None:
        goes_on.refuse_other_prices(datamodule)
    module = build_module(config, datamodule)
    module.example_input_array = torch.zeros(1, datamodule.context_length, datamodule.num_features)
    choices = effective_choices(choices, module)
    refuse_empty_parts(config.trainer, datamodule)
    refuse_full_disk(Path(config.log_dir), count_parameters(module))
    if config.get("compile") and any(p.requires_grad for p in module.parameters()):
        compile_model(module, config.trainer.accelerator)
    return _Built(config, choices, datamodule, module, goes_on)


def _begin(built: _Built, overrides: list[str]) -> _Started:
    """Make the folder, and what writes into it."""
    config, choices, goes_on = built.config, built.choices, built.goes_on
    datamodule, module = built.datamodule, built.module
    kept = first_existing(Path(config.log_dir) / experiment_name(config, choices))
    folder = goes_on.folder if goes_on else _run_folder(config, choices, overrides)
    try:
        callbacks = build_callbacks(config, module, datamodule, folder)
        trainer = build_trainer(config, callbacks, folder)
    except BaseException:
        if goes_on is None:
            remove_empty(folder, kept)
        raise
    report = first_report(config, choices, folder, datamodule, module)
    if goes_on is not None:
        report = going_on_report(goes_on, report)
        _tell(callbacks, goes_on)
    return _Started(datamodule, module, trainer, folder, kept, report, goes_on)


def _open_books(started: _Started, overrides: list[str], stack: ExitStack) -> RunPage:
    """Begin, or go on with, everything that is written while the run lives."""
    folder, report, on = started.folder, started.report, started.goes_on
    _go_back(on)
    log_to_file(folder)
    print_header(report["data"], report["parameters"], report["choices"])
    if on is not None:
        print_going_on(on.folder, on.state, on.changes)
    page = RunPage(started.trainer, report, overrides, begins=on is None)
    stack.enter_context(page)
    stack.enter_context(recorded(folder, report))
    return page


def _tell(callbacks: Sequence[pl.Callback], goes_on: Resumption) -> None:
    """Let a training that goes on know what is different."""
    for callback in callbacks:
        if isinstance(callback, LastState):
            callback.optimizer_options = goes_on.optimizer_options
            callback.overrules_stopping = goes_on.asks_for_more


def _working_in(folder: Path) -> AbstractContextManager[None]:
    """Hold the run's folder, in the process that made it."""
    return working_in(folder) if is_first_process() else nullcontext()


@rank_zero_only
def _go_back(goes_on: Resumption | None) -> None:
    """Cut the curves of a run that goes on to where its last state left them."""
    if goes_on is not None:
        history = goes_on.state.get("history") if goes_on.checkpoint else {}
        if history is not None:  # a checkpoint of an earlier version does not know
            cut_history(goes_on.folder, history)


def _train(run: _Started) -> None:
    """Train, then put the best weights into the module."""
    trainer, module = run.trainer, run.module
    if not any(p.requires_grad for p in module.parameters()):
        if fitting := fit_model(module, run.datamodule):
            run.report["fitting"] = fitting
        trainer.validate(module, datamodule=run.datamodule, verbose=False)
        keep(trainer, run.folder)
        return
    checkpoint = run.goes_on.checkpoint if run.goes_on else None
    with _restoring(trainer, checkpoint):
        trainer.fit(module, datamodule=run.datamodule, ckpt_path=checkpoint)
    run.report["ended_by"] = ended_by(trainer)
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if best:
        load_weights(module, run.datamodule, load_checkpoint(Path(best)))


@contextmanager
def _restoring(trainer: pl.Trainer, checkpoint: Path | None) -> Iterator[None]:
    """Say that a checkpoint is at fault where a fit fails before it has taken it up.

    Raises:
        CheckpointError: naming it; its states are not those of such a run.
    """
    try:
        yield
    except Exception as error:
        states = [c for c in trainer.callbacks if isinstance(c, LastState)]  # type: ignore[attr-defined]
        if checkpoint is None or any(state.has_begun for state in states):
            raise
        what = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{checkpoint} cannot be gone on from: {what}") from error


def _record(run: _Started, page: RunPage) -> None:
    """Test what was trained, and write down what came of it."""
    report, module, datamodule = run.report, run.module, run.datamodule
    report |= {"best": best_so_far(run.trainer, module), "validation": module.validation}
    report |= {"training": thinned(module.training_losses)}
    report |= {"truth": truth} if (truth := datamodule.truth()) else {}
    run.trainer.test(module, datamodule=datamodule, verbose=False)
    report |= {"test": scores_report(module, datamodule), **callback_reports(run.trainer)}
    if report.get("diagnosis"):
        report["diagnosis"] = in_our_terms(report["diagnosis"])
    if failed := failures(run.trainer):
        report["failed_callbacks"] = failed
    if warning := divergence(report, datamodule):
        report["warning"] = warning
        log.warning(warning)
    write_forecasts(run.folder, module, datamodule)
    calibration = rank_zero_only(write_calibration)(run.folder, module, datamodule)
    if intervals := interval_report(module, datamodule, calibration):
        report["intervals"] = intervals
    if run.trainer.loggers and run.trainer.is_global_zero:
        for ticker, picture in draw_forecasts(run.folder, module, datamodule, calibration).items():
            page.show(f"2_forecasts/{ticker}".rstrip("/"), picture)
        if report.get("gradient_history"):
            page.show("1_story", draw_story(run.folder, report))


@rank_zero_only
def _print_ending(run: _Started, config: DictConfig) -> None:
    """Say what happened, where it is, and what to type next; of a sweep's job what happened."""
    report, folder = run.report, run.folder
    say(length_line(report))
    test = report["test"]
    Terminal().print(score_table(test["model"], test["baseline"]))
    if "series" in test:
        Terminal().print(series_table(test))
    if "steps" in test:
        Terminal().print(steps_table(test))
    if "own" in report.get("intervals", {}):
        Terminal().print(interval_table(report["intervals"]))
    gradients = list(gradient_lines(report))
    if config.get("sweep", {}).get("job") is not None:
        return say(*gradients[:1], f"run folder: {folder}")
    say(*gradients)
    say(*written_lines(folder, [name for name in WRITTEN if (folder / name).is_file()]))
    made_up = is_made_up(run.datamodule.features, report["config"])
    by_steps = "ended_by" in report
    say(*next_lines(folder, str(folder.parent.parent), not made_up, by_steps))


def _run_folder(config: DictConfig, choices: Mapping[str, Any], overrides: list[str]) -> Path:
    """Make the run's folder; the other processes of a distributed run get the first one's."""
    if not is_first_process():
        return Path(os.environ.get(RUN_FOLDER_VARIABLE, config.log_dir))
    name = run_name(choices, overrides, config.seed)
    folder = create_run_folder(Path(config.log_dir) / experiment_name(config, choices), name)
    os.environ[RUN_FOLDER_VARIABLE] = str(folder)
    return folder
