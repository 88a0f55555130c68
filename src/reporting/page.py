"""The report as one HTML page that needs nothing but itself, with its figures as SVG."""

import io
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import matplotlib
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.reporting.comparison import Comparison
from src.reporting.groups import Group
from src.reporting.losses import METRICS
from src.reporting.standing import standing
from src.reporting.statistics import Estimate
from src.reporting.tables import comparison_tables, unfinished
from src.reporting.text import TextTable, number
from src.reporting.verdict import verdict

if TYPE_CHECKING:
    import pandas as pd

TEMPLATE = "page.html.jinja"
COLOURS = {"best": "#1a6b3c", "same": "#55606e", "worse": "#b3361b", "better": "#2457a6"}
LINES = ("#1a6b3c", "#2457a6", "#b3361b", "#8a5a00", "#6b3fa0", "#55606e")
SHOWN_GROUPS = 30
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ad",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
}


def page(
    title: str,
    comparisons: Sequence[Comparison],
    runs: "pd.DataFrame",
    remarks: Sequence[str],
    folder: Path = Path(),
) -> str:
    """Return the whole page.

    Args:
        title: one line on all runs.
        comparisons: one per test set.
        runs: a row per run.
        remarks: what concerns all of them.
        folder: where the page will lie; links to runs lead from there.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    pages = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return pages.get_template(TEMPLATE).render(
        title=title,
        remarks=remarks,
        sections=[_section(comparison) for comparison in comparisons],
        unfinished=unfinished(runs),
        every_run=_every_run(runs),
        links=[_links(Path(path), folder) for path in runs["path"]],
    )


def _section(comparison: Comparison) -> dict[str, Any]:
    return {
        "test_set": comparison.test_set,
        "answer": verdict(comparison),
        "notes": comparison.notes,
        "tables": comparison_tables(comparison),
        "figures": _figures(comparison),
    }


def _figures(comparison: Comparison) -> list[tuple[str, str]]:
    """Return each figure there is something for, with its caption."""
    figures: list[tuple[bool, Callable[[Comparison], str], str]] = [
        (
            bool(comparison.ranked),
            scores_figure,
            "Every seed (dots), the mean (diamond) and its 95% interval (line; cut where two seeds "
            "leave it wider than the figure). Green: the first. Red or blue: distinguishably worse "
            "or better.",
        ),
        (
            any(g.metric_difference for g in comparison.ranked),
            differences_figure,
            "Difference to the first group, paired by seed, with its 95% interval.",
        ),
        (
            bool(comparison.daily and comparison.daily.groups),
            days_figure,
            f"Rising: better than no model on these {comparison.step}s. Falling: worse.",
        ),
    ]
    return [(draw(comparison), caption) for wanted, draw, caption in figures if wanted]


def _links(run: Path, folder: Path) -> list[tuple[str, str]]:
    """Return what of a run is worth opening, as relative addresses with their words."""
    shown = (("report.json", "report"), ("forecast.png", "forecasts"), ("story.png", "story"))
    here = quote(os.path.relpath(run, folder))
    return [(f"{here}/{name}", word) for name, word in shown if (run / name).is_file()]


def _every_run(runs: "pd.DataFrame") -> TextTable:
    scores = ("val/loss", "test/rmse", "ratio/rmse", "duration_s")
    words = ("experiment", "run", "status", "cause")
    rows = tuple(
        (*(str(row[name] or "-") for name in words), *(number(row[name]) for name in scores))
        for row in runs.to_dict("records")
    )
    return TextTable("", (*words, *scores), rows, len(words))


def scores_figure(comparison: Comparison) -> str:
    """Return each group's metric: a point per seed, the mean and its interval."""
    groups = comparison.ranked[:SHOWN_GROUPS]
    scores = dict(list(comparison.scores.groupby("group")["metric"]))

    def draw(axes: Axes) -> None:
        for place, group in enumerate(groups):
            colour = _colour(group, comparison.metric)
            seeds = scores[group.label].to_numpy()
            axes.plot(seeds, [place] * len(seeds), "o", color=colour, alpha=0.35, markersize=5)
            _with_interval(axes, group.metric, place, colour)
        _limit(axes, [value for group in groups for value in scores[group.label]])
        axes.set_xlabel(comparison.metric + _draw_baseline(axes, comparison))

    return _rows(draw, groups)


