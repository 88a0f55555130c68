"""One run from a composed config to a finished run folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from rich.console import Console

from src.board.run_page import RunPage
from src.data import PriceDataModule
from src.reporting.run_tables import score_table
from src.runs.build import (
    build_callbacks,
    build_datamodule,
    build_module,
    build_trainer,
    effective_choices,
    load_weights,
    refuse_empty_parts,
)
from src.runs.calibration import write_calibration
from src.runs.checkpoint import load_checkpoint
from src.runs.folder import (
    RUN_FOLDER_VARIABLE,
    create_run_folder,
    experiment_name,
    first_existing,
    refuse_full_disk,
    remove_empty,
    run_name,
)
from src.runs.opening import open_run
from src.runs.process import keep_freed_memory, log_to_file, log_to_terminal, print_header
from src.runs.run_report import (
    best_so_far,
    callback_reports,
    count_parameters,
    ended,
    first_report,
    is_first_process,
    recorded,
    scores_report,
    write_forecasts,
)
from src.training.module import RegressionModule


def run(config: DictConfig, choices: Mapping[str, Any], overrides: list[str]) -> float | None:
    """Build everything, make the run folder, train, test the best checkpoint, report.

    Args:
        config: a composed conf/train.yaml.
        choices: config groups and the option chosen in each, for names and reports.
        overrides: the command line's items, for the run's name.

    Returns:
        The best validation loss (scaled target); None for a model without parameters.

    Raises:
        ValueError: something in the config cannot work; nothing was written.
    """
    keep_freed_memory()
    log_to_terminal()
    started = _build(config, choices, overrides)
    folder, report = started.folder, started.report
    page = RunPage(started.trainer, report, overrides)
    with ended(folder, report, started.kept), page, recorded(folder, report):
        _train(started)
        _record(started, page)
    if started.trainer.is_global_zero:
        console, scores = Console(), started.module.scores
        console.print(score_table(scores["model"], scores["baseline"]))
        console.print(f"run folder: {folder}", soft_wrap=True, highlight=False)
    return report["best"].get("val_loss")


@dataclass(frozen=True)
class _Started:
    """A run that is built, with its folder made and nothing trained yet."""

    datamodule: PriceDataModule
    module: RegressionModule
    trainer: pl.Trainer
    folder: Path
    kept: Path
    report: dict[str, Any]
    resume_from: Path | None


def _build(config: DictConfig, choices: Mapping[str, Any], overrides: list[str]) -> _Started:
    """Build all parts, then make the folder: what cannot work leaves none."""
    pl.seed_everything(config.seed, verbose=False)
    datamodule = build_datamodule(config)
    module = build_module(config, datamodule)
    module.example_input_array = torch.zeros(1, datamodule.context_length, datamodule.num_features)
    choices = effective_choices(choices, module)
    resume_from = open_run(config.ckpt_path, "last").checkpoint_path if config.ckpt_path else None
    refuse_empty_parts(config.trainer, datamodule)
    refuse_full_disk(Path(config.log_dir), count_parameters(module))
    kept = first_existing(Path(config.log_dir) / experiment_name(config, choices))
    folder = _run_folder(config, choices, overrides)
    try:
        trainer = build_trainer(config, build_callbacks(config, module, datamodule, folder), folder)
    except BaseException:
        remove_empty(folder, kept)
        raise
    log_to_file(folder)
    print_header(datamodule.describe(), count_parameters(module), choices)
    report = first_report(config, choices, folder, datamodule, module)
    return _Started(datamodule, module, trainer, folder, kept, report, resume_from)


def _train(run: _Started) -> None:
    """Train, then put the best weights into the module."""
    if not any(p.requires_grad for p in run.module.parameters()):
        run.trainer.validate(run.module, datamodule=run.datamodule, verbose=False)
        return
    run.trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=run.resume_from)
    best = getattr(run.trainer.checkpoint_callback, "best_model_path", "")
    if best:
        load_weights(run.module, run.datamodule, load_checkpoint(Path(best)))


def _record(run: _Started, page: RunPage) -> None:
    """Test what was trained, and write down what came of it."""
    report, module, datamodule = run.report, run.module, run.datamodule
    report |= {"best": best_so_far(run.trainer), "validation": module.validation}
    report |= {"truth": truth} if (truth := datamodule.truth()) else {}
    run.trainer.test(module, datamodule=datamodule, verbose=False)
    report |= {"test": scores_report(module), **callback_reports(run.trainer)}
    write_forecasts(run.folder, module, datamodule)
    rank_zero_only(write_calibration)(run.folder, module, datamodule)
    days = [datamodule.dates[int(row["row"])] for row in module.forecasts]
    page.show_forecasts(days, module.forecasts)


def _run_folder(config: DictConfig, choices: Mapping[str, Any], overrides: list[str]) -> Path:
    """Make the run's folder; the other processes of a distributed run get the first one's."""
    if not is_first_process():
        return Path(os.environ.get(RUN_FOLDER_VARIABLE, config.log_dir))
    name = run_name(choices, overrides, config.seed)
    folder = create_run_folder(Path(config.log_dir) / experiment_name(config, choices), name)
    os.environ[RUN_FOLDER_VARIABLE] = str(folder)
    return folder
