"""Which prices a model was trained on, so that others are noticed when it is used again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from src.data.reading.checks import say_date
from src.data.reading.series import PriceTable


def identity(table: PriceTable) -> dict[str, Any]:
    """Return what tells a series of prices from any other, as plain values for a checkpoint."""
    return {
        "name": table.name,
        "rows": len(table),
        "first": say_date(table.dates[0], table.frequency),
        "last": say_date(table.dates[-1], table.frequency),
        "sha256": _digest(table, len(table)),
    }


def identity_of(tables: Sequence[PriceTable]) -> dict[str, Any]:
    """Return what tells one or several series from any others, file by file."""
    if len(tables) == 1:
        return identity(tables[0])
    series = {str(table.ticker): identity(table) for table in tables}
    digests = "".join(f"{ticker} {one['sha256']}\n" for ticker, one in series.items())
    return {"series": series, "sha256": hashlib.sha256(digests.encode()).hexdigest()}


def how_they_differ(before: Mapping[str, Any], tables: Sequence[PriceTable]) -> str | None:
    """Say how series differ from those that `identity_of` was asked about; None if they do not.

    Args:
        before: what `identity_of` returned then.
        tables: what is there now.
    """
    if len(tables) == 1 and "series" not in before:
        return how_it_differs(before, tables[0])
    now = {str(table.ticker): table for table in tables}
    then = before.get("series", {})
    parts = [f"{ticker} is not there" for ticker in then if ticker not in now]
    parts += [f"{ticker} is new" for ticker in now if ticker not in then]
    for ticker in then.keys() & now.keys():
        if difference := how_it_differs(then[ticker], now[ticker]):
            parts.append(f"{now[ticker].name}, {ticker}: {difference}")
    if not parts and list(then) != list(now):
        parts = ["the series are in another order"]
    return "; ".join(sorted(parts)) or None


def how_it_differs(before: Mapping[str, Any], table: PriceTable) -> str | None:
    """Say how a series differs from the one that `identity` was asked about; None if it does not.

    Args:
        before: what `identity` returned then.
        table: what is there now.
    """
    now = identity(table)
    if now["sha256"] == before["sha256"]:
        return None
    rows, ends = before["rows"], f"to {now['last']} instead of {before['last']}"
    if now["rows"] > rows and _digest(table, rows) == before["sha256"]:
        more = now["rows"] - rows
        return f"{more:,} {'row was' if more == 1 else 'rows were'} added, {ends}"
    parts = []
    if now["rows"] != rows:
        parts.append(f"{now['rows']:,} rows instead of {rows:,}")
    if now["first"] != before["first"]:
        parts.append(f"from {now['first']} instead of {before['first']}")
    if now["last"] != before["last"]:
        parts.append(ends)
    return ", ".join(parts) or f"the same {rows:,} days with other prices"


def _digest(table: PriceTable, rows: int) -> str:
    """Return the SHA-256 of dates and prices of the first rows."""
    digest = hashlib.sha256(table.dates[:rows].astype("datetime64[s]").tobytes())
    columns = {**table.columns, **{f"extra:{name}": v for name, v in table.extra.items()}}
    for name in sorted(columns):
        digest.update(name.encode())
        digest.update(columns[name][:rows].astype("float64").tobytes())
    return digest.hexdigest()
