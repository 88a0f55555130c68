"""The pictures of a run: weights over training, and what was forecast against what came.

Shapes: S records, T time steps, N days.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from src.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT = (480, 250)
"""Width and height of the coloured field, in pixels."""
LEFT, TOP, RIGHT, BOTTOM = 72, 36, 100, 40
STOPS = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43))
"""Blue over white to red (ColorBrewer RdBu), which the colour-blind can tell apart."""
BLACK, BLUE, ORANGE, GREEN, RED = "#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00"
"""Colours the colour-blind can tell apart (Okabe and Ito, 2008)."""
CLOSE_UP = 60
"""Days of the second panel: as many as can be told apart."""


def heatmap(weights_st: Tensor, steps: list[int], title: str) -> Tensor:
    """Draw weights over training: a row per record, a column per time step.

    White is an equal share 1/T, so pictures of different runs compare: red is up to 4 times as
    much, blue down to a quarter, each saturating beyond.

    Args:
        weights_st: (S, T) shares, oldest record first.
        steps: the optimiser step of each record.
        title: what is shown.

    Returns:
        (3, height, width) uint8.
    """
    width, height = PLOT
    picture = Image.new("RGB", (LEFT + width + RIGHT, TOP + height + BOTTOM), "white")
    picture.paste(_field(_tint(weights_st * weights_st.shape[1]), PLOT), (LEFT, TOP))
    scale = torch.logspace(2, -2, 64, base=2.0)[:, None]
    picture.paste(_field(_tint(scale), (14, height)), (LEFT + width + 14, TOP))
    _label(ImageDraw.Draw(picture), weights_st.shape[1], steps, title)
    data = bytearray(picture.tobytes())
    return torch.frombuffer(data, dtype=torch.uint8).view(*picture.size[::-1], 3).permute(2, 0, 1)


def _tint(multiples: Tensor) -> Tensor:
    """Return the colours (..., 3) of multiples of an equal share, uint8."""
    position = multiples.clamp(0.25, 4).log2() + 2
    stops = torch.tensor(STOPS, dtype=torch.float32)
    low = position.floor().clamp(max=3).long()
    share = (position - low)[..., None]
    return ((1 - share) * stops[low] + share * stops[low + 1]).round().to(torch.uint8)


def _field(colours_hw3: Tensor, size: tuple[int, int]) -> Image.Image:
    height, width, _ = colours_hw3.shape
    small = Image.frombytes("RGB", (width, height), bytes(colours_hw3.flatten().tolist()))
    return small.resize(size, Image.Resampling.NEAREST)


def _label(draw: ImageDraw.ImageDraw, length: int, steps: list[int], title: str) -> None:
    """Write title, time steps, optimiser steps and the scale."""
    font, (width, height) = ImageFont.load_default(17), PLOT
    right, bottom = LEFT + width, TOP + height

    def write(x: float, y: float, text: str, anchor: str) -> None:
        draw.text((x, y), text, fill="black", font=font, anchor=anchor)

    write(LEFT, TOP / 2, title, "lm")
    write(LEFT, bottom + 6, "0 (oldest)", "la")
    write(LEFT + width / 2, bottom + 6, "time step of the window", "ma")
    write(right, bottom + 6, f"{length - 1} (latest)", "ra")
    write(4, TOP / 2, "step", "lm")
    for row in sorted({0, len(steps) // 2, len(steps) - 1}):
        write(LEFT - 6, TOP + (row + 0.5) * height / len(steps), f"{steps[row]:,}", "rm")
    for share, text in (
        (0, "4 / T"),
        (0.25, "2 / T"),
        (0.5, "1 / T"),
        (0.75, "1 / 2T"),
        (1, "1 / 4T"),
    ):
        write(right + 34, TOP + share * height, text, "lm")


class Drawn(NamedTuple):
    """How forecasts of a kind of target are drawn.

    Args:
        unit: of what is shown.
        baseline: the forecast that needs no model.
        error: the score of the title.
        saved: the loss that the third panel sums up.
        saved_unit: its unit.
        loss: from what came and what was forecast (N,).
        score: from the mean of that loss.
        shown: from what came, or was forecast, to what is shown.
    """

    unit: str
    baseline: str
    error: str
    saved: str
    saved_unit: str
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray]
    score: Callable[[np.ndarray], np.ndarray]
    shown: Callable[[np.ndarray], np.ndarray]


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _squared(came: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    return (came - forecast) ** 2


def _qlike(came: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    return came / forecast - np.log(came / forecast) - 1


def _percent(variance: np.ndarray) -> np.ndarray:
    return 100 * np.sqrt(variance)


PRICE = Drawn(
    "price", "tomorrow = today", "RMSE", "squared error", "price²", _squared, np.sqrt, _same
)
DRAWN = {
    "volatility": Drawn(
        "volatility a bar, %", "as before", "QLIKE", "QLIKE", "1", _qlike, _same, _percent
    ),
    "direction": Drawn(
        "probability", "base rate", "Brier score", "Brier score", "1", _squared, _same, _same
    ),
}
"""By the kind of target."""


def forecast_figure(
    days: np.ndarray,
    last_price: np.ndarray,
    price: np.ndarray,
    predicted_price: np.ndarray,
    interval: np.ndarray | None = None,
    step: str = "day",
    name: str = "",
    drawn: Drawn = PRICE,
) -> Tensor:
    """Draw forecasts against what came, and the error saved against the forecast without a model.

    The third panel sums up the baseline's loss minus the model's: where it rises the model
    is better (Goyal and Welch, Review of Financial Studies 21, 2008, figure 1).

    Args:
        days: the date of each forecast, ascending, N of them.
        last_price: the price before, or whatever else the baseline's forecast is.
        price: the price, or whatever else, that came.
        predicted_price: the model's forecast.
        interval: lower and upper end of each forecast's interval (N, 2); None for none.
        step: what the distance between two forecasts is called.
        name: which of several series this is.
        drawn: what is forecast.

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
    model, baseline = drawn.loss(came, forecast), drawn.loss(came, before)
    errors = (drawn.score(model.mean()), drawn.score(baseline.mean()))
    came, forecast, before = map(drawn.shown, (came, forecast, before))
    _draw_prices(whole, x, came, forecast, linewidth=1.2)
    title = f"test {drawn.error} {errors[0]:.4g}, {drawn.baseline} {errors[1]:.4g}"
    _finish(whole, f"{name}: {title}" if name else title, drawn.unit)
    latest = slice(-CLOSE_UP, None)
    if interval is not None:
        low, high = drawn.shown(interval[latest]).T
        close_up.fill_between(x[latest], low, high, color=BLUE, alpha=0.15, label="90% interval")
    _draw_prices(close_up, x[latest], came[latest], forecast[latest], linewidth=1.8)
    close_up.plot(x[latest], before[latest], color=ORANGE, ls="--", label=drawn.baseline)
    close_up.legend(loc="best", frameon=False)
    _finish(close_up, f"the last {len(x[latest])} {step}s", drawn.unit)
    _draw_saved(saved, x, np.cumsum(baseline - model))
    _finish(saved, f"{drawn.saved} saved against {drawn.baseline}, summed up", drawn.saved_unit)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)


def write_picture(target: Path, picture_chw: Tensor) -> None:
    """Write a picture (3, height, width) of uint8 as a PNG file, whole or not at all."""
    with replacing(target) as file:
        as_image(picture_chw).save(file, format="PNG")


def as_image(picture_chw: Tensor) -> Image.Image:
    """Return a picture (3, height, width) of uint8 as one that notebooks show."""
    return Image.fromarray(picture_chw.permute(1, 2, 0).numpy())


def _draw_prices(
    axes: "Axes", x: np.ndarray, came: np.ndarray, forecast: np.ndarray, linewidth: float
) -> None:
    axes.plot(x, came, color=BLACK, linewidth=2 * linewidth, label="what came")
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
