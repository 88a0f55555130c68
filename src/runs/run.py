"""One run from a composed config to a finished run folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from rich.console import Console

from src.board.run_page import RunPage
from src.data import PriceDataModule
from src.models.contract import PARTS, parts_used
from src.reporting.run_tables import score_table
from src.runs.allocator import keep_freed_memory
from src.runs.build import (
    build_callbacks,
    build_datamodule,
    build_module,
    build_trainer,
    schedule_of,
)
from src.runs.calibration import write_calibration
from src.runs.checkpoint import load_checkpoint
from src.runs.folder import (
    RUN_FOLDER_VARIABLE,
    create_run_folder,
    find_checkpoint,
    run_name,
)
from src.runs.record import (
    best_so_far,
    callback_reports,
    count_parameters,
    first_report,
    is_first_process,
    recorded,
    scores_report,
    write_forecasts,
)
from src.runs.terminal import log_to_file, log_to_terminal, print_header
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
    console = Console()
    pl.seed_everything(config.seed, verbose=False)
    datamodule = build_datamodule(config)
    module = build_module(config, datamodule)
    choices = effective_choices(choices, module)
    resume_from = find_checkpoint(Path(config.ckpt_path), "last") if config.ckpt_path else None
    folder = _run_folder(config, choices, overrides)
    try:
        trainer = build_trainer(config, build_callbacks(config, module, datamodule, folder), folder)
    except ValueError:
        folder.rmdir()
        raise
    log_to_file(folder)
    print_header(console, datamodule.describe(), count_parameters(module), choices)
    report = first_report(config, choices, folder, datamodule, module)
    module.example_input_array = torch.zeros(1, datamodule.context_length, datamodule.num_features)
    with RunPage(trainer, report, overrides) as page, recorded(folder, report):
        _fit(trainer, module, datamodule, resume_from)
        report |= {"best": best_so_far(trainer), "validation": module.validation}
        report |= {"truth": truth} if (truth := datamodule.truth()) else {}
        trainer.test(module, datamodule=datamodule, verbose=False)
        report["test"] = scores_report(module)
        report |= callback_reports(trainer)
        write_forecasts(folder, module, datamodule)
        rank_zero_only(write_calibration)(folder, module, datamodule)
        days = [datamodule.dates[int(row["row"])] for row in module.forecasts]
        page.show_forecasts(days, module.forecasts)
    if trainer.is_global_zero:
        console.print(score_table(module.scores["model"], module.scores["baseline"]))
        console.print(f"run folder: {folder}", soft_wrap=True, highlight=False)
    return report["best"].get("val_loss")


def _run_folder(config: DictConfig, choices: Mapping[str, Any], overrides: list[str]) -> Path:
    """Make the run's folder; the other processes of a distributed run get the first one's."""
    if not is_first_process():
        return Path(os.environ.get(RUN_FOLDER_VARIABLE, config.log_dir))
    name = run_name(choices, overrides, config.seed)
    folder = create_run_folder(Path(config.log_dir) / experiment_name(config, choices), name)
    os.environ[RUN_FOLDER_VARIABLE] = str(folder)
    return folder


def experiment_name(config: DictConfig, choices: Mapping[str, Any]) -> str:
    """Return the folder below lightning_logs: the name given, the preset, or <data>_<model>."""
    preset = choices.get("experiment")
    if config.name:
        return str(config.name)
    return str(preset) if preset else f"{choices['data']}_{choices['model']}"


def effective_choices(choices: Mapping[str, Any], module: RegressionModule) -> dict[str, Any]:
    """Return the choices that matter: groups that the model does not use have none.

    Args:
        choices: config groups and the option chosen in each.
        module: what was built of them.
    """
    without = set(PARTS - parts_used(module.model))
    if "pooling" in without:
        without.add("pooling_prior")
    if not any(p.requires_grad for p in module.parameters()):
        without.add("optimizer")
    return {group: None if group in without else option for group, option in choices.items()}


def _fit(
    trainer: pl.Trainer,
    module: RegressionModule,
    datamodule: PriceDataModule,
    resume_from: Path | None,
) -> None:
    """Train, then put the best weights into the module."""
    if not any(p.requires_grad for p in module.parameters()):
        trainer.validate(module, datamodule=datamodule, verbose=False)
        return
    trainer.fit(module, datamodule=datamodule, ckpt_path=resume_from)
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if best:
        checkpoint = load_checkpoint(Path(best))
        module.load_state_dict(checkpoint["state_dict"])
        if schedule := schedule_of(datamodule):
            schedule.step = checkpoint["global_step"]
