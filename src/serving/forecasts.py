"""Forecasts from a file or from standard input, by a run's predictor."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch

from src.data.features.variance import bar_variance
from src.data.reading.checks import say_date, step_of
from src.data.reading.several import ALL, load_series
from src.data.reading.sources import BAR_COLUMNS, PriceTable, ReadOptions
from src.data.targets import Target
from src.runs.calibration import Calibration
from src.runs.opening import Run, open_run
from src.runs.predictor import Predictor, Windows
from src.serving.prices import STDIN, parse_series

KEY = "data.ticker"
BARS_A_YEAR = {"daily": 252, "weekly": 52, "monthly": 12}
"""Where bars come so often that a year's volatility is spoken of."""


def forecasts(
    ckpt_path: str,
    path: str | Sequence[str] | None = None,
    reading: ReadOptions | None = None,
    windows: str | int = "last",
    level: float = 0.9,
    history: int = 0,
) -> dict[str, Any]:
    """Forecast what comes after each window.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        path: a price file, of a run on several series also files; None for standard input, and
            where that is empty or a terminal for the run's own series.
        reading: what the file does not say itself.
        windows: last, all, or how many, counted from the end.
        level: share of days that the interval should cover.
        history: how many of the latest bars before the last window's end to return, by ticker.

    Returns:
        Plain values: `forecasts`, a dict for each window and step, `warnings` of what is odd in the
        prices, and how the intervals fared on the run's test part.

    Raises:
        ValueError: the run, the prices or an option cannot be used.
    """
    last = _number_of_windows(windows)
    torch.set_num_threads(1)
    run = open_run(ckpt_path)
    run.refuse_made_up_bars()
    rows: list[dict[str, Any]] = []
    warnings: list[str] = []
    shown_before: dict[str, list[float]] = {}
    for predictor, days, table in _tables(run, path, reading or ReadOptions()):
        name = {"ticker": table.ticker} if run.facts.series else {}
        windows_of = predictor.windows_of_table(table, last)
        whose = f"{table.ticker}: " if name else ""
        warnings += [f"{whose}{w.kind}: {w.text}" for w in table.warnings]
        rows += [name | row for row in _rows(run, predictor, windows_of, level, days, table)]
        if history:
            shown_before[str(table.ticker or "")] = _latest(predictor, table, history)
    own = run.module.output.levels
    return {
        "run": ckpt_path,
        "step": step_of(run.facts.frequency or "daily"),
        "target": run.facts.target.kind,
        "horizon": run.facts.horizon,
        "bars_a_year": BARS_A_YEAR.get(run.facts.frequency or ""),
        **({"level": level, "coverage": None} if own else _calibration(run.calibration, level)),
        "warnings": warnings,
        "forecasts": rows,
        **({"history": shown_before} if history else {}),
    }


def _rows(
    run: Run,
    predictor: Predictor,
    windows: Windows,
    level: float,
    days: Sequence[Any],
    table: PriceTable,
) -> Iterator[dict[str, Any]]:
    """Yield what is forecast after each window, a dict for each step, and what came where known."""
    done, target = predictor.forecast_bars(windows, level), run.facts.target
    before, came, predicted = run.module.task.columns
    first = len(table) - len(windows.closes)
    for n, k in product(*map(range, done.forecast.shape)):
        bars = k + 1 if target.is_price else target.horizon
        reference = float(windows.reference[n, 0])
        yield {
            "last_day": days[first + n],
            **({"step": bars} if target.horizon > 1 and target.is_price else {}),
            before: reference,
            predicted: float(done.forecast[n, k]),
            "baseline": reference,
            "interval": None if done.interval is None else done.interval[n, k].tolist(),
            came: _came(target, table, first + n, bars),
            "quantiles": {f"{tail:g}": float(own[n, k]) for tail, own in done.quantiles.items()},
        }


def _came(target: Target, table: PriceTable, row: int, bars: int) -> float | None:
    """Return what came so many bars after a row; None where nobody knows yet."""
    if row + bars >= len(table):
        return None
    if target.is_volatility:
        variance = bar_variance(table.columns, target.estimator)
        return float(variance[row + 1 : row + bars + 1].mean())
    price = float(table.close[row + bars])
    return float(price > table.close[row]) if target.kind == "direction" else price


def _latest(predictor: Predictor, table: PriceTable, bars: int) -> list[float]:
    """Return the latest closes, or variances."""
    target = predictor.facts.target
    values = bar_variance(table.columns, target.estimator) if target.is_volatility else table.close
    return [float(value) for value in values[-bars:]]


def _tables(
    run: Run, path: str | Sequence[str] | None, reading: ReadOptions
) -> list[tuple[Predictor, list[Any], PriceTable]]:
    """Return the prices, a table for each series, with what forecasts it and every day's name."""
    if path is None:
        given = "" if sys.stdin.isatty() else sys.stdin.read()
        if not given.strip():
            return _own(run, reading)
        predictor = run.predictor_of(reading.ticker, KEY)
        undated = [_undated(predictor, closes) for closes in parse_series(given)]
        return [(predictor, days, replace(t, ticker=reading.ticker)) for days, t in undated]
    facts = run.facts
    columns = BAR_COLUMNS if facts.features == "bars" else ("close", *facts.target.columns)
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


def _own(run: Run, reading: ReadOptions) -> list[tuple[Predictor, list[Any], PriceTable]]:
    """Return the series that a run was trained on, or the one of them that is asked for."""
    names, ticker = run.facts.series, reading.ticker
    if ticker is not None and names:
        run.facts.of_series(ticker, KEY)  # says which there are
    return [
        (
            run.predictor_of(table.ticker, KEY),
            [say_date(day, table.frequency) for day in table.dates],
            table,
        )
        for table in run.datamodule.tables
        if not (ticker and names) or ticker.casefold() == str(table.ticker).casefold()
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
