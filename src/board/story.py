"""One run on one picture, in the order of the questions that a reader has.

Does it learn? Are its gradients alive? Why not, and what would help? What does the pooling look at?
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from src.board.pictures import BLACK, BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#999999"
ROWS, COLUMNS, SCATTERED = BLUE, ORANGE, GREY
"""Colours of zeros: in dead rows, in dead columns, anywhere else."""
LINE_LENGTH = 118
MOST_FINDINGS = 3


def story_figure(report: Mapping[str, Any]) -> Tensor:
    """Draw a finished run.

    Args:
        report: what report.json says: `training`, `validation`, `gradient_history`, `diagnosis`,
            `alerts` and `pooling`, as far as they are there.

    Returns:
        (3, height, width) uint8.
    """
    # Costs half a second; a run that shows nothing does without it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.6, 13), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(4, 1, height_ratios=(1, 1.05, 0.85, 1))
    learns, alive, why, pooling = parts
    title = f"{report.get('experiment', '')}/{report.get('run', '')}"
    figure.suptitle(title, fontsize=11, x=0.01, ha="left", color=GREY)
    _draw_learning(learns, report)
    _draw_gradients(alive, report.get("gradient_history") or {})
    _write_findings(why, report)
    _draw_pooling(pooling, (report.get("pooling") or {}).get("history") or {})
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _ask(part: "Figure", question: str) -> None:
    part.suptitle(question, fontsize=14, x=0.01, ha="left", weight="bold")


def _draw_learning(part: Any, report: Mapping[str, Any]) -> None:
    _ask(part, "1  Does it learn?")
    losses, skill = part.subplots(1, 2)
    for name, colour in (("training", GREY), ("validation", BLACK)):
        _line(losses, report.get(name) or [], "loss", color=colour, label=name)
    losses.set_title("loss, scaled target", loc="left", fontsize=11)
    if losses.lines:
        losses.set_yscale("log")
        for axis_format in (losses.yaxis.set_major_formatter, losses.yaxis.set_minor_formatter):
            axis_format(lambda value, _: f"{value:g}")
        losses.legend(frameon=False)
    points = [point for point in report.get("validation") or [] if "skill" in point]
    _line(skill, points, "skill", color=BLACK)
    skill.axhline(0, color=ORANGE, linestyle="--", label="no model: tomorrow = today")
    skill.set_title("validation skill: share of no model's error saved", loc="left", fontsize=11)
    skill.legend(frameon=False)
    for axes in (losses, skill):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)


def _line(axes: "Axes", points: Sequence[Mapping[str, Any]], key: str, **look: Any) -> None:
    if points:
        marker = "o" if len(points) < 30 else ""
        steps, values = [p["step"] for p in points], [p[key] for p in points]
        axes.plot(steps, values, marker=marker, markersize=3, **look)


def _draw_gradients(part: Any, history: Mapping[str, Any]) -> None:
    records = history.get("records") or []
    _ask(part, "2  Are its gradients alive?")
    zeros, place = part.subplots(1, 2, width_ratios=(1.25, 1))
    zeros.set_title("zeros in the first weight's gradient", loc="left", fontsize=11)
    kinds = {"columns": COLUMNS, "rows": ROWS, "scattered": SCATTERED}
    if records:
        steps = [record["step"] for record in records]
        shares = [[record[kind] or 0.0 for record in records] for kind in kinds]
        if len(steps) == 1:
            steps, shares = [steps[0], steps[0] + 1], [share * 2 for share in shares]
        names = ("in dead columns (features)", "in dead rows (units)", "scattered")
        last = (f"{name}: {share[-1]:.1%}" for name, share in zip(names, shares, strict=True))
        zeros.stackplot(steps, shares, colors=kinds.values(), labels=list(last), step="post")
        zeros.legend(frameon=False, loc="upper left")
        zeros.set_xlim(steps[0], steps[-1])
    zeros.set_ylim(0, 1)
    zeros.set_xlabel("step")
    zeros.set_ylabel("share of its entries")
    zeros.grid(alpha=0.3)
    _draw_dead(place, history)


def _draw_dead(axes: "Axes", history: Mapping[str, Any]) -> None:
    from matplotlib.colors import ListedColormap

    dead = history.get("dead")
    axes.set_title(f"{history.get('parameter') or 'no weight was watched'}", loc="left", fontsize=9)
    if dead is None:
        axes.set_axis_off()
        return
    cells = np.zeros((dead["num_rows"], dead["num_columns"]), dtype=int)
    cells[:, dead["columns"]] = 1
    cells[dead["rows"]] = 2
    colours = ListedColormap(["#e8e8e8", COLUMNS, ROWS])
    axes.imshow(cells, cmap=colours, vmin=0, vmax=2, aspect="auto", interpolation="nearest")
    counts = f"dead: {len(dead['columns'])} of {dead['num_columns']} columns (features)"
    axes.set_xlabel(f"{counts}, {len(dead['rows'])} of {dead['num_rows']} rows (units)")
    axes.set_ylabel("row (unit)")


def _write_findings(part: Any, report: Mapping[str, Any]) -> None:
    _ask(part, "3  Why, and what would help?")
    axes = part.subplots()
    axes.set_axis_off()
    lines = list(finding_lines(report))
    height = 1.0 / max(len(lines), 9)
    for number, (text, is_head) in enumerate(lines):
        colour = BLACK if not is_head else "#B22222" if text[0].isdigit() else GREEN
        axes.text(
            *(0.005, 1 - (number + 0.5) * height),
            text,
            fontsize=10.5,
            va="center",
            weight="bold" if is_head else "normal",
            color=colour,
            transform=axes.transAxes,
            parse_math=False,
        )


def finding_lines(report: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield what was found in words, lines that fit, each with whether it is a heading.

    >>> list(finding_lines({"diagnosis": {"findings": [], "num_batches": 8}}))
    [('Healthy: nothing to act on.', True)]
    """
    diagnosis = report.get("diagnosis")
    if diagnosis is None:
        yield "Nothing watched the gradients.", False
        return
    alarms = [finding for finding in diagnosis["findings"] if not finding["benign"]]
    if not alarms and diagnosis.get("not_replayed"):
        yield from _wrapped(f"Not known: {diagnosis['not_replayed']}.")
    elif not alarms:
        yield "Healthy: nothing to act on.", True
    for number, finding in enumerate(alarms[:MOST_FINDINGS], start=1):
        proof = {True: ", confirmed by intervention", False: ", not confirmed", None: ""}
        place = finding["parameter"] or finding["module"] or "model"
        share = f"{finding['fraction']:.1%} of its gradient{proof[finding['confirmed']]}"
        yield f"{number}. {finding['cause']} in {place}: {share}", True
        named = [str(index) for index in finding["indices"] if isinstance(index, str)]
        if named:
            more = f" and {len(named) - 8} more" if len(named) > 8 else ""
            yield from _wrapped(f"{', '.join(named[:8])}{more}")
        yield from _wrapped(f"What would help: {finding['remedy'] or 'nothing is known.'}")
    if len(alarms) > MOST_FINDINGS:
        yield f"and {len(alarms) - MOST_FINDINGS} more, in words on the page TEXT", False
    if benign := [finding["cause"] for finding in diagnosis["findings"] if finding["benign"]]:
        yield from _wrapped(f"No alarm, nothing to repair: {', '.join(dict.fromkeys(benign))}.")


