"""One run from a composed config to a finished run folder."""

import csv
import logging
import os
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from src.build import build_callbacks, build_datamodule, build_module, build_trainer
from src.data import PriceDataModule
from src.reporting.scores import ratio, score_table
from src.training.allocator import keep_freed_memory
from src.training.checkpoint import load_checkpoint
from src.training.module import RegressionModule
from src.training.run_folder import (
    CONFIG,
    create_run_folder,
    environment,
    find_checkpoint,
    run_name,
    write_report,
)

_FOLDER_OF_RANK_ZERO = "PRICE_MODELS_RUN_FOLDER"


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
    _log_to_terminal()
    console = Console()
    pl.seed_everything(config.seed, verbose=False)
    datamodule = build_datamodule(config)
    module = build_module(config, datamodule)
    choices = effective_choices(choices)
    resume_from = find_checkpoint(Path(config.ckpt_path), "last") if config.ckpt_path else None
    folder = _run_folder(config, choices, overrides)
    try:
        trainer = build_trainer(config, build_callbacks(config, module, folder), folder)
    except ValueError:
        folder.rmdir()
        raise
    _log_to_file(folder)
    _print_header(console, datamodule, module, choices)
    report = _first_report(config, choices, folder, datamodule, module)
    with _recorded(folder, report):
        _fit(trainer, module, datamodule, resume_from)
        report["best"] = _best(trainer)
        trainer.test(module, datamodule=datamodule, verbose=False)
        report["test"] = _test_report(module)
        report |= _callback_reports(trainer)
        _log_hyperparameters(trainer, config, choices, module)
        _write_forecasts(folder, module, datamodule)
    if trainer.is_global_zero:
        console.print(score_table(**module.scores))
        console.print(f"run folder: {folder}", soft_wrap=True, highlight=False)
    return report["best"].get("val_loss")


def _run_folder(config: DictConfig, choices: Mapping[str, Any], overrides: list[str]) -> Path:
    """Make the run's folder; the other processes of a distributed run get the first one's."""
    if rank_zero_only.rank:
        return Path(os.environ.get(_FOLDER_OF_RANK_ZERO, config.log_dir))
    name = run_name(choices, overrides, config.seed)
    folder = create_run_folder(Path(config.log_dir) / experiment_name(config, choices), name)
    os.environ[_FOLDER_OF_RANK_ZERO] = str(folder)
    return folder


def experiment_name(config: DictConfig, choices: Mapping[str, Any]) -> str:
    """Return the folder below lightning_logs: the name given, the preset, or <data>_<model>."""
    preset = choices.get("experiment")
    if config.name:
        return str(config.name)
    return str(preset) if preset else f"{choices['data']}_{choices['model']}"


def effective_choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices that matter: a baseline has no pooling, the naive one learns nothing.

    >>> effective_choices({"model": "linear", "pooling": "mean", "norm": "layer"})
    {'model': 'linear', 'pooling': None, 'norm': 'layer'}
    """
    without = {
        "linear": {"pooling", "pooling_prior"},
        "naive": {"pooling", "pooling_prior", "norm", "dropout", "optimizer"},
    }.get(str(choices.get("model")), set())
    return {group: None if group in without else option for group, option in choices.items()}


def _log_to_terminal() -> None:
    """Send log records to the terminal once, in plain words; Lightning's from warnings up."""
    # torch 2.13 deprecates a check that Lightning 2.6 makes at every start.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        lightning_log = logging.getLogger(name)
        lightning_log.handlers.clear()
        lightning_log.propagate = True
        lightning_log.setLevel(logging.WARNING)
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(logging.INFO)
    root.addHandler(logging.StreamHandler())


@rank_zero_only
def _log_to_file(folder: Path) -> None:
    file = logging.FileHandler(folder / "train.log")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(file)


@rank_zero_only
def _print_header(
    console: Console,
    datamodule: PriceDataModule,
    module: RegressionModule,
    choices: Mapping[str, Any],
) -> None:
    parts = ("data", "model", "pooling", "pooling_prior", "norm", "dropout", "optimizer")
    chosen = [f"[bold]{part}[/]={choices[part]}" for part in parts if choices.get(part)]
    console.print(" ".join(chosen), highlight=False, soft_wrap=True)
    facts = datamodule.describe()
    shape = f"{facts['context_length']} steps x {facts['num_features']} features"
    console.print(f"{facts['data']}: windows of {shape}; {_count(module):,} parameters")
    for split in ("train", "val", "test"):
        part = facts[split]
        console.print(f"  {split:5} {part['first']} to {part['last']}, {part['windows']:,} windows")


