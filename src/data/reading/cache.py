"""Prepared data kept for the next run in a process: a sweep reads its prices once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from src.data.preparation import PreparedData, prepare
from src.data.reading.several import load_series
from src.data.reading.sources import ReadOptions
from src.files import files_at


def load_and_prepare(
    source: str,
    path: str | tuple[str, ...] | None,
    tickers: str | tuple[str, ...] | None,
    options: ReadOptions,
    *,
    columns: tuple[str, ...],
    **preparation: Any,
) -> PreparedData:
    """Load and prepare prices, or return what an earlier call with the same arguments returned.

    A file that has changed since is read again. What is returned is shared: nothing may change it.

    Args:
        source: As in `load_series`.
        path: As in `load_series`.
        tickers: As in `load_series`.
        options: As in `load_series`.
        columns: As in `load_series`.
        preparation: `accept` of `PriceTable.refuse_meaningless`; the other options of `prepare`.

    Returns:
        The prices and what becomes of them.

    Raises:
        DataError: If the prices cannot be used; a fault is not kept.
    """
    return _load_and_prepare(
        _version(path), source, path, tickers, options, columns=columns, **preparation
    )


def _version(path: str | tuple[str, ...] | None) -> tuple[tuple[Path, int, int], ...]:
    """Return what tells files from what they were before."""
    files = files_at(path) if path is not None else []
    return tuple(
        (file.resolve(), file.stat().st_mtime_ns, file.stat().st_size)
        for file in files
        if file.is_file()
    )


@lru_cache(maxsize=4)
def _load_and_prepare(
    version: tuple[tuple[Path, int, int], ...],
    source: str,
    path: str | tuple[str, ...] | None,
    tickers: str | tuple[str, ...] | None,
    options: ReadOptions,
    *,
    columns: tuple[str, ...],
    accept: tuple[str, ...],
    **preparation: Any,
) -> PreparedData:
    tables = load_series(source, path, tickers, columns=columns, options=options)
    for table in tables:
        table.refuse_meaningless(accept)
    return prepare(tables, **preparation)
