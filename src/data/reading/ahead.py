"""Small price files read ahead of everything slow, so that a slip in them is answered at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from src.data.reading.series import ReadOptions
from src.data.reading.several import load_series
from src.data.reading.sources import BAR_COLUMNS
from src.files import files_at

SMALL = 1 << 20
"""Bytes of files that are read twice without anybody's noticing."""


def refuse_unreadable(data: Mapping[str, Any]) -> None:
    """Read a run's price files, if they are small or not there, as its training will.

    Args:
        data: the group `data` of a config; made-up data has no `path`.

    Raises:
        DataError: as `load_series`.
    """
    path = data.get("path")
    if not path:
        return
    path = path if isinstance(path, str) else tuple(path)
    if sum(file.stat().st_size for file in files_at(path) if file.is_file()) > SMALL:
        return
    signed = data["target"] != "log_return" and data.get("input") == "price"
    options = ReadOptions(
        columns=data.get("columns") or {},
        decimal=data.get("decimal"),
        day_first=data.get("day_first"),
        ticker=None if data.get("ticker") is None else str(data["ticker"]),
        extra=tuple(data.get("extra") or ()),
        signed=signed and data["features"] == "prices",
    )
    columns = BAR_COLUMNS if data["features"] == "bars" else ("close",)
    tickers = data.get("tickers")
    wanted = tickers if tickers is None or isinstance(tickers, str) else tuple(tickers)
    for table in load_series(data["source"], path, wanted, columns=columns, options=options):
        table.refuse_meaningless(tuple(data.get("accept") or ()))
