"""Prepared data kept for the next run in a process: a sweep reads its prices once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from src.data.preparation import PreparedData, prepare
from src.data.reading.sources import BAR_COLUMNS, PriceTable, ReadOptions, load_prices


def load_and_prepare(
    source: str, path: str | None, options: ReadOptions, *, features: str, **preparation: Any
) -> tuple[PriceTable, PreparedData]:
    """Load and prepare prices, or return what an earlier call with the same arguments returned.

    A file that has changed since is read again. What is returned is shared: nothing may change it.

    Args:
        source: As in `load_prices`.
        path: As in `load_prices`.
        options: As in `load_prices`.
        features: As in `prepare`.
        preparation: `accept` of `PriceTable.refuse_meaningless`; the other options of `prepare`.

    Returns:
        The prices, and what becomes of them.

    Raises:
        DataError: If the prices cannot be used; a fault is not kept.
    """
    return _load_and_prepare(
        _version(path), source, path, options, features=features, **preparation
    )


def _version(path: str | None) -> tuple[Path, int, int] | None:
    """Return what tells a file from what it was before; None if there is no file."""
    file = Path(path).expanduser() if path is not None else None
    if file is None or not file.is_file():
        return None
    return file.resolve(), file.stat().st_mtime_ns, file.stat().st_size


@lru_cache(maxsize=4)
def _load_and_prepare(
    version: tuple[Path, int, int] | None,
    source: str,
    path: str | None,
    options: ReadOptions,
    *,
    features: str,
    accept: tuple[str, ...],
    **preparation: Any,
) -> tuple[PriceTable, PreparedData]:
    columns = BAR_COLUMNS if features == "bars" else ("close",)
    table = load_prices(source, path, columns=columns, options=options)
    table.refuse_meaningless(accept)
    return table, prepare(table, features=features, **preparation)
