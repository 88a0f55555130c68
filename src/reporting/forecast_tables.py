"""What python -m src.predict shows and writes: forecasts as a table for a terminal and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

from src.reporting.losses import COLUMNS, DIRECTION, PRICE, VOLATILITY
from src.reporting.score_tables import scored_as
from src.reporting.text import titled

KINDS = {"volatility": VOLATILITY, "direction": DIRECTION}


def forecast_table(result: Mapping[str, Any]) -> Table:
    """Return the forecasts, a row a window and step.

    Args:
        result: `level`, `coverage` on the run's test part and `forecasts`, as plain values; of
            other targets than the next price also `target`, `horizon` and `bars_a_year`.
    """
    level, rows, step = result["level"], result["forecasts"], result.get("step", "day")
    kind = KINDS.get(result.get("target", ""), PRICE)
    _, came, predicted = COLUMNS[kind]
    known = [row for row in rows if row.get(came) is not None]
    unit, shown = _shown_as(kind, result.get("bars_a_year"))
    horizon = result.get("horizon", 1)
    following = f"following {step}" if horizon == 1 else f"following {horizon} {step}s"
    title = f"Forecasts for the {following}" + (f": {unit}" if unit else "")
    table = titled(title, _caption(result, known, kind, came, predicted))
    headers = [scored_as(result.get("target")).baseline, "model"]
    headers += ["change"] if kind == PRICE else []
    has_interval = level is not None and any(row.get("interval") for row in rows)
    headers += [f"{level:.4g} interval"] if has_interval else []
    headers += ["price that came" if kind == PRICE else "what came"] if known else []
    first = {"ticker": "ticker", "last_day": f"last {step}", "step": f"{step}s ahead"}
    first = {key: name for key, name in first.items() if key in rows[0]}
    for header in [*first.values(), *headers]:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        cells = [str(row[key]) for key in first]
        cells += [shown(row["baseline"]), shown(row[predicted])]
        if kind == PRICE:
            cells.append(_change(row["last_price"], row[predicted]))
        if has_interval:
            cells.append(" to ".join(map(shown, row["interval"])))
        if known:
            cells.append("" if row[came] is None else shown(row[came]))
        table.add_row(*cells)
    return table


def forecast_csv(result: Mapping[str, Any]) -> str:
    """Return the forecasts as CSV, a row a window and step.

    Columns: `ticker` of several series, `last_day`, `step` of a horizon, the forecast without a
    model, what came (empty where nobody knows yet), the model's forecast, `low` and `high` of the
    interval, and a column for each quantile; prices, variances of a bar, or shares.
    """
    columns = COLUMNS[KINDS.get(result.get("target", ""), PRICE)]
    rows = result["forecasts"]
    first = [name for name in ("ticker", "last_day", "step") if name in rows[0]]
    tails = list(rows[0]["quantiles"])
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*first, *columns, "low", "high", *(f"q{tail}" for tail in tails)])
    for row in rows:
        ends = row["interval"] or (None, None)
        numbers = [*(row[name] for name in columns), *ends, *(row["quantiles"][t] for t in tails)]
        cells = ("" if number is None else f"{number:.10g}" for number in numbers)
        writer.writerow([*(row[name] for name in first), *cells])
    return text.getvalue()


def _shown_as(kind: str, bars_a_year: int | None) -> tuple[str, Callable[[float], str]]:
    """Return the unit of a kind's forecasts, and what shows one."""
    if kind == PRICE:
        return "", _price
    if kind == DIRECTION:
        return "probability that the last close lies above", lambda share: f"{share:.1%}"
    factor = 100 * math.sqrt(bars_a_year or 1)
    unit = "volatility, % a year" if bars_a_year else "volatility, % a bar"
    return unit, lambda variance: f"{factor * math.sqrt(variance):.3g}"


def _change(last: float, predicted: float) -> str:
    # A share of a price of 0 or less, as oil had, says nothing.
    return f"{predicted / last - 1:+.2%}" if last > 0 else ""


def _caption(
    result: Mapping[str, Any],
    known: Sequence[Mapping[str, Any]],
    kind: str,
    came: str,
    predicted: str,
) -> str:
    if kind == DIRECTION:
        return "base rate: the share of windows that rose in the run's training part."
    if result["level"] is None:
        return "No intervals: the run has no calibration and its data cannot be read."
    coverage, step, level = result["coverage"], result.get("step", "day"), result["level"]
    lines = ["The interval is the model's own; its coverage is in the run's report."]
    if coverage is not None:
        lines = [
            f"On the run's test part the {level:.4g} interval held on "
            f"{coverage['test']:.1%} of {coverage['windows']} {step}s."
        ]
    if len(known) > 1:
        held = sum(row["interval"][0] <= row[came] <= row["interval"][1] for row in known)
        what = (
            f"{step}s here whose price is" if kind == PRICE else "forecasts here whose outcome is"
        )
        lines.append(f"On the {len(known)} {what} known, on {held / len(known):.1%}.")
    if len(known) > 1 and kind == PRICE:
        model, naive = (
            sum((row[came] - row[name]) ** 2 for row in known) ** 0.5
            for name in (predicted, "baseline")
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
