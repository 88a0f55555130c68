"""The gates of a recurrent network, drawn over the price window.

Shapes: L layers, T days of the window, D hidden size.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Okabe and Ito 2008: told apart by the colour-blind.
COLOURS = {
    "input": "#E69F00",
    "forget": "#0072B2",
    "output": "#009E73",
    "reset": "#E69F00",
    "update": "#0072B2",
}
RISING, FALLING = "#009E73", "#D55E00"


def gate_figure(
    dates: NDArray,
    closes: NDArray,
    quantities: Mapping[str, NDArray],
    title: str,
    step: str = "day",
) -> Figure:
    """Draw a window's prices, and below them each layer's gates and state.

    Args:
        dates: (T,) datetime64.
        closes: (T,) price units.
        quantities: by name, (L, T, D): gates, `candidate`, `hidden` and, of an LSTM, `cell`.
        title: what it is about.
        step: what the distance between two prices is called.

    Returns:
        The figure, a column a layer: prices; the gates' mean over units with their middle 80%; and
        maps of candidate and states, a row a unit, ordered by the last day's state.
    """
    layers = len(quantities["hidden"])
    maps = [name for name in ("candidate", "cell", "hidden") if name in quantities]
    figure = Figure(figsize=(1 + 5 * layers, 3.6 + 1.9 * len(maps)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    state = "cell" if "cell" in maps else "hidden"
    rows = figure.subplots(2 + len(maps), layers, sharex=True, squeeze=False)
    figure.suptitle(title)
    for layer, (prices, gates, *grids) in enumerate(rows.T):
        _draw_prices(prices, dates, closes, step)
        prices.set_title(f"layer {layer + 1}", loc="left")
        _draw_gates(gates, dates, {name: values[layer] for name, values in quantities.items()})
        order = np.argsort(quantities[state][layer, -1])
        for name, grid in zip(maps, grids, strict=True):
            _draw_units(figure, grid, dates, quantities[name][layer][:, order].T)
            grid.set_ylabel(f"{name}, units" if layer == 0 else "")
        grids[-1].tick_params(axis="x", rotation=30)
    return figure


def _draw_prices(axes: Axes, dates: NDArray, closes: NDArray, step: str) -> None:
    axes.plot(dates, closes, color="black", linewidth=1)
    moves = np.diff(closes)
    for colour, days, label in ((RISING, moves > 0, "rising"), (FALLING, moves < 0, "falling")):
        axes.plot(dates[1:][days], closes[1:][days], ".", color=colour, label=f"{label} {step}")
    axes.legend(loc="best", frameon=False, fontsize="small", ncols=2)
    axes.set_ylabel("price")


def _draw_gates(axes: Axes, dates: NDArray, quantities: Mapping[str, NDArray]) -> None:
    for name, colour in COLOURS.items():
        if name in quantities:
            low, high = np.quantile(quantities[name], (0.1, 0.9), axis=1)
            axes.fill_between(dates, low, high, color=colour, alpha=0.12, linewidth=0)
            axes.plot(dates, quantities[name].mean(axis=1), color=colour, label=name)
    axes.legend(loc="lower left", frameon=False, fontsize="small", ncols=3)
    axes.set_ylabel("gates, 0 to 1")


def _draw_units(figure: Figure, axes: Axes, dates: NDArray, values_dt: NDArray) -> None:
    limit = float(np.abs(values_dt).max()) or 1.0
    image = axes.pcolormesh(
        dates,
        np.arange(len(values_dt)),
        values_dt,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        shading="nearest",
    )
    figure.colorbar(image, ax=axes, pad=0.01)
