"""What report.json says of intervals: the model's own, and the conformal ones, on the test part."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch

from src.data import PriceDataModule
from src.reporting.distribution import LEVELS, judge, judge_quantiles
from src.runs.calibration import Calibration, rows_shown
from src.training.module import RegressionModule


def interval_report(
    module: RegressionModule, datamodule: PriceDataModule, calibration: Calibration | None
) -> dict[str, Any]:
    """Return how intervals did on the latest test, as plain values.

    Args:
        module: with the forecasts of that test.
        datamodule: its data.
        calibration: the errors that make conformal intervals, if any.

    Returns:
        `conformal`: by level, as `judge` says, where there is a calibration; `own`, as
        `judge_quantiles` says, where the model forecasts a distribution; by step under `steps`,
        where there are several.
    """
    rows, levels = module.forecasts, module.output.levels
    _, came, forecast = (_column(rows, name) for name in module.task.columns)
    index = _column(rows, "row").astype(int)
    step = _column(rows, "step").astype(int) if "step" in rows[0] else np.ones(len(rows), int)
    years = datamodule.dates[index].astype("datetime64[Y]").astype(str)
    quantiles = np.array([[row[f"q{level:g}"] for level in levels] for row in rows])
    ends = {} if calibration is None else _conformal(calibration, datamodule, index, step, forecast)

    def judged(of: np.ndarray) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if ends:
            parts["conformal"] = judge({k: v[of] for k, v in ends.items()}, came[of], years[of])
        if levels:
            parts["own"] = judge_quantiles(quantiles[of], came[of], levels, years[of])
        return parts

    report = judged(np.ones(len(rows), bool))
    if report and step.max() > 1:
        report["steps"] = {str(one): judged(step == one) for one in np.unique(step)}
    return report


def _conformal(
    calibration: Calibration,
    datamodule: PriceDataModule,
    index: np.ndarray,
    step: np.ndarray,
    forecast: np.ndarray,
) -> dict[float, np.ndarray]:
    """Return the ends (N, 2) by level, those that so few validation windows allow."""
    ends: dict[float, np.ndarray] = {}
    closes = datamodule.closes[rows_shown(torch.from_numpy(index), datamodule.context_length)]
    for level in LEVELS:
        with suppress(ValueError):
            own = np.empty((len(forecast), 2))
            for one in np.unique(step):
                of = step == one
                errors = calibration.of_step(int(one))
                own[of] = errors.interval(forecast[of], closes[of], level)
            ends[level] = own
    return ends


def _column(rows: list[dict[str, float]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows])
