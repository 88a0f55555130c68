"""The table at the end of a run: each score beside the forecast that needs no model."""

import math
from collections.abc import Mapping

from rich.table import Table

_ROWS = (
    ("rmse", "RMSE", "price", "{:.2f}"),
    ("mae", "MAE", "price", "{:.2f}"),
    ("mape", "MAPE", "%", "{:.3f}"),
    ("directional_accuracy", "directional accuracy", "share", "{:.3f}"),
)


def score_table(
    model: Mapping[str, float], baseline: Mapping[str, float], title: str = "Test scores"
) -> Table:
    """Return the scores as a table for a terminal.

    Args:
        model: metric names and the model's values.
        baseline: the same for "tomorrow = today"; for the direction, for "always up".
        title: what was scored.
    """
    table = Table(title=title, title_justify="left", caption_justify="left")
    for header in ("metric", "unit", "model", "tomorrow = today", "ratio"):
        table.add_column(header, justify="left" if header in ("metric", "unit") else "right")
    for key, name, unit, form in _ROWS:
        note = " (always up)" if key == "directional_accuracy" else ""
        table.add_row(
            name,
            unit,
            form.format(model[key]),
            form.format(baseline[key]) + note,
            f"{ratio(model[key], baseline[key]):.3f}",
        )
    table.caption = verdict(ratio(model["rmse"], baseline["rmse"]))
    return table


def ratio(value: float, baseline: float) -> float:
    """Return value / baseline, NaN where the baseline is 0."""
    return value / baseline if baseline else math.nan


def verdict(rmse_ratio: float) -> str:
    """Say in a sentence what the ratio of the two RMSEs means.

    >>> verdict(8.9)
    'The model is 8.90 times as wrong as "tomorrow = today".'
    >>> verdict(0.95)
    'The model removes 5.0% of the error of "tomorrow = today".'
    """
    if not math.isfinite(rmse_ratio):
        return "No verdict: a score is missing."
    if rmse_ratio >= 1.1:
        return f'The model is {rmse_ratio:.2f} times as wrong as "tomorrow = today".'
    if rmse_ratio > 1.0005:
        return f'The model adds {(rmse_ratio - 1) * 100:.1f}% to the error of "tomorrow = today".'
    if rmse_ratio < 0.9995:
        return (
            f'The model removes {(1 - rmse_ratio) * 100:.1f}% of the error of "tomorrow = today".'
        )
    return 'The model is as good as "tomorrow = today", no better.'
