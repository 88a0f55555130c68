"""Claims on what makes gradients zero, and what does not: C1, C2, C7, C8, C12, C13."""

import math
from typing import Any

import numpy as np

from benchmarks.claims.table import ANY, NAMES, WORLDS, Runs
from benchmarks.claims.verdict import (
    Row,
    Verdict,
    judge,
    listed,
    percent,
    plain,
    points,
    power,
    rate,
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


def c1(runs: Runs) -> Verdict:
    """Mean pooling causes the zeros."""
    rows, mean, learned, columns, alive = [], [], [], [], []
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
            rows.append(Row(NAMES[world], f"{title}, features alive", "zeros", change, points))
            alive += [change] if change.n else []
        picked = runs.pick(**here)
        columns += list((picked["columns"] / picked["zeros"]).dropna())
    decided = [row.value for row in rows if row.met and row.value.n]
    beside = f" With all features alive it is {span(alive, points)}." if alive else ""
    sentence = (
        f"{span(mean, percent)} of the gradient's entries are zero with mean pooling and "
        f"{span(learned, percent)} with learned pooling; mean minus learned is "
        f"{span(decided, points)}.{beside} "
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
    found = [row.value for row in rows if row.value.n]
    below = sum(zeros.high < 0.1 for zeros in found)
    sentence = (
        f"With learnable pooling {span(found, percent)} of the entries are zero at the end; "
        f"they are below 10% in {below} of {len(found)} worlds."
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
    changes = [row.value for row in rows if row.value.n]
    ends = [
        runs.mean("zeros", **DEAD, data=world, pooling="learnable", **sizes) for world in WORLDS
    ]
    sentence = (
        f"However the weights were forced, the zeros changed by {span(changes, points)} against "
        f"the {span(ends, percent)} of plain learnable pooling."
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


def c8(runs: Runs) -> Verdict:
    """A mismatch of feature scales makes neurons die."""
    rows: list[Row] = []
    for world in WORLDS:
        for pooling in ("mean", "learnable"):
            here = {"schedule": "scale_shock", "data": world, "pooling": pooling}
            for lr in runs.levels("lr", **here):
                title = f"{pooling} pooling, Adam at {rate(lr)}"
                dead, columns, loss = (
                    runs.mean(column, **here, lr=lr) for column in ("rows", "columns", "loss")
                )
                met = judge(dead, dead.low > 10 * POINT, dead.high < POINT)
                rows += [
                    Row(NAMES[world], title, "dead rows", dead, percent, met),
                    Row(NAMES[world], title, "dead columns", columns, percent),
                    Row(NAMES[world], title, "validation loss", loss, plain),
                ]
    ends = [row.value for row in rows if row.met and row.value.n]
    losses = [row.value for row in rows if row.quantity == "validation loss" and row.value.n]
    sentence = (
        "After position features of sizes 50 to 1,000 were switched on in mid-training, "
        f"{span(ends, percent)} of the rows, that is, of the output units, are dead at the end; "
        f"the validation loss ends at {span(losses, plain)}. The first layer is linear, so that "
        "none of its units can saturate; units that can, in the feed-forward layers, were not "
        "measured."
    )
    return verdict(rows, sentence, f"{span(ends, percent)} dead rows in the first layer")


def c12(runs: Runs) -> Verdict:
    """A third of zeros in the bias of attention is critical."""
    rows, most, benign, found = [], 0.0, 0, 0
    for world in WORLDS:
        frame = runs.frame[(runs.frame["data"] == world) & (runs.frame["key_bias"] > 0)]
        ratios = frame["key_bias_ratio"].clip(lower=1e-30)
        log = estimate(np.log10(ratios).groupby(frame["seed"]).mean())
        harmless = bool(frame["key_bias_benign"].all() and (ratios < 1e-4).all())
        critical = bool((ratios > 1e-2).all())
        met = judge(log, critical, harmless) if len(frame) else ""
        rows.append(Row(NAMES[world], "all runs", "key third / the others", log, power, met))
        if len(frame):
            top = float(ratios.max())
            only = log._replace(mean=math.log10(top), low=math.nan, high=math.nan)
            rows.append(Row(NAMES[world], "all runs", "the largest ratio", only, power))
            most = max(most, top)
            benign, found = benign + int(frame["key_bias_benign"].sum()), found + len(frame)
    means = [row.value for row in rows if row.met]
    reason = ": rounding error around a true zero" if most < 1e-4 else ""
    sentence = (
        f"The gradient of the key third is {span(means, power)} times that of the query and value "
        f"thirds on average and never more than {power(math.log10(max(most, 1e-30)))} times"
        f"{reason}. The diagnosis calls it structural and benign in {benign} of {found} runs."
    )
    return verdict(rows, sentence, f"{span(means, power)} of its neighbours' gradient")


def c13(runs: Runs) -> Verdict:
    """Fewer layers slow the decay."""
    rows, depths = [], set()
    for world in WORLDS:
        here = {**DEAD, "data": world, "num_layers": ANY}
        frame = runs.pick(**here).dropna(subset=["zeros_6k"])
        slopes = [
            np.polyfit(np.log2(seed["num_layers"]), seed["zeros_6k"], 1)[0]
            for _, seed in frame.groupby("seed")
            if seed["num_layers"].nunique() > 1
        ]
        slope = estimate(slopes)
        met = judge(slope, slope.low > POINT, same(slope))
        rows.append(Row(NAMES[world], "each doubling", "change of zeros", slope, points, met))
        for layers in sorted(frame["num_layers"].unique()):
            zeros = runs.mean("zeros_6k", **{**here, "num_layers": layers})
            title = count_of(int(layers), "layer")
            rows.append(Row(NAMES[world], title, "zeros at 6,000", zeros, percent))
            depths.add(f"{layers:g}")
    slopes_found = [row.value for row in rows if row.met and row.value.n]
    levels = [row.value for row in rows if not row.met]
    sentence = (
        f"With {listed(sorted(depths, key=int))} layers {span(levels, percent)} of the entries are "
        f"zero at step 6,000; each doubling of the depth changes that by "
        f"{span(slopes_found, points)}."
    )
    return verdict(rows, sentence, f"{span(slopes_found, points)} per doubling")
