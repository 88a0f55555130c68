"""The figures of the claims page, each from the committed curves alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.claims.panels import (
    draw_cures,
    draw_losses,
    draw_pace,
    draw_retention,
    draw_shares,
    draw_weights,
    draw_zeros,
)
from benchmarks.claims.remedies import Cure
from benchmarks.claims.table import NAMES, SCHEDULES
from src.files import replacing

FIGURES = (
    *("zeros.png", "cures.png", "pace.png", "weights.png", "retention.png", "shares.png"),
    "losses.png",
)
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ad",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6e9ec",
    "axes.axisbelow": True,
}
Panel = tuple[str, Callable[[Axes], None]]


def draw_figures(curves: Mapping[str, Any], cures: Sequence[Cure], folder: Path) -> list[Path]:
    """Draw every figure there are runs for; those of earlier runs are removed.

    Args:
        curves: as from `find_curves`.
        cures: what every remedy changes.
        folder: gets the files.

    Returns:
        The files.
    """
    dead = [cure for cure in cures if cure.schedule == "dead_inputs"]
    worlds = list(dict.fromkeys(cure.world for cure in dead))
    panels: dict[str, list[Panel]] = {
        "zeros.png": _panels(curves["zeros"], draw_zeros),
        "cures.png": _panels({w: [c for c in dead if c.world == w] for w in worlds}, draw_cures),
        "pace.png": _panels(curves["pace"], draw_pace),
        "weights.png": _panels(curves["weights"], draw_weights),
        "retention.png": _panels(curves["retention"], draw_retention),
        "shares.png": _panels(curves["shares"], draw_shares),
        "losses.png": [
            (f"{title}, {SCHEDULES[schedule]}", draw)
            for schedule, found in curves["losses"].items()
            for title, draw in _panels(found, draw_losses)
        ],
    }
    drawn = []
    for name in FIGURES:
        if panels[name]:
            drawn.append(_write(folder / name, panels[name]))
        else:
            (folder / name).unlink(missing_ok=True)
    return drawn


def _panels(found: Mapping[str, Any], draw: Callable[[Axes, Any], None]) -> list[Panel]:
    """Return a panel per world that has something to show."""

    def bound(content: Any) -> Callable[[Axes], None]:
        return lambda axes: draw(axes, content)

    return [(NAMES[world], bound(content)) for world, content in found.items() if content]


def _write(file: Path, panels: Sequence[Panel]) -> Path:
    """Draw panels, two in a row, and write the figure whole or not at all."""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(
            figsize=(5.8 * columns, 4.2 * rows), dpi=120, layout=ConstrainedLayoutEngine(w_pad=0.12)
        )
        cells = np.ravel(figure.subplots(rows, columns, squeeze=False))
        for axes, (title, draw) in zip(cells, panels, strict=False):
            draw(axes)
            axes.set_title(title)
        for axes in cells[len(panels) :]:
            axes.set_visible(False)
        with replacing(file) as picture:
            figure.savefig(picture, format="png", metadata={"Software": None})
    return file
