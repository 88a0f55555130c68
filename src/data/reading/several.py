"""Several series for one model, from files, folders and tables of many tickers, each by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from src.data.reading.errors import DataError
from src.data.reading.series import PriceTable, ReadOptions
from src.data.reading.sources import load_prices, read_file
from src.files import files_at

ALL = "all"
"""In place of a list of tickers: every series that is there."""


def load_series(
    source: str,
    path: str | Sequence[str] | None,
    tickers: str | Sequence[str] | None = None,
    *,
    columns: Sequence[str] = ("close",),
    options: ReadOptions | None = None,
) -> tuple[PriceTable, ...]:
    """Load the one series of a file or a built-in source, or several ones.

    Args:
        source: As in `load_prices`.
        path: A file, a folder, a glob, or a list of these; None for the built-in source.
        tickers: Which series, or `all` of them; None where every file holds one.
        columns: As in `load_prices`.
        options: What the user says of every file; of `all` series its `tickers` leave out others.

    Returns:
        The series, those of several each with a ticker of its own.

    Raises:
        DataError: If a file cannot be read, a ticker is not there or comes twice, or the bars are
            of different frequencies.
    """
    options = options or ReadOptions()
    if path is None:
        if tickers is not None:
            raise ValueError(f"data.tickers needs data.path: {source} is one series")
        if options.ticker is not None:
            raise ValueError(f"data.ticker needs data.path: {source} is one series")
        if options.extra:
            raise ValueError(f"data.extra needs data.path: {source} has no further columns")
        return (load_prices(source, columns=columns),)
    files = files_at(path)
    if not files:
        raise ValueError("data.path is a list without a file")
    if tickers is None and len(files) == 1:
        return (load_prices(path=str(files[0]), columns=columns, options=options),)
    if options.ticker is not None:
        raise ValueError(
            f"give data.ticker or several series, got data.ticker={options.ticker} with "
            + (f"{len(files)} files" if tickers is None else "data.tickers")
        )
    wanted = () if tickers in (None, ALL) else tuple(map(str, tickers or ()))
    needed = tuple(name for name in columns if name != "close")
    options = replace(options, needed=needed, tickers=wanted or options.tickers)
    found: list[PriceTable] = []
    for file in files:
        tables = read_file(file, options)
        if tickers is None and len(tables) > 1:
            names = ", ".join(str(table.ticker) for table in tables[:8])
            more = f"{len(tables)} tickers: {names}{', ...' if len(tables) > 8 else ''}"
            raise DataError(file, 1, 1, more, "one, or data.tickers=all, or a list of those wanted")
        found += [table for table in map(_named, tables) if options.takes(str(table.ticker))]
    return _in_order(_checked(found), wanted, files)


def _named(table: PriceTable) -> PriceTable:
    """Return a series under a name: where its file gives none, that of the file."""
    return replace(table, ticker=table.ticker or Path(table.name).name.partition(".")[0])


def _checked(tables: Sequence[PriceTable]) -> dict[str, PriceTable]:
    """Return series by name; refuse one that comes twice or has bars unlike the first one's."""
    by_name: dict[str, PriceTable] = {}
    for table in tables:
        name, first = str(table.ticker), tables[0]
        if name in by_name:
            found = f"the ticker {name}, which is in {by_name[name].name} too"
            raise DataError(table.name, 1, 1, found, "every series in one file")
        if table.frequency != first.frequency:
            found = f"{table.frequency} bars of {name}"
            expected = f"{first.frequency} ones, as those of {first.ticker}"
            raise DataError(table.name, table.last_line, 1, found, expected)
        by_name[name] = table
    return by_name


def _in_order(
    by_name: dict[str, PriceTable], wanted: Sequence[str], files: Sequence[Path]
) -> tuple[PriceTable, ...]:
    """Return series in the order asked for, that of the files where none was."""
    if not wanted:
        return tuple(by_name.values())
    plain = {name.casefold(): table for name, table in by_name.items()}
    if missing := [name for name in wanted if name.casefold() not in plain]:
        where = str(files[0]) if len(files) == 1 else f"{len(files)} files"
        raise ValueError(
            f"data.tickers: no {', '.join(missing)} in {where}; "
            f"python -m src.data {files[0]} lists what is there"
        )
    return tuple(plain[name] for name in dict.fromkeys(name.casefold() for name in wanted))
