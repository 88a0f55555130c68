"""What a panel of each figure shows, drawn from plain curves; lines bear their names."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from benchmarks.claims.curves import BASE_RUN
from benchmarks.claims.remedies import (
    ALIVE,
    COSMETIC,
    COSMETIC_HARM,
    CURE,
    HARM,
    HELPS,
    REPAIR,
    Cure,
)
from benchmarks.claims.rows import PUBLISHED_STEPS
from src.reporting.run_tables import CLAIMED

OBSERVED = {4000: 0.04, 6000: 0.335, 8000: 0.656, 10000: 0.666, 12000: 0.667}
MILESTONES = {2000: 0.20, 6000: 0.40, 8000: 0.60}
GREY, DARK = "#9aa3ad", "#39424d"
COLOURS = ("#2457a6", "#b3361b", "#1a6b3c", "#8a5a00", "#6b3fa0", "#0e7c86", "#a8327d", "#55606e")
NAMED = {
    ALIVE: "#1a6b3c",
    "layer norm": "#b3361b",
    "feature norm": "#2457a6",
    BASE_RUN: DARK,
    "mean pooling": DARK,
    "mean": DARK,
}
WORDS = {
    CURE: "#1a6b3c",
    REPAIR: "#1a6b3c",
    COSMETIC: "#b3361b",
    COSMETIC_HARM: "#b3361b",
    HELPS: "#2457a6",
    HARM: "#8a5a00",
}
Curve = Mapping[str, Any]


def draw_zeros(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """Draw zeros over steps; remedies that change nothing share one broad line and their names."""
    base = curves.get(BASE_RUN)
    alike = [name for name, c in curves.items() if base and name != BASE_RUN and _alike(c, base)]
    if base:
        axes.plot(base["step"], base["mean"], color=GREY, linewidth=7, alpha=0.45)
    for name in alike:
        axes.plot(curves[name]["step"], curves[name]["mean"], color=DARK, linewidth=0.6, alpha=0.6)
    others = {k: c for k, c in curves.items() if k not in alike and k != BASE_RUN}
    for name, curve in others.items():
        # Dashed and on top: what layer norm reaches too stays visible.
        _band(
            axes, curve, _colour(name, others), "--" if name == ALIVE else "-", over=name == ALIVE
        )
    lines = {BASE_RUN: base, **others} if base else others
    ends = _apart([c["mean"][-1] for c in lines.values()], 0.05)
    for name, end in zip(lines, ends, strict=True):
        shown = f"{name}\nand {len(alike)} attempts" if name == BASE_RUN and alike else name
        colour = _colour(name, others)
        axes.text(PUBLISHED_STEPS * 1.03, end, shown, color=colour, va="center", fontsize=9)
    if alike:
        told = textwrap.fill(f"{len(alike)} attempts on one line: {'; '.join(alike)}", 72)
        axes.text(150, 0.735, told, fontsize=7.5, color=DARK, va="bottom")
    crosses: dict[str, Any] = {
        "color": "black",
        "marker": "x",
        "markersize": 7,
        "linestyle": "none",
    }
    axes.plot(*zip(*OBSERVED.items(), strict=True), **crosses, clip_on=False)
    axes.plot([7900], [0.49], **crosses)
    axes.text(8200, 0.49, "observed in the\noriginal project", fontsize=8.5, va="center")
    axes.set(ylim=(-0.07, 1.0), xlim=(0, PUBLISHED_STEPS))
    axes.set(xlabel="published steps", ylabel="share of zeros in the gradient")
    _percent_axis(axes)


def draw_cures(axes: Axes, cures: Sequence[Cure]) -> None:
    """Draw each remedy's change of zeros over its change of the loss."""
    shown = [cure for cure in cures if np.isfinite(cure.loss.mean)]
    ends = [end for cure in shown for end in (cure.loss.mean, cure.loss.low, cure.loss.high)]
    reach = 1.1 * float(np.nanmax(np.abs(ends), initial=1e-9))  # no interval is cut
    axes.axhspan(-0.75, -0.10, xmin=0.5, color=WORDS[COSMETIC], alpha=0.07, linewidth=0)
    axes.axhspan(-0.75, -0.10, xmax=0.5, color=WORDS[CURE], alpha=0.07, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.axhline(-0.10, color=GREY, linewidth=1, linestyle=":")
    corner: dict[str, Any] = {"fontsize": 9, "style": "italic", "transform": axes.transAxes}
    gone = "zeros down by 10 points, loss not lower:\ncosmetic, or repair without gain"
    axes.text(0.98, 0.02, gone, ha="right", **corner)
    axes.text(0.02, 0.02, "zeros down, loss lower:\ncure", ha="left", **corner)
    for cure in shown:
        colour = WORDS.get(cure.word, GREY)
        axes.errorbar(
            *(cure.loss.mean, cure.zeros.mean),
            xerr=_error(cure),
            fmt="o",
            color=colour,
            markersize=5,
            linewidth=1,
        )
    named = [cure for cure in shown if cure.zeros.mean <= -0.10]
    _name_points(axes, named, reach)
    if rest := len(shown) - len(named):
        told = f"{rest} other remedies: zeros fall by less than 10 points (see the table)"
        axes.text(0.02, 0.95, told, fontsize=9, va="top", transform=axes.transAxes, color=DARK)
    axes.set(xlim=(-reach, reach), ylim=(-0.78, 0.2))
    axes.set(xlabel="change of the validation loss", ylabel="change of zeros, points")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}" if value else "0")


