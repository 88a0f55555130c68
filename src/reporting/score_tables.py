"""The scores of one run beside those of the forecast that needs no model, as tables and words."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rich.table import Table

from src.reporting.text import titled


class Scored(NamedTuple):
    """How a kind of target is spoken of.

    Args:
        error: the score that its skill is made of.
        name: what that is called.
        baseline: the forecast that needs no model.
        rows: key, name, unit and decimals of each score.
        columns: what is shown of each of several series: key, headings, decimals.
    """

    error: str
    name: str
    baseline: str
    rows: tuple[tuple[str, str, str, int], ...]
    columns: tuple[tuple[str, tuple[str, ...], int], ...]


PRICES = Scored(
    "rmse",
    "RMSE",
    "tomorrow = today",
    (
        ("rmse", "RMSE", "price", 2),
        ("mae", "MAE", "price", 2),
        ("mape", "MAPE", "%", 3),
        ("directional_accuracy", "directional accuracy", "share", 3),
    ),
    (
        ("rmse", ("RMSE", "now", "ratio"), 2),
        ("mape", ("MAPE %", "now"), 3),
        ("directional_accuracy", ("signs", "up"), 3),
    ),
)
VOLATILITY = Scored(
    "qlike",
    "QLIKE",
    "as before",
    (("qlike", "QLIKE", "1", 4), ("log_mse", "MSE of log variance", "1", 4)),
    (("qlike", ("QLIKE", "as before", "ratio"), 4), ("log_mse", ("log MSE", "as before"), 4)),
)
DIRECTION = Scored(
    "log_loss",
    "log loss",
    "base rate",
    (
        ("log_loss", "log loss", "nats", 4),
        ("brier", "Brier score", "1", 4),
        ("accuracy", "accuracy", "share", 3),
    ),
    (("log_loss", ("log loss", "base", "ratio"), 4), ("accuracy", ("accuracy", "base"), 3)),
)


EXPLAINED = {
    "as before": ": the variance of as many bars before",
    "base rate": ": the share of windows that rose in the training part",
}


def scored(scores: Mapping[str, Any]) -> Scored:
    """Return how the kind of target is spoken of that has these scores.

    >>> scored({"qlike": 0.3}).baseline
    'as before'
    """
    return next((kind for kind in (VOLATILITY, DIRECTION) if kind.error in scores), PRICES)


def scored_as(target: Any) -> Scored:
    """Return how a kind of target, as data.target names it, is spoken of."""
    return {"volatility": VOLATILITY, "direction": DIRECTION}.get(target, PRICES)


def score_table(
    model: Mapping[str, float], baseline: Mapping[str, float], title: str = "Test scores"
) -> Table:
    """Return the scores as a table for a terminal.

    Args:
        model: metric names and the model's values.
        baseline: the same for the forecast without a model; for the direction, for "always up".
        title: what was scored.
    """
    kind = scored(model)
    table = titled(title, ratio_sentence(ratio(model[kind.error], baseline[kind.error]), kind))
    for header in ("metric", "unit", "model", kind.baseline, "ratio"):
        table.add_column(header, justify="left" if header in ("metric", "unit") else "right")
    for key, name, unit, decimals in kind.rows:
        note = " (always up)" if key == "directional_accuracy" else ""
        table.add_row(
            name,
            unit,
            _score(model[key], decimals),
            _score(baseline[key], decimals) + note,
            f"{ratio(model[key], baseline[key]):.3f}",
        )
    return table


def series_table(test: Mapping[str, Any], title: str = "Test scores") -> Table:
    """Return the scores of each series, and over all, beside those of no model.

    Args:
        test: `model`, `baseline` and `ratio` over all series, and the same under `series`, by
            ticker, with the number of `windows`.
        title: what was scored.
    """
    caption = SERIES_CAPTION if scored(test["model"]) is PRICES else ""
    return _parts_table(f"{title} by series", caption, series_headers(test), series_rows(test))


def steps_table(test: Mapping[str, Any], title: str = "Test scores") -> Table:
    """Return the scores of each step of a horizon, and over all, from `steps`."""
    headers = ["bars ahead", *series_headers(test)[1:]]
    return _parts_table(f"{title} by step", "", headers, series_rows(test, "steps"))


def interval_table(intervals: Mapping[str, Any]) -> Table:
    """Return how the intervals of a test part did: the model's own beside the conformal ones.

    Args:
        intervals: of report.json: `own` and `conformal`, either or both.
    """
    parts = {"conformal": intervals.get("conformal")}
    parts["own"] = intervals.get("own", {}).get("intervals")
    shown = {name: part for name, part in parts.items() if part}
    table = titled("Intervals of the test part", "\n".join(_interval_caption(intervals, shown)))
    table.add_column("should hold", justify="right")
    for name in shown:
        for header in (f"{name}: held", "worst year", "score"):
            table.add_column(header, justify="right")
    for level in sorted({level for part in shown.values() for level in part}, key=float):
        cells = [f"{float(level):.0%}"]
        for found in (part.get(level) for part in shown.values()):
            cells += ["-"] * 3 if found is None else _interval_cells(found, float(level))
        table.add_row(*cells)
    return table


def _interval_cells(found: Mapping[str, Any], level: float) -> list[str]:
    year, share = max(found["by_year"].items(), key=lambda item: abs(item[1] - level))
    return [f"{found['coverage']:.1%}", f"{share:.1%} ({year})", f"{found['interval_score']:.4g}"]


def _interval_caption(intervals: Mapping[str, Any], shown: Mapping[str, Any]) -> Iterator[str]:
    if own := intervals.get("own"):
        yield f"CRPS {own['crps']:.4g}, pinball loss {own['pinball']:.4g}."
    yield "score: interval score, less is better; it counts width and misses."
    for name, part in shown.items():
        level = max(part, key=float)
        years = ", ".join(f"{year} {share:.1%}" for year, share in part[level]["by_year"].items())
        yield f"{name}, {float(level):.0%} by year: {years}."


def _parts_table(title: str, caption: str, headers: list[str], cells: list[list[str]]) -> Table:
    table = titled(title, caption)
    for header in headers:
        table.add_column(header, justify="left" if header == "series" else "right")
    *rows, last = cells
    for row in rows:
        table.add_row(*row)
    table.add_section()
    table.add_row(*last)
    return table


SERIES_CAPTION = (
    'now: "tomorrow = today"; up: "always up". Over all, the RMSE is mostly that of the dearest '
    "series; MAPE and signs count every window alike."
)


def series_headers(test: Mapping[str, Any]) -> list[str]:
    """Return the headings over `series_rows`."""
    columns = scored(test["model"]).columns
    return ["series", "windows", *(name for _, names, _ in columns for name in names)]


def series_rows(test: Mapping[str, Any], parts: str = "series") -> list[list[str]]:
    """Return a row of text for each part of a test, and one over all; as `series_table`.

    Args:
        test: as `series_table` takes it.
        parts: `series` or `steps`.
    """
    total = sum(scores["windows"] for scores in test[parts].values())
    rows = []
    for name, scores in {**test[parts], "all": {**test, "windows": total}}.items():
        row = [name, f"{scores['windows']:,}"]
        for key, names, decimals in scored(test["model"]).columns:
            values = scores["model"][key], scores["baseline"][key]
            row += [_score(value, decimals) for value in values]
            row += [f"{ratio(*values):.3f}"] * ("ratio" in names)
        rows.append(row)
    return rows


def _score(value: float, decimals: int) -> str:
    """Show a number of decimals, more of them where a score is small: four digits are left.

    >>> _score(19.8321, 2), _score(0.00451234, 2), _score(0.0, 2)
    ('19.83', '0.004512', '0.00')
    """
    if not 0 < abs(value) < 10 ** (1 - decimals):
        return f"{value:.{decimals}f}"
    return f"{value:.{3 - math.floor(math.log10(abs(value)))}f}" if value > 1e-6 else f"{value:.4g}"


def ratio(value: float, baseline: float) -> float:
    """Return value / baseline, NaN where the baseline is 0."""
    return value / baseline if baseline else math.nan


def ratio_sentence(error_ratio: float, kind: Scored = PRICES) -> str:
    """Say in a sentence what the ratio of the two errors means.

    >>> ratio_sentence(8.9)
    'The model is 8.90 times as wrong as "tomorrow = today".'
    >>> ratio_sentence(0.95)
    'The model removes 5.0% of the error of "tomorrow = today".'
    >>> ratio_sentence(0.8, VOLATILITY)
    'The model removes 20.0% of the QLIKE of "as before": the variance of as many bars before.'
    """
    baseline = f'"{kind.baseline}"' + EXPLAINED.get(kind.baseline, "")
    error = "error" if kind is PRICES else kind.name
    if not math.isfinite(error_ratio):
        return "No verdict: a score is missing."
    if error_ratio >= 1.1:
        return f"The model is {error_ratio:.2f} times as wrong as {baseline}."
    if error_ratio > 1.0005:
        return f"The model adds {(error_ratio - 1) * 100:.1f}% to the {error} of {baseline}."
    if error_ratio < 0.9995:
        return f"The model removes {(1 - error_ratio) * 100:.1f}% of the {error} of {baseline}."
    return f"The model is as good as {baseline}, no better."
