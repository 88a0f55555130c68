"""Forecasts as a table for a terminal, each beside the forecast that needs no model."""

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table


def forecast_table(result: Mapping[str, Any]) -> Table:
    """Return the forecasts, a row a window.

    Args:
        result: `level`, `coverage` on the run's test part and `forecasts`, as plain values.
    """
    level = result["level"]
    rows = result["forecasts"]
    known = [row for row in rows if row["price"] is not None]
    table = Table(
        title="Forecasts for the following day",
        title_justify="left",
        caption=_caption(result, known),
        caption_justify="left",
    )
    headers = ["last day", "tomorrow = today", "model", "change"]
    headers += [f"{level:.4g} interval"] if level is not None else []
    headers += ["price that came"] if known else []
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        change = row["predicted_price"] / row["last_price"] - 1
        cells = [str(row["last_day"]), _price(row["baseline"]), _price(row["predicted_price"])]
        cells.append(f"{change:+.2%}")
        if level is not None:
            cells.append(" to ".join(map(_price, row["interval"])))
        if known:
            cells.append("" if row["price"] is None else _price(row["price"]))
        table.add_row(*cells)
    return table


def _caption(result: Mapping[str, Any], known: list[Mapping[str, Any]]) -> str:
    if result["level"] is None:
        return "No intervals: the run has no calibration and its data cannot be read."
    coverage = result["coverage"]
    lines = [
        f"On the run's test part the {result['level']:.4g} interval held on "
        f"{coverage['test']:.1%} of {coverage['windows']} days."
    ]
    if len(known) > 1:
        held = sum(row["interval"][0] <= row["price"] <= row["interval"][1] for row in known)
        model, naive = (
            sum((row["price"] - row[name]) ** 2 for row in known) ** 0.5
            for name in ("predicted_price", "baseline")
        )
        lines.append(
            f"On the {len(known)} days here whose price is known, on {held / len(known):.1%}."
        )
        if naive > 0:
            lines.append(f'There the RMSE is {model / naive:.4f} of that of "tomorrow = today".')
    return "\n".join(lines)


def _price(value: float) -> str:
    """Show two decimals, or six significant digits where a price is small.

    >>> _price(43.2912345), _price(2506.85), _price(0.000123456789)
    ('43.29', '2506.85', '0.000123457')
    """
    small = 0 < abs(value) < 10
    return f"{value:.{5 - math.floor(math.log10(abs(value))) if small else 2}f}"