def differences_figure(comparison: Comparison) -> str:
    """Return each group's paired difference to the best group, with its interval."""
    groups = comparison.ranked[1 : SHOWN_GROUPS + 1]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=COLOURS["best"], linewidth=1)
        for place, group in enumerate(groups):
            if group.metric_difference is not None and group.metric_difference.n:
                _with_interval(
                    axes, group.metric_difference, place, _colour(group, comparison.metric)
                )
        axes.set_xlabel(f"{comparison.metric}, difference to {comparison.ranked[0].name}")

    return _rows(draw, groups)


def days_figure(comparison: Comparison) -> str:
    """Return, day by day, how much less each group has lost so far than the baseline.

    Source: the graph of Goyal and Welch, Review of Financial Studies 21 (2008), section 1.
    """
    daily = comparison.daily
    assert daily is not None
    metric = METRICS[comparison.metric]

    def draw(axes: Axes) -> None:
        date = daily.date.astype("datetime64[s]")
        axes.axhline(0, color="#9aa3ad", linestyle="--", linewidth=1)
        shown = [group for group in comparison.ranked if group.label in daily.groups]
        for group, colour in zip(shown, LINES, strict=False):
            gained = np.cumsum(daily.baseline - daily.groups[group.label])
            axes.plot(date, gained, color=colour, linewidth=1.3, label=group.name)
        axes.set_ylabel(f'gained on "{metric.baseline}"\n(sum of {metric.unit})')
        axes.legend(frameon=False, fontsize=9, loc="best")

    return _svg(draw, height=3.4)


def _draw_baseline(axes: Axes, comparison: Comparison) -> str:
    """Mark the forecast that needs no model; return it in words where it lies outside."""
    name, value = METRICS[comparison.metric].baseline, comparison.baseline
    low, high = axes.get_xlim()
    if not math.isfinite(value):
        return ""
    if not low <= value <= high:
        return f' ("{name}", at {number(value)}, lies outside)'
    axes.axvline(value, color="#9aa3ad", linestyle="--", linewidth=1)
    transform = axes.get_xaxis_transform()
    axes.annotate(name, (value, 1.0), xycoords=transform, va="bottom", ha="center", fontsize=9)
    return ""


def _colour(group: Group, metric: str) -> str:
    if group.metric_difference is None:
        return COLOURS["best"]
    return COLOURS.get(standing(group, metric), COLOURS["same"])


def _with_interval(axes: Axes, shown: Estimate, place: float, colour: str) -> None:
    if math.isfinite(shown.low):
        axes.plot([shown.low, shown.high], [place, place], color=colour, linewidth=1.6)
    axes.plot([shown.mean], [place], "D", color=colour, markersize=5)


def _limit(axes: Axes, values: Sequence[float]) -> None:
    """Keep an interval of two seeds, often hundreds of times their distance, from filling it."""
    low, high = min(values), max(values)
    room = max(high - low, abs(high) * 1e-3)
    left, right = axes.get_xlim()
    axes.set_xlim(max(left, low - 2 * room), min(right, high + 2 * room))


def _rows(draw: Callable[[Axes], None], groups: Sequence[Group]) -> str:
    """Draw a row per group, the best on top."""

    def with_labels(axes: Axes) -> None:
        axes.set_yticks(range(len(groups)), [group.name for group in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e6e9ec")
        axes.set_axisbelow(True)
        draw(axes)

    return _svg(with_labels, height=1.0 + 0.34 * len(groups))


def _svg(draw: Callable[[Axes], None], height: float) -> str:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, height), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    # In a page the XML head is out of place, and the width is the page's to choose.
    text = buffer.getvalue()
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt" ', "", text[text.index("<svg") :], count=1)
