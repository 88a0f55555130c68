"""The figures of the verdict: how much better than no model, over the years, and what held."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src.files import replacing
from src.reporting.predictability.scores import Judged
from src.reporting.predictability.tables import MAIN, models_of
from src.reporting.predictability.words import OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, DARK, BLUE, RED = "#9aa3ad", "#39424d", "#2457a6", "#b3361b"
COLOURS = {
    "lstm": RED,
    "transformer": "#a8327d",
    "har": BLUE,
    "garch": "#0e7c86",
    "ridge": "#8a5a00",
}


def gains_figure(judged: Sequence[Judged]) -> Figure:
    """Draw each model's loss against the naive one's with its 95% interval, a panel a question."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.1 * ((len(judged) + 1) // 2)), layout="constrained")
    panels = figure.subplots((len(judged) + 1) // 2, 2, squeeze=False).ravel()
    for axes, one in zip(panels, judged, strict=False):
        _draw_gains(axes, one)
    for axes in panels[len(judged) :]:
        axes.set_visible(False)
    return figure


def _draw_gains(axes: Axes, one: Judged) -> None:
    cells = one.cells[MAIN[one.kept.question.kind]]
    names = [name for name in models_of([one]) if name in cells and cells[name].against]
    for place, name in enumerate(reversed(names)):
        cell = cells[name]
        assert cell.against is not None
        colour = DARK if cell.p_value < 0.05 else GREY
        ends = [100 * cell.against.low, 100 * cell.against.high]
        axes.plot(ends, [place, place], color=colour, linewidth=2)
        marker = "D" if name in OURS else "o"
        axes.plot(100 * cell.against.relative, place, marker, color=colour, markersize=6)
    axes.axvline(0, color=RED, linewidth=1)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_title(one.kept.title, loc="left", fontsize=9.5)
    axes.set_xlabel("loss beside the naive forecast, % (left is better)", fontsize=8)
    _plain(axes)


def saved_figure(judged: Sequence[Judged]) -> Figure:
    """Draw the QLIKE saved against the naive forecast, summed over time, a panel a question."""
    from matplotlib.figure import Figure

    own = [one for one in judged if one.kept.question.kind == "volatility"]
    figure = Figure(figsize=(11, 3.0 * ((len(own) + 1) // 2)), layout="constrained")
    panels = figure.subplots((len(own) + 1) // 2, 2, squeeze=False).ravel()
    for axes, one in zip(panels, own, strict=False):
        losses = one.losses[MAIN["volatility"]]
        dates = one.kept.date.astype("datetime64[D]")
        for name in models_of([one])[1:]:
            saved = np.cumsum(losses["naive"] - losses[name])
            axes.plot(dates, saved, color=COLOURS.get(name, GREY), linewidth=1.3, label=name)
        axes.axhline(0, color=DARK, linewidth=0.7)
        axes.set_title(one.kept.title, loc="left", fontsize=9.5)
        axes.set_ylabel("QLIKE saved, summed", fontsize=8)
        axes.legend(frameon=False, fontsize=7.5, ncols=2)
        _plain(axes)
    for axes in panels[len(own) :]:
        axes.set_visible(False)
    return figure


def coverage_figure(judged: Sequence[Judged]) -> Figure:
    """Draw how often 95% intervals held in each year: a line a question, mean over the models."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots()
    own = [one for one in judged if one.covered]
    years = sorted({int(date[:4]) for one in own for date in one.kept.date})
    styles = ["-", "--", ":", "-."]
    for place, one in enumerate(own):
        of_year = np.array([int(date[:4]) for date in one.kept.date])
        held = np.mean([covered[0.95] for covered in one.covered.values()], axis=0)
        shares = [100 * held[of_year == year].mean() for year in years if (of_year == year).any()]
        colour = BLUE if one.kept.question.kind == "return" else RED
        label = f"{one.kept.series} {one.kept.question.key.replace('_', ', ')}"
        axes.plot(years[-len(shares) :], shares, styles[place % 4], color=colour, label=label)
    axes.axhspan(94, 96, color=GREY, alpha=0.3, linewidth=0)
    axes.set_xticks(years)
    axes.set_ylabel("% of days that 95% intervals held")
    axes.legend(frameon=False, fontsize=8, ncols=4)
    _plain(axes)
    return figure


def _plain(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save(figure: Figure, file: Path) -> Path:
    """Write a figure as PNG, the same bytes for the same figure; return its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    with replacing(file) as target:
        target.write(data.getvalue())
    return file
