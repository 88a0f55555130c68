"""What a run leaves behind: a report that is always true, and the test part's forecasts."""

import csv
import io
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from src.board.pictures import DRAWN, PRICE, forecast_figure, write_picture
from src.board.story import story_figure
from src.data import PriceDataModule
from src.data.identity import identity_of
from src.data.reading.checks import say_date, step_of
from src.files import write_json, write_text
from src.reporting.score_tables import ratio
from src.runs import stopping
from src.runs.calibration import Calibration, rows_shown
from src.runs.checkpoint import load_checkpoint
from src.runs.folder import CONFIG, FORECAST_PICTURE, FORECASTS, REPORT, STORY_PICTURE, remove_empty
from src.runs.resuming import Resumption
from src.training.module import RegressionModule

SHOWN_LEVEL = 0.9
MOST_PICTURES = 12
"""Of several series: each picture takes a second."""
"""Share of days that the intervals of forecast.png should cover."""
VALIDATION_LOSS = "val/loss"
DIVERGED = 1e3
"""Times the loss of a constant forecast from which on a training is said to have diverged."""


def first_report(
    config: DictConfig,
    choices: Mapping[str, Any],
    folder: Path,
    datamodule: PriceDataModule,
    module: RegressionModule,
) -> dict[str, Any]:
    """Return the report of a run that is about to start."""
    return {
        "status": "running",
        "experiment": folder.parent.name,
        "run": folder.name,
        "seed": config.seed,
        "choices": dict(choices),
        "config": OmegaConf.to_container(config, resolve=True),
        "data": {**datamodule.describe(), "sha256": identity_of(datamodule.tables)["sha256"]},
        "parameters": count_parameters(module),
        "environment": environment(),
    }


def going_on_report(goes_on: Resumption, report: dict[str, Any]) -> dict[str, Any]:
    """Return the report of a run that goes on: what is the same, and each time it went on."""
    earlier = goes_on.report
    again = {
        "epoch": goes_on.state.get("epoch", 0),
        "batch": goes_on.state.get("batch", 0),
        "after": earlier.get("status"),
        "changes": list(goes_on.changes),
        "environment": report["environment"],
    }
    return report | {
        "environment": earlier.get("environment", report["environment"]),
        "resumed": [*earlier.get("resumed", ()), again],
        "duration_s": earlier.get("duration_s", 0.0),
    }


def divergence(report: Mapping[str, Any], datamodule: PriceDataModule) -> str | None:
    """Return what to say of a training that ended far from anything useful; None of any other."""
    loss = report["best"]["val_loss"]
    constant = float(datamodule.datasets["val"].y.double().square().mean())
    if loss is None or loss <= DIVERGED * constant:
        return None
    lr = (report["config"].get("optimizer") or {}).get("lr")
    return (
        f"the training diverged: its best validation loss is {loss:.3g}, that of a constant "
        f"forecast {constant:.3g}; try a smaller optimizer.lr than {lr}"
    )


def ended_by(trainer: pl.Trainer) -> str:
    """Return what ended a training: early stopping, with its reason, or its length."""
    for callback in trainer.early_stopping_callbacks if trainer.should_stop else ():
        passed, best = callback.wait_count, float(callback.best_score)
        beyond = f"{callback.monitor} {'above' if callback.mode == 'max' else 'below'} {best:.6g}"
        return f"early stopping: {passed} validations without a {beyond}"
    if trainer.should_stop:
        return "a callback"
    steps = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    return "trainer.max_steps" if steps else "trainer.max_epochs"


def count_parameters(module: RegressionModule) -> int:
    """Return how many numbers the model has."""
    return sum(p.numel() for p in module.model.parameters())


def is_first_process() -> bool:
    """Return whether this process writes the run's files."""
    return getattr(rank_zero_only, "rank", 0) == 0


