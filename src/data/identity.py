"""Which prices a model was trained on, so that others are noticed when it is used again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
    for name in sorted(table.columns):
        digest.update(name.encode())
        digest.update(table.columns[name][:rows].astype("float64").tobytes())
    return digest.hexdigest()