def _count(module: RegressionModule) -> int:
    return sum(p.numel() for p in module.model.parameters())


def _first_report(
    config: DictConfig,
    choices: Mapping[str, Any],
    folder: Path,
    datamodule: PriceDataModule,
    module: RegressionModule,
) -> dict[str, Any]:
    return {
        "status": "running",
        "experiment": folder.parent.name,
        "run": folder.name,
        "seed": config.seed,
        "choices": dict(choices),
        "config": OmegaConf.to_container(config, resolve=True),
        "data": datamodule.describe(),
        "parameters": _count(module),
        "environment": environment(),
    }


@contextmanager
def _recorded(folder: Path, report: dict[str, Any]) -> Iterator[None]:
    """Keep report.json true: running, then finished, failed with its reason, or interrupted."""
    write = rank_zero_only(write_report)
    if not rank_zero_only.rank:
        OmegaConf.save(OmegaConf.create(report["config"]), folder / CONFIG)
    write(folder, report)
    started = time.monotonic()
    try:
        yield
        report["status"] = "finished"
    except SIGTERMException:
        # Lightning's exception would end the process with exit code 0.
        report |= {"status": "interrupted", "reason": "SIGTERM"}
        raise SystemExit(128 + signal.SIGTERM) from None
    except (KeyboardInterrupt, SystemExit):
        report |= {"status": "interrupted", "reason": "SIGINT"}
        raise SystemExit(128 + signal.SIGINT) from None
    except BaseException as error:
        report |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        raise
    finally:
        report["duration_s"] = round(time.monotonic() - started, 2)
        write(folder, report)


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
        module.load_state_dict(load_checkpoint(Path(best))["state_dict"])


def _best(trainer: pl.Trainer) -> dict[str, Any]:
    checkpoint = trainer.checkpoint_callback
    score = getattr(checkpoint, "best_model_score", None)
    loss = score if score is not None else trainer.callback_metrics.get("val/loss")
    return {
        "val_loss": float(loss) if loss is not None else None,
        "steps_trained": trainer.global_step,
        "epochs_trained": trainer.current_epoch,
        "checkpoint": getattr(checkpoint, "best_model_path", None) or None,
    }


def _test_report(module: RegressionModule) -> dict[str, Any]:
    model, baseline = module.scores["model"], module.scores["baseline"]
    ratios = {name: ratio(model[name], baseline[name]) for name in model}
    return {"model": model, "baseline": baseline, "ratio": ratios}


def _callback_reports(trainer: pl.Trainer) -> dict[str, Any]:
    """Merge what the callbacks that have a `report()` say, each under names of its own."""
    merged: dict[str, Any] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "report"):
            merged |= callback.report()
    return merged


@rank_zero_only
def _log_hyperparameters(
    trainer: pl.Trainer, config: DictConfig, choices: Mapping[str, Any], module: RegressionModule
) -> None:
    """Give TensorBoard's HParams page one row: what users compare, and the scores."""
    groups = ("data", "model", "pooling", "pooling_prior", "norm", "dropout", "optimizer")
    compared = {group: str(choices.get(group)) for group in groups}
    lr = config.optimizer.get("lr", 0.0)
    scores = {f"hparam/test_{name}": value for name, value in module.scores["model"].items()}
    for logger in trainer.loggers:
        if isinstance(logger, pl.loggers.TensorBoardLogger):
            logger.log_hyperparams(compared | {"lr": lr, "seed": config.seed}, scores)


@rank_zero_only
def _write_forecasts(folder: Path, module: RegressionModule, datamodule: PriceDataModule) -> None:
    """Write the test part's forecasts, a row a day, prices in price units."""
    with (folder / "forecasts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "last_price", "price", "predicted_price"])
        for row in module.forecasts:
            date = str(datamodule.dates[int(row["row"])])[:10]
            prices = (row["last_price"], row["price"], row["predicted_price"])
            writer.writerow([date, *(f"{price:.10g}" for price in prices)])
