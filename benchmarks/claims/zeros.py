"""Claims on what makes gradients zero, and what does not: C1, C2, C7, C13."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.claims.table import ANY, NAMES, WORLDS, Runs
from benchmarks.claims.verdict import (
    Form,
    Row,
    Verdict,
    judge,
    listed,
    percent,
    points,
    span,
    verdict,
)
from src.reporting.statistics import Estimate, estimate
from src.reporting.text import count_of

DEAD: dict[str, Any] = {"schedule": "dead_inputs"}
LEARNED = ("learnable", "gated", "attention")
POINT = 0.01
"""One percentage point: within it, zeros are the same."""


def same(change: Estimate) -> bool:
    """Return whether the interval of a change of zeros lies within one point of none."""
    return change.low >= -POINT and change.high <= POINT


ALIVE = "features alive"


def with_alive(rows: Sequence[Row], form: Form) -> str:
    """Return a sentence on the same comparison where nothing dies; empty where it was not made."""
    found = [row.value for row in rows if row.condition.endswith(ALIVE) and row.value.n]
    if not found:
        return ""
    fewest = count_of(min(value.n for value in found), "seed")
    told = f"{count_of(len(found), 'condition')}, at least {fewest}"
    return f" With all features alive it is {span(found, form)} ({told})."


def c1(runs: Runs) -> Verdict:
    """Mean pooling causes the zeros."""
    rows, mean, learned, columns = [], [], [], []
    for world in WORLDS:
        here = {**DEAD, "data": world}
        for pooling in LEARNED:
            change = runs.change("zeros", here, {**here, "pooling": pooling})
            met = judge(change, change.low > 10 * POINT, same(change))
            title = f"mean minus {pooling} pooling"
            rows.append(Row(NAMES[world], title, "zeros", change, points, met))
            if change.n:
                learned.append(runs.mean("zeros", **here, pooling=pooling))
                mean.append(runs.mean("zeros", **here))
            all_alive = {"schedule": "none", "data": world}
            change = runs.change("zeros", all_alive, {**all_alive, "pooling": pooling})
            rows.append(Row(NAMES[world], f"{title}, {ALIVE}", "zeros", change, points))
        picked = runs.pick(**here)
        columns += list((picked["columns"] / picked["zeros"]).dropna())
    decided = [row.value for row in rows if row.met and row.value.n]
    sentence = (
        f"{span(mean, percent)} of the gradient's entries are zero with mean pooling and "
        f"{span(learned, percent)} with learned pooling; mean minus learned is "
        f"{span(decided, points)}.{with_alive(rows, points)} "
        f"{span(columns, percent)} of the zeros lie in whole columns, that is, in input features."
    )
    return verdict(rows, sentence, f"{span(decided, points)}, mean minus learned")


def c2(runs: Runs) -> Verdict:
    """Learnable pooling brings the zeros under 20%."""
    rows = []
    for world in WORLDS:
        zeros = runs.mean("zeros", **DEAD, data=world, pooling="learnable")
        met = judge(zeros, zeros.high < 0.2, zeros.low > 0.2)
        rows.append(Row(NAMES[world], "learnable pooling", "zeros at the end", zeros, percent, met))
        alive = runs.mean("zeros", schedule="none", data=world, pooling="learnable")
        title = f"learnable pooling, {ALIVE}"
        rows.append(Row(NAMES[world], title, "zeros at the end", alive, percent))
    found = [row.value for row in rows if row.met and row.value.n]
    below = sum(zeros.high < 0.1 for zeros in found)
    sentence = (
        f"With learnable pooling {span(found, percent)} of the entries are zero at the end; "
        f"they are below 10% in {below} of {len(found)} worlds.{with_alive(rows, percent)}"
    )
    return verdict(rows, sentence, f"{span(found, percent)} zeros")


def c7(runs: Runs) -> Verdict:
    """Forcing the pooling repairs the zeros."""
    anything = {"prior": ANY, "kl_weight": ANY, "injection": ANY, "init": ANY}
    sizes = {"num_layers": ANY, "hidden_size": ANY, "lr": ANY}
    rows = []
    for world in WORLDS:
        plain_runs = {**DEAD, "data": world, "pooling": "learnable", **sizes}
        found = runs.pick(**plain_runs | anything)
        for key, title in sorted(forced_priors(found).items(), key=lambda item: item[1]):
            prior = dict(zip(("prior", "kl_weight", "injection", "init"), key, strict=True))
            by = ("seed", "num_layers", "hidden_size", "lr")
            change = runs.change("zeros", plain_runs | prior, plain_runs, by)
            met = judge(change, change.high < -10 * POINT, same(change))
            rows.append(Row(NAMES[world], title, "change of zeros", change, points, met))
            alive = {**plain_runs, "schedule": "none"}
            change = runs.change("zeros", alive | prior, alive, by)
            rows.append(Row(NAMES[world], f"{title}, {ALIVE}", "change of zeros", change, points))
    changes = [row.value for row in rows if row.met and row.value.n]
    ends = [
        runs.mean("zeros", **DEAD, data=world, pooling="learnable", **sizes) for world in WORLDS
    ]
    sentence = (
        f"However the weights were forced, the zeros changed by {span(changes, points)} against "
        f"the {span(ends, percent)} of plain learnable pooling.{with_alive(rows, points)}"
    )
    return verdict(rows, sentence, f"{span(changes, points)} by forcing")


def forced_priors(frame: Any) -> dict[tuple[Any, ...], str]:
    """Return every way in which pooling weights were forced, and what to call it."""
    keys = ["prior", "kl_weight", "injection", "init"]
    found: dict[tuple[Any, ...], str] = {}
    for key in frame[keys].drop_duplicates().itertuples(index=False, name=None):
        _, weight, injection, init = key
        parts = [f"KL {weight:g}"] if weight else []
        parts += [f"injection ({injection})"] if injection != "none" else []
        parts += [START[init]] if init != "uniform" else []
        if parts:
            found[key] = " + ".join(parts)
    return found


START = {"recency_probability": "published start", "recency_log": "log start"}


CLAIMED_DEPTH = 26
"""Layers of the model from which fewer were said to help."""


def c13(runs: Runs) -> Verdict:
    """Fewer layers slow the decay."""
    rows, depths = [], set()
    for world in WORLDS:
        here = {**DEAD, "data": world, "num_layers": ANY}
        frame = runs.pick(**here).dropna(subset=["zeros_6k"])
        slope = _slope(frame)
        met = judge(slope, slope.low > POINT, same(slope))
        rows.append(Row(NAMES[world], "each doubling", "change of zeros", slope, points, met))
        alive = _slope(runs.pick(**{**here, "schedule": "none"}).dropna(subset=["zeros_6k"]))
        title = f"each doubling, {ALIVE}"
        rows.append(Row(NAMES[world], title, "change of zeros", alive, points))
        for layers in sorted(frame["num_layers"].unique()):
            zeros = runs.mean("zeros_6k", **{**here, "num_layers": layers})
            title = count_of(int(layers), "layer")
            rows.append(Row(NAMES[world], title, "zeros at 6,000", zeros, percent))
            depths.add(f"{layers:g}")
    slopes_found = [row.value for row in rows if row.met and row.value.n]
    levels = [row.value for row in rows if row.quantity == "zeros at 6,000"]
    deepest = max(map(int, depths), default=0)
    beyond = f" No run is deeper than {deepest} layers." if deepest < CLAIMED_DEPTH else ""
    sentence = (
        f"With {listed(sorted(depths, key=int))} layers {span(levels, percent)} of the entries are "
        f"zero at step 6,000; each doubling of the depth changes that by "
        f"{span(slopes_found, points)}.{with_alive(rows, points)}{beyond}"
    )
    return verdict(rows, sentence, f"{span(slopes_found, points)} per doubling")


def _slope(frame: Any) -> Estimate:
    """Return how the zeros at step 6,000 change with each doubling of the depth, over seeds."""
    return estimate(
        [
            np.polyfit(np.log2(seed["num_layers"]), seed["zeros_6k"], 1)[0]
            for _, seed in frame.groupby("seed")
            if seed["num_layers"].nunique() > 1
        ]
    )
