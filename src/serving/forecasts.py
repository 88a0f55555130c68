"""Forecasts from a file or from standard input, by a run's predictor."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from src.data.reading.checks import say_date, step_of
from src.data.reading.several import ALL, load_series
from src.data.reading.sources import BAR_COLUMNS, PriceTable, ReadOptions
from src.runs.calibration import Calibration
from src.runs.opening import Run, open_run
from src.runs.predictor import Predictor
from src.serving.prices import STDIN, parse_series

KEY = "data.ticker"


def forecasts(
    ckpt_path: str,
    path: str | Sequence[str] | None = None,
    reading: ReadOptions | None = None,
    windows: str | int = "last",
    level: float = 0.9,
) -> dict[str, Any]:
    """Forecast the day after each window.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        path: a price file, of a run on several series also files; None for standard input.
        reading: what the file does not say itself.
        windows: last, all, or how many, counted from the end.
        level: share of days that the interval should cover.

    Returns:
        Plain values: `forecasts`, a dict for each window, `warnings` of what is odd in the prices,
        and how the intervals fared on the run's test part.

    Raises:
        ValueError: the run, the prices or an option cannot be used.
    """
    last = _number_of_windows(windows)
    torch.set_num_threads(1)
    run = open_run(ckpt_path)
    run.refuse_made_up_bars()
    rows: list[dict[str, Any]] = []
    warnings: list[str] = []
    for predictor, days, table in _tables(run, path, reading or ReadOptions()):
        name = {"ticker": table.ticker} if run.facts.series else {}
        shown = predictor.windows_of_table(table, last)
        done = predictor.forecast(shown, level)
        whose = f"{table.ticker}: " if name else ""
        warnings += [f"{whose}{w.kind}: {w.text}" for w in table.warnings]
        closes, first = table.close, len(table.close) - len(shown.closes)
        for n, day in enumerate(days[first:]):
            after = first + n + 1
            interval = None if done.interval is None else done.interval[n].tolist()
            rows.append(
                {
                    **name,
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
        "step": step_of(run.facts.frequency or "daily"),
        **_calibration(run.calibration, level),
        "warnings": warnings,
        "forecasts": rows,
    }


def _tables(
    run: Run, path: str | Sequence[str] | None, reading: ReadOptions
) -> list[tuple[Predictor, list[Any], PriceTable]]:
    """Return the prices, a table for each series, with what forecasts it and every day's name."""
    if path is None:
        if sys.stdin.isatty():
            raise ValueError("no prices: give data.path=prices.csv, or prices on standard input")
        predictor = run.predictor_of(reading.ticker, KEY)
        series = parse_series(sys.stdin.read())
        undated = [_undated(predictor, closes) for closes in series]
        return [(predictor, days, replace(t, ticker=reading.ticker)) for days, t in undated]
    facts = run.facts
    columns = BAR_COLUMNS if facts.features == "bars" else ("close",)
    options = replace(reading, signed=facts.takes_any_price, extra=facts.extra_names)
    if facts.series:
        tables = _known(run, path, columns, options)
    else:
        tables = load_series("", path, None, columns=columns, options=options)
        if len(tables) > 1:
            raise ValueError(f"data.path: {len(tables)} files, this run takes one")
    return [
        (
            run.predictor_of(table.ticker, KEY),
            [say_date(day, table.frequency) for day in table.dates],
            table,
        )
        for table in tables
    ]


def _known(
    run: Run, path: str | Sequence[str], columns: Sequence[str], options: ReadOptions
) -> Sequence[PriceTable]:
    """Return the series of files that a run on several was trained on, or the one asked for."""
    ticker, names = options.ticker, run.facts.series
    wanted = names if ticker is None else (ticker,)
    options = replace(options, ticker=None, tickers=wanted)
    tables = load_series("", path, ALL, columns=columns, options=options)
    if not tables and ticker is not None:
        # A file that does not say what it holds: the user does.
        every = load_series("", path, ALL, columns=columns, options=replace(options, tickers=()))
        tables = tuple(replace(table, ticker=ticker) for table in every if len(every) == 1)
    if not tables:
        raise ValueError(
            f"{path}: found none of {', '.join(wanted[:20])}; "
            f"{KEY}={names[0]} takes prices for those of {names[0]}"
        )
    return tables


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


def _calibration(calibration: Calibration | None, level: float) -> dict[str, Any]:
    if calibration is None:
        return {"level": None, "coverage": None}
    coverage = {"test": calibration.coverage(level), "windows": len(calibration.test)}
    return {"level": level, "coverage": coverage}