@contextmanager
def recorded(folder: Path, report: dict[str, Any]) -> Iterator[None]:
    """Keep report.json true: running, then finished, failed with its reason, or interrupted."""
    write = rank_zero_only(write_json)
    if is_first_process():
        write_text(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(report["config"])))
    started, before = time.monotonic(), report.get("duration_s", 0.0)
    try:
        write(folder / REPORT, report)
        yield
        report["status"] = "finished"
    except SIGTERMException:
        # Lightning's exception would end the process with exit code 0.
        report |= {"status": "interrupted", "reason": "SIGTERM"}
        raise SystemExit(128 + signal.SIGTERM) from None
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning answers Ctrl-C with exit code 1; outside a fit a signal comes with its own.
        code = getattr(error, "code", None)
        stopped = signal.SIGTERM if code == 128 + signal.SIGTERM else signal.SIGINT
        report |= {"status": "interrupted", "reason": stopped.name}
        raise SystemExit(128 + stopped) from None
    except BaseException as error:
        if stopping.received is not None:  # a library made an error of its own of the exit
            report |= {"status": "interrupted"}
            report |= {"reason": signal.Signals(stopping.received).name}
            stopping.check()
        report |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        raise
    finally:
        report["duration_s"] = round(before + time.monotonic() - started, 2)
        with stopping.held_back():
            write(folder / REPORT, report)


@contextmanager
def ended(folder: Path, report: dict[str, Any], kept: Path) -> Iterator[None]:
    """Let no run be `finished` whose last records did not reach the disk.

    A run whose report could not even be begun leaves nothing: no folder below `kept`.

    Raises:
        OSError: naming the folder where the error names no file, as that of a full disk.
    """
    try:
        yield
    except OSError as error:
        reached = OSError(error.errno, error.strerror, error.filename or str(folder))
        if report["status"] == "finished":
            report |= {"status": "failed", "reason": f"OSError: {reached}"}
            with suppress(OSError):
                rank_zero_only(write_json)(folder / REPORT, report)
        raise reached from None
    finally:
        if is_first_process() and not (folder / REPORT).exists():
            shutil.rmtree(folder, ignore_errors=True)
            remove_empty(folder, kept)


def best_so_far(run: pl.Trainer, module: RegressionModule) -> dict[str, Any]:
    """Return the best score and its validation loss, its checkpoint, and how long was trained."""
    checkpoint = run.checkpoint_callback
    monitor = getattr(checkpoint, "monitor", None) or VALIDATION_LOSS
    score = getattr(checkpoint, "best_model_score", None)
    best = score if score is not None else run.callback_metrics.get(monitor)
    path = getattr(checkpoint, "best_model_path", None) or None
    loss = best if monitor == VALIDATION_LOSS else _loss_of(path, module)
    return {
        "val_loss": float(loss) if loss is not None else None,
        "monitor": monitor,
        "score": float(best) if best is not None else None,
        "steps_trained": run.global_step,
        "epochs_trained": run.current_epoch,
        "checkpoint": path,
    }


def _loss_of(path: str | None, module: RegressionModule) -> float | None:
    """Return the validation loss of a checkpoint; without one, the last."""
    losses = {int(point["step"]): point["loss"] for point in module.validation}
    step = load_checkpoint(Path(path))["global_step"] if path else max(losses, default=0)
    return losses.get(step)


def scores_report(module: RegressionModule, datamodule: PriceDataModule) -> dict[str, Any]:
    """Return the test scores of the model, of the forecast without a model, and their ratio.

    Those of several series over all of them, and under `series` those of each by its ticker; of a
    horizon over all its steps, and under `steps` those of each.
    """
    report = _with_ratio(module.scores)
    if datamodule.series:
        report["series"] = {
            ticker: _scores_of(rows, module)
            for ticker, rows in forecasts_by_series(module, datamodule).items()
        }
    if any("step" in row for row in module.forecasts[:1]):
        steps = sorted({row["step"] for row in module.forecasts})
        report["steps"] = {
            f"{step:.0f}": _scores_of([r for r in module.forecasts if r["step"] == step], module)
            for step in steps
        }
    return report


def _with_ratio(scores: Mapping[str, dict[str, float]]) -> dict[str, Any]:
    model, baseline = scores["model"], scores["baseline"]
    ratios = {name: ratio(model[name], baseline[name]) for name in model}
    return {"model": model, "baseline": baseline, "ratio": ratios}


def _scores_of(rows: Sequence[Mapping[str, float]], module: RegressionModule) -> dict[str, Any]:
    metrics = module.task.metrics()
    reference, actual, forecast = (
        torch.tensor([[row[key]] for row in rows], dtype=torch.double)
        for key in module.task.columns
    )
    metrics.update(forecast, reference, actual)
    return _with_ratio(metrics.compute()) | {"windows": len(rows)}


