"""A picture of what is forecast: the latest bars, and a fan over those to come."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.board.pictures import BLACK, BLUE, ORANGE, Drawn


def fan_figure(
    history: Sequence[float],
    rows: Sequence[Mapping[str, Any]],
    predicted: str,
    drawn: Drawn,
    horizon: int,
    title: str,
) -> Tensor:
    """Draw the latest bars, the forecast without a model, the model's, and its quantiles.

    Args:
        history: What came, the latest last.
        rows: The forecasts of one window, a dict a step: `baseline`, `quantiles`, the model's.
        predicted: What the model's forecast is called there.
        drawn: How such a kind is drawn.
        horizon: The bars that are forecast; one number for all of them is drawn as a level.
        title: What is shown.

    Returns:
        (3, height, width) uint8.
    """
    # Costs half a second; a forecast without a picture does without it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    past, came = np.arange(1 - len(history), 1), drawn.shown(np.asarray(history))
    axes.plot(past, came, color=BLACK, linewidth=1.6, label="what came")
    is_level = len(rows) < horizon
    x = np.array([1, horizon]) if is_level else np.arange(1, len(rows) + 1)

    def line(values: Sequence[float]) -> np.ndarray:
        shown = drawn.shown(np.asarray(values, dtype=float))
        return np.repeat(shown, 2) if is_level else shown

    tails = sorted(rows[0]["quantiles"], key=float)
    for low, high in zip(tails[: len(tails) // 2], reversed(tails), strict=False):
        below, above = (line([row["quantiles"][tail] for row in rows]) for tail in (low, high))
        alpha = 0.6 / (len(tails) // 2)
        axes.fill_between(x, below, above, color=BLUE, alpha=alpha, linewidth=0)
    axes.plot(x, line([row[predicted] for row in rows]), color=BLUE, marker="o", label="forecast")
    before = line([row["baseline"] for row in rows])
    axes.plot(x, before, color=ORANGE, ls="--", marker=".", label=drawn.baseline)
    axes.axvline(0, color=BLACK, linewidth=0.6)
    span = f"; shades: up to {1 - 2 * float(tails[0]):.0%}" if tails else ""
    axes.set_title(f"{title}{span}", loc="left", fontsize=12)
    axes.set_ylabel(drawn.unit)
    axes.set_xlabel("bars from the last one known")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)
