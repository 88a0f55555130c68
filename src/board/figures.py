"""The picture of a test part: what was forecast, what came, and what the forecast was worth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLACK, BLUE, ORANGE, GREEN, RED = "#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00"
"""Colours the colour-blind can tell apart (Okabe and Ito, 2008)."""
CLOSE_UP = 60
"""Days of the second panel: as many as can be told apart."""


def forecast_figure(
    days: Sequence[np.datetime64],
    last_price: Sequence[float],
    price: Sequence[float],
    predicted_price: Sequence[float],
) -> Tensor:
    """Draw forecasts against what came, and the squared error saved against "tomorrow = today".

    The third panel sums up the baseline's squared error minus the model's: where it rises the model
    is better (Goyal and Welch, Review of Financial Studies 21, 2008, figure 1).

    Args:
        days: the day of each forecast, ascending, N of them.
        last_price: the day before's price, the baseline's forecast.
        price: the price that came.
        predicted_price: the model's forecast.

    Returns:
        (3, height, width) uint8.
    """
    # Costs half a second; a run without TensorBoard does without it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # TensorBoard shows pictures about 350 pixels wide until one is clicked: large letters.
    figure = Figure(figsize=(7.2, 8.4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    whole, close_up, saved = figure.subplots(3, 1)
    x, before, came, forecast = map(np.asarray, (days, last_price, price, predicted_price))
    model, baseline = (came - forecast) ** 2, (came - before) ** 2
    errors = (np.sqrt(model.mean()), np.sqrt(baseline.mean()))
    _draw_prices(whole, x, came, forecast, linewidth=1.2)
    _finish(whole, "test RMSE {:.4g}, tomorrow = today {:.4g}".format(*errors), "price")
    latest = slice(-CLOSE_UP, None)
    _draw_prices(close_up, x[latest], came[latest], forecast[latest], linewidth=1.8)
    close_up.plot(x[latest], before[latest], color=ORANGE, ls="--", label="tomorrow = today")
    close_up.legend(loc="best", frameon=False)
    _finish(close_up, f"the last {len(x[latest])} days", "price")
    _draw_saved(saved, x, np.cumsum(baseline - model))
    _finish(saved, "squared error saved against tomorrow = today, summed up", "price²")
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _draw_prices(
    axes: "Axes", x: np.ndarray, came: np.ndarray, forecast: np.ndarray, linewidth: float
) -> None:
    axes.plot(x, came, color=BLACK, linewidth=linewidth, label="price")
    axes.plot(x, forecast, color=BLUE, linewidth=linewidth, label="forecast")
    axes.legend(loc="best", frameon=False)


def _draw_saved(axes: "Axes", x: np.ndarray, saved: np.ndarray) -> None:
    axes.plot(x, saved, color=BLACK, linewidth=1)
    axes.fill_between(x, saved, 0, where=saved > 0, color=GREEN, alpha=0.5, label="model ahead")
    axes.fill_between(x, saved, 0, where=saved < 0, color=RED, alpha=0.5, label="model behind")
    axes.axhline(0, color=BLACK, linewidth=0.8)
    axes.legend(loc="best", frameon=False)


def _finish(axes: "Axes", title: str, unit: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.set_title(title, loc="left", fontsize=13)
    axes.set_ylabel(unit, fontsize=12)
    axes.grid(alpha=0.3)
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
