"""Prices from a built-in index or from the user's file, checked and in time order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from src.data.reading.cotahist import is_cotahist, read_cotahist
from src.data.reading.delimited import read_tables
from src.data.reading.delimiters import read_sheet
from src.data.reading.errors import DataError
from src.data.reading.files import is_parquet, open_text, parquet_as_text
from src.data.reading.series import BAR_COLUMNS, PriceTable, ReadOptions

__all__ = ["BAR_COLUMNS", "SOURCES", "PriceTable", "ReadOptions", "load_prices", "read_file"]

SOURCES = ("sp500", "nasdaq")


def load_prices(
    source: str = "sp500",
    path: str | None = None,
    *,
    columns: Sequence[str] = ("close",),
    options: ReadOptions | None = None,
) -> PriceTable:
    """Load prices from a file if one is given, else from a built-in source.

    The built-in sources are the daily S&P 500 and NASDAQ bars of 1999 to 2018 that `arch` ships.

    Args:
        source: `sp500` or `nasdaq`; not looked at if `path` is given.
        path: A file, or None.
        columns: Which of open, high, low, close and volume are needed; a file's others come too.
        options: What the user says of the file.

    Returns:
        The prices in ascending order of date.

    Raises:
        DataError: If the file or a cell in it is not what it should be, or it holds several series.
        ValueError: If `source` is unknown.
    """
    if path is None:
        if source not in SOURCES:
            raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {source!r}")
        return _load_builtin(source, columns)
    needed = tuple(name for name in columns if name != "close")
    tables = read_file(path, replace(options or ReadOptions(), needed=needed))
    if len(tables) > 1:
        names = [str(table.ticker) for table in tables]
        found = f"{len(names)} tickers: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
        raise DataError(
            path, 1, 1, found, f"one; data.ticker={names[0]} takes it, data.tickers=[...] several"
        )
    return tables[0]


def read_file(path: str | Path, options: ReadOptions | None = None) -> list[PriceTable]:
    """Read every series of a file, or the one whose ticker is asked for.

    Args:
        path: Delimited text in any of the known layouts, COTAHIST, or a parquet file; text may be
            compressed.
        options: What the user says of it.

    Returns:
        The series, in the order of the file.

    Raises:
        DataError: If the file or a cell in it is not what it should be.
    """
    file, options = Path(path).expanduser(), options or ReadOptions()
    if file.exists() and not (file.is_file() or file.is_dir()):  # it may never end, or never begin
        raise DataError(file, 1, 1, "a device or a pipe", "a CSV file")
    if is_cotahist(file):
        return read_cotahist(file, options)
    if is_parquet(file):
        return read_tables(read_sheet(parquet_as_text(file)), options)
    return read_tables(read_sheet(open_text(file)), options)


def _load_builtin(source: str, columns: Sequence[str]) -> PriceTable:
    # Importing arch imports statsmodels, more than a second; only the file it ships is needed.
    spec = find_spec("arch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "data" / source
    frame = pd.read_csv(folder / f"{source}.csv.gz", parse_dates=["Date"])
    dates = frame["Date"].to_numpy().astype("datetime64[s]")
    values = {name: frame[name.capitalize()].to_numpy(dtype=np.float64) for name in columns}
    return PriceTable(source, dates, values, len(frame), frequency="daily")