def forecasts_by_series(
    module: RegressionModule, datamodule: PriceDataModule
) -> dict[str, list[dict[str, float]]]:
    """Return the latest test's forecasts by ticker, those of one series under ""."""
    names = datamodule.series or ("",)
    rows = np.array([row["row"] for row in module.forecasts])
    parts: dict[str, list[dict[str, float]]] = {}
    for row, number in zip(module.forecasts, datamodule.series_of(rows), strict=True):
        parts.setdefault(names[number], []).append(row)
    return parts


def callback_reports(trainer: pl.Trainer) -> dict[str, Any]:
    """Merge what the callbacks that have a `report()` say, each under names of its own."""
    merged: dict[str, Any] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "report"):
            merged |= callback.report()
    return merged


@rank_zero_only
def write_forecasts(folder: Path, module: RegressionModule, datamodule: PriceDataModule) -> None:
    """Write the test part's forecasts, a row a window, of a horizon a row for each of its steps.

    Columns: `ticker` of several series; `date`, the first bar that is forecast; of a horizon
    `step`, from 1; then what is forecast without a model, what came, and the model's forecast, in
    price units, variances of a bar, or shares.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    several = ["ticker"] if datamodule.series else []
    numbers = [key for key in module.forecasts[0] if key != "row"]
    writer.writerow([*several, "date", *numbers])
    for ticker, rows in forecasts_by_series(module, datamodule).items():
        for row in rows:
            date = say_date(datamodule.dates[int(row["row"])], datamodule.frequency)
            words = [ticker, date] if several else [date]
            writer.writerow([*words, *(f"{row[key]:.10g}" for key in numbers)])
    write_text(folder / FORECASTS, text.getvalue())


def draw_forecasts(
    folder: Path,
    module: RegressionModule,
    datamodule: PriceDataModule,
    calibration: Calibration | None,
) -> dict[str, Tensor]:
    """Draw the test part into forecast.png, of several series the first, with intervals if any.

    Returns:
        The picture (3, height, width), uint8, under ""; of several series one each by ticker.
    """
    pictures: dict[str, Tensor] = {}
    drawn = DRAWN.get(datamodule.target, PRICE)
    for ticker, every in list(forecasts_by_series(module, datamodule).items())[:MOST_PICTURES]:
        # Of a horizon the last step: a fan of each window would be a cloud.
        last = int(every[-1].get("step", 1))
        part = [row for row in every if row.get("step", 1) == last]
        before, came, forecast = (
            np.array([row[key] for row in part]) for key in module.task.columns
        )
        interval = None
        if calibration is not None:
            rows = torch.tensor([int(row["row"]) for row in part])
            closes = datamodule.closes[rows_shown(rows, datamodule.context_length)]
            with suppress(ValueError):  # too few validation windows for so wide an interval
                interval = calibration.of_step(last).interval(forecast, closes, SHOWN_LEVEL)
        dates = datamodule.dates[[int(row["row"]) for row in part]]
        step = step_of(datamodule.frequency)
        pictures[ticker] = forecast_figure(
            dates, before, came, forecast, interval, step, ticker, drawn
        )
    write_picture(folder / FORECAST_PICTURE, next(iter(pictures.values())))
    return pictures


def draw_story(folder: Path, report: Mapping[str, Any]) -> Tensor:
    """Draw the run's course into story.png and return the picture (3, height, width), uint8."""
    picture = story_figure(report)
    write_picture(folder / STORY_PICTURE, picture)
    return picture


def thinned(points: Sequence[Any], most: int = 256) -> list[Any]:
    """Return at most so many points, at even distances, the last one among them.

    >>> thinned(range(10), most=4)
    [0, 3, 6, 9]
    """
    stride = -(-len(points) // most) or 1
    return list(points[(len(points) - 1) % stride :: stride])


def environment() -> dict[str, Any]:
    """Return what a result depends on besides its config: commit, versions, machine."""
    packages = ("torch", "lightning", "hydra-core", "torchmetrics", "numpy", "arch", "TA-Lib")
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "machine": {"system": platform.platform(), "cpu_count": os.cpu_count()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
