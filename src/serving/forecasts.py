"""Forecasts from a file or from standard input, by a run's predictor."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from src.data.reading.checks import say_date, step_of
from src.data.reading.sources import BAR_COLUMNS, PriceTable, ReadOptions, load_prices
from src.runs.opening import open_run
from src.runs.predictor import Predictor
from src.serving.prices import STDIN, parse_series


def forecasts(
    ckpt_path: str,
    path: str | None = None,
    reading: ReadOptions | None = None,
    windows: str | int = "last",
    level: float = 0.9,
) -> dict[str, Any]:
    """Forecast the day after each window.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        path: a price file; None for prices on standard input.
        reading: what the file does not say itself.
        windows: last, all, or how many, counted from the end.
        level: share of days that the interval should cover.

    Returns:
        Plain values: `forecasts`, a dict for each window, and how the intervals fared on the run's
        test part.

    Raises:
        ValueError: the run, the prices or an option cannot be used.
    """
    last = _number_of_windows(windows)
    torch.set_num_threads(1)
    predictor = open_run(ckpt_path).predictor
    rows: list[dict[str, Any]] = []
    for days, table in _tables(predictor, path, reading or ReadOptions()):
        shown = predictor.windows_of_table(table, last)
        done = predictor.forecast(shown, level)
        closes, first = table.close, len(table.close) - len(shown.closes)
        for n, day in enumerate(days[first:]):
            after = first + n + 1
            interval = None if done.interval is None else done.interval[n].tolist()
            rows.append(
                {
                    "last_day": day,
                    "last_price": float(done.last_price[n]),
                    "predicted_price": float(done.predicted_price[n]),
                    "baseline": float(done.last_price[n]),
                    "interval": interval,
                    "price": float(closes[after]) if after < len(closes) else None,
                }
            )
    return {
        "run": ckpt_path,
        "step": step_of(predictor.facts.frequency or "daily"),
        **_calibration(predictor, level),
        "forecasts": rows,
    }


def _tables(
    predictor: Predictor, path: str | None, reading: ReadOptions
) -> list[tuple[list[Any], PriceTable]]:
    """Return the prices, a table for each series, with the name of every day."""
    if path is None:
        if sys.stdin.isatty():
            raise ValueError("no prices: give data.path=prices.csv, or prices on standard input")
        return [_undated(predictor, closes) for closes in parse_series(sys.stdin.read())]
    is_bars = predictor.facts.features == "bars"
    table = load_prices(
        path=path,
        columns=BAR_COLUMNS if is_bars else ("close",),
        options=replace(reading, signed=predictor.facts.takes_any_price),
    )
    return [([say_date(day, table.frequency) for day in table.dates], table)]


def _undated(predictor: Predictor, closes: np.ndarray) -> tuple[list[Any], PriceTable]:
    """Return a series of closes alone, its days numbered from 1."""
    if predictor.facts.input_scaling is None:
        predictor.windows_of_closes(closes[None])  # says what a run on bars needs
    no_dates = np.zeros(len(closes), dtype="datetime64[s]")
    return list(range(1, len(closes) + 1)), PriceTable(STDIN, no_dates, {"close": closes}, 1)


def _number_of_windows(windows: Any) -> int | None:
    if windows in ("last", "all"):
        return 1 if windows == "last" else None
    if not isinstance(windows, int) or isinstance(windows, bool) or windows < 1:
        raise ValueError(f"windows must be last, all or a number of at least 1, got {windows!r}")
    return windows


def _calibration(predictor: Predictor, level: float) -> dict[str, Any]:
    calibration = predictor.calibration
    if calibration is None:
        return {"level": None, "coverage": None}
    coverage = {"test": calibration.coverage(level), "windows": len(calibration.test)}
    return {"level": level, "coverage": coverage}