def _name_points(axes: Axes, cures: Sequence[Cure], reach: float) -> None:
    """Write each remedy's name above its point, higher where another name stands."""
    placed: list[tuple[float, float]] = []
    for cure in sorted(cures, key=lambda one: one.loss.mean):
        x, y = cure.loss.mean, cure.zeros.mean + 0.025
        while any(
            abs(x - other) < 0.6 * reach and abs(y - height) < 0.045 for other, height in placed
        ):
            y += 0.015
        placed.append((x, y))
        side = "right" if x > reach / 2 else "left" if x < -reach / 2 else "center"
        colour = WORDS.get(cure.word, DARK)
        axes.text(x, y, f"{cure.remedy}: {cure.word}", ha=side, fontsize=9, color=colour)


def draw_pace(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """Draw the weight of the latest three steps by learning rate, with and without a KL term."""
    rates = list(dict.fromkeys(name.rpartition("lr ")[2] for name in curves))
    ends = _apart([c["mean"][-1] for c in curves.values()], 0.035)
    for (name, curve), end in zip(curves.items(), ends, strict=True):
        colour = COLOURS[rates.index(name.rpartition("lr ")[2]) % len(COLOURS)]
        plain = name.startswith("no")
        _band(axes, curve, colour, "--" if plain else "-")
        axes.text(PUBLISHED_STEPS * 1.01, end, name, color=colour, fontsize=8.5, va="center")
    for step, share in MILESTONES.items():
        axes.plot([step], [share], marker="v", color="black", markersize=7)
        axes.annotate(
            f"promised {share:.0%}",
            *((step, share),),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )
    axes.axhline(0.15, color=GREY, linewidth=1, linestyle=":")
    axes.text(100, 0.135, "uniform", fontsize=8, color="#55606e", va="top")
    axes.set(ylim=(0.05, 0.68), xlim=(0, PUBLISHED_STEPS))
    axes.set(xlabel="steps", ylabel="weight of the latest three of 20 steps")
    _percent_axis(axes)


def draw_weights(axes: Axes, weights: Mapping[str, Sequence[float]]) -> None:
    """Draw the weights at the end of training as a heat map, a row per way of moving them."""
    grid = np.array(list(weights.values()))
    uniform = 1 / grid.shape[1]
    norm = TwoSlopeNorm(uniform, vmin=0, vmax=max(2 * uniform, grid.max()))
    image = axes.imshow(grid, aspect="auto", cmap="RdBu_r", norm=norm)
    axes.figure.colorbar(image, ax=axes, label="weight (white: uniform)", fraction=0.05)
    labels = [f"{name}\nlatest 3: {sum(w[-3:]):.1%}" for name, w in weights.items()]
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_xticks(range(0, grid.shape[1], 5))
    axes.set_xlabel("time step of the window, latest on the right")
    axes.grid(False)


def draw_retention(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """Draw the influence of earlier steps on the forecast, before and after training."""
    colours = dict(
        zip(("rnn", "gru", "lstm", "lstm +3"), (COLOURS[i] for i in (1, 2, 0, 3)), strict=True)
    )
    furthest = max(max(curve["step"]) for curve in curves.values())
    top = max(max(filter(None, curve["mean"])) for curve in curves.values())
    ends = []
    for name, curve in curves.items():
        cell, _, state = name.partition(", ")
        _band(axes, curve, colours[cell], "-" if state == "trained" else ":")
        ends.append((name, curve, colours[cell]))
    axes.plot(*zip(*CLAIMED.items(), strict=True), "kx", markersize=7)
    axes.annotate("textbook LSTM", (50, 0.6), xytext=(48, 1.6), fontsize=8.5, ha="right")
    axes.set(yscale="log", ylim=(1e-9, max(8, 4 * top)), xlim=(0, furthest))
    axes.set(xlabel="steps back", ylabel="influence on the forecast, latest step = 1")
    logs = [np.log10(np.interp(furthest - 2, curve["step"], curve["mean"])) for _, curve, _ in ends]
    for (name, _, colour), y in zip(ends, _apart([max(v, -8.7) for v in logs], 0.5), strict=True):
        axes.text(furthest + 1, 10**y, name, color=colour, fontsize=8.5, va="center")


def draw_shares(axes: Axes, shares: Mapping[str, Sequence[float]]) -> None:
    """Draw each step's share of the gradient at the end of training."""
    length = max(map(len, shares.values()))
    axes.axhspan(0.10, 0.30, color="#1a6b3c", alpha=0.07, linewidth=0)
    axes.text(0.3, 0.295, "said of important steps: 10% to 30%", fontsize=8.5, va="top")
    for place, (name, values) in enumerate(shares.items()):
        # The first is broad: behind lines that lie on it, it is still seen.
        look: dict[str, Any] = {"linewidth": 6, "alpha": 0.4} if place == 0 else {"linewidth": 1.3}
        mark = {"marker": "o", "markersize": 3} if place else {}
        axes.plot(values, color=_colour(name, shares), label=f"{name} pooling", **mark, **look)
    axes.set(ylim=(0, max(0.32, 1.1 * max(map(max, shares.values())))), xlim=(-0.5, length - 0.5))
    axes.set(
        xlabel="time step of the window, latest on the right", ylabel="share of the norm of dL/dh"
    )
    axes.set_xticks(range(0, length, 5))
    axes.legend(frameon=False, fontsize=8.5, loc="center left")
    _percent_axis(axes)


def draw_losses(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """Draw the validation loss over steps."""
    top = max(max(filter(None, c["mean"])) for c in curves.values())
    low = min(min(filter(None, c["mean"])) for c in curves.values())
    is_wide = top > 4 * low
    for place, (name, curve) in enumerate(curves.items()):
        _band(axes, curve, _colour(name, curves), label=name, broad=place == 0)
    if top > 0.9:  # predicting the mean; where a quiet market leaves less, it is far away
        axes.axhline(1.0, color=GREY, linewidth=1, linestyle=":")
    axes.set(xlim=(0, PUBLISHED_STEPS), xlabel="published steps")
    axes.set(ylabel="validation loss, scaled target")
    if is_wide:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(
            lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else ""
        )
    axes.legend(frameon=False, fontsize=8.5)


def _band(
    axes: Axes,
    curve: Curve,
    colour: str,
    style: str = "-",
    label: str = "",
    over: bool = False,
    broad: bool = False,
) -> None:
    """Draw a mean and its band; a broad line is seen behind another that covers it."""
    step = curve["step"]
    mean, low, high = (np.array(curve[key], dtype=float) for key in ("mean", "low", "high"))
    order = 3 if over else 2
    look: dict[str, Any] = {"linewidth": 6, "alpha": 0.4} if broad else {"linewidth": 1.8}
    axes.plot(step, mean, style, color=colour, label=label or None, zorder=order, **look)
    axes.fill_between(step, low, high, color=colour, alpha=0.15, linewidth=0)


def _error(cure: Cure) -> Any:
    return [[cure.loss.mean - cure.loss.low], [cure.loss.high - cure.loss.mean]]


def _alike(curve: Curve, base: Curve) -> bool:
    """Say whether a curve ends within a point of the base's and follows it on the way."""
    own = np.interp(base["step"], curve["step"], np.array(curve["mean"], dtype=float))
    away = np.abs(own - np.array(base["mean"], dtype=float))
    return bool(away[-1] <= 0.01 and np.mean(away) <= 0.02)


def _apart(values: Sequence[float], distance: float) -> list[float]:
    """Return heights for labels, pushed apart until none covers another."""
    placed = np.array(values, dtype=float)
    order = np.argsort(placed, kind="stable")
    for _ in range(200):
        for below, above in pairwise(order):
            lacking = distance - (placed[above] - placed[below])
            if lacking > 1e-9:
                placed[below] -= lacking / 2
                placed[above] += lacking / 2
    return placed.tolist()


def _colour(name: str, among: Mapping[str, Any]) -> str:
    if name in NAMED:
        return NAMED[name]
    free = [colour for colour in COLOURS if colour not in NAMED.values()]
    return free[[n for n in among if n not in NAMED].index(name) % len(free)]


def _percent_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