def _wrapped(text: str) -> list[tuple[str, bool]]:
    return [(line, False) for line in textwrap.wrap(text, LINE_LENGTH, max_lines=3)]


def _draw_pooling(part: Any, history: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    _ask(part, "4  What does the pooling look at?")
    course, last = part.subplots(1, 2, width_ratios=(1.25, 1))
    records = next(iter(history.values()), [])
    records = [r for r in records if len(r["weights"]) == len(records[-1]["weights"])]
    if not records:
        course.text(0, 0.5, "No pooling was watched.", fontsize=10.5)
        for axes in (course, last):
            axes.set_axis_off()
        return
    weights = np.array([record["weights"] for record in records])
    length = weights.shape[1]
    multiples = np.log2(np.clip(weights * length, 0.25, 4))
    steps = [record["step"] for record in records]
    shown = course.pcolormesh(multiples, cmap="RdBu_r", vmin=-2, vmax=2)
    bar = part.colorbar(shown, ax=course, ticks=(-2, -1, 0, 1, 2))
    bar.ax.set_yticklabels(("1/4", "1/2", "1", "2", "4"))
    bar.set_label("times an equal share")
    places = sorted({0, len(steps) // 2, len(steps) - 1})
    course.set_yticks([place + 0.5 for place in places], [f"{steps[p]:,}" for p in places])
    course.set_title("weights over training", loc="left", fontsize=11)
    course.set_ylabel("step")
    position = np.arange(length)
    last.plot(position, weights[-1], color=BLACK, linewidth=4, label="weight, at the end")
    if records[-1]["gradient_share"]:
        share = records[-1]["gradient_share"]
        last.plot(position, share, "o-", ms=3, color=GREEN, label="share of the gradient")
    last.axhline(1 / length, color=ORANGE, linestyle="--", label="an equal share")
    last.set_ylim(0, 1.25 * max(line.get_ydata().max() for line in last.lines[:-1]))
    last.legend(frameon=False)
    last.grid(alpha=0.3)
    course.set_xticks(position[:: max(length // 10, 1)] + 0.5, position[:: max(length // 10, 1)])
    last.set_xticks(position[:: max(length // 10, 1)])
    for axes in (course, last):
        axes.set_xlabel(f"time step of the window: 0 the oldest, {length - 1} the latest")
