"""Claims on what happens inside the layers: C8 (units that die) and C12 (attention's bias)."""

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.claims.rows import PUBLISHED_SIZE
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
from benchmarks.claims.zeros import POINT
from src.reporting.statistics import estimate
from src.reporting.text import count_of

TINY, LARGE = 1e-4, 1e-2
"""Shares of what another third does: below the one nothing is lost, above the other much is.

Forecasts are float32: how far they move is read to some 1e-4 where nothing moves them much.
"""


def c8(runs: Runs) -> Verdict:
    """A mismatch of feature scales makes neurons die."""
    rows: list[Row] = []
    for world in WORLDS:
        for pooling in ("mean", "learnable"):
            shocked = {"schedule": "scale_shock", "data": world, "pooling": pooling}
            for size in runs.levels("largest_size", **shocked, lr=ANY):
                for lr in runs.levels("lr", **shocked, largest_size=size):
                    rows += _shocked(runs, world, pooling, size, lr)
    units = [row.value for row in rows if row.quantity == "dead units" and row.value.n]
    alive = [row.value for row in rows if row.quantity == "features alive" and row.value.n]
    changes = [row.value for row in rows if row.met and row.value.n]
    first = [row.value for row in rows if row.quantity == "dead rows" and row.value.n]
    losses = [row.value for row in rows if row.quantity == "validation loss" and row.value.n]
    sentence = (
        f"After position features of sizes up to {_largest(runs)} were switched on in "
        f"mid-training, {span(units, percent)} of the feed-forward units are dead at the end; "
        f"where the same runs were made with these features at size 1 ({judged_on(rows)}), it "
        f"is {span(alive, percent)}, a difference of {span(changes, points)}. The first layer is "
        f"linear: none of its units can saturate, and {span(first, percent)} of its rows are dead. "
        f"The validation loss ends at {span(losses, plain)}."
    )
    return verdict(rows, sentence, f"{span(changes, points)} of dead feed-forward units")


def judged_on(rows: Sequence[Row]) -> str:
    """Return the worlds whose rows decide."""
    return listed([row.world for row in rows if row.met])


def _largest(runs: Runs) -> str:
    shocked = runs.frame[runs.frame["schedule"] == "scale_shock"]
    largest = shocked["largest_size"].max() if len(shocked) else PUBLISHED_SIZE
    return f"{largest:,.0f}"


def _shocked(runs: Runs, world: str, pooling: str, size: float, lr: float) -> list[Row]:
    """Return the rows of one size and rate; the change to runs with features alive decides."""
    here = {"data": world, "pooling": pooling, "lr": lr}
    shocked = {**here, "schedule": "scale_shock", "largest_size": size}
    change = runs.change("dead_units", shocked, {**here, "schedule": "none"})
    met = judge(change, change.low > 10 * POINT, change.high < POINT) if change.n else ""
    # Of runs that have no counterpart nothing is compared.
    alive = runs.mean("dead_units", **{**here, "schedule": "none"}) if change.n else change
    title = f"{pooling} pooling (sizes to {size:,.0f}, Adam at {rate(lr)})"
    shown = (
        ("dead units", runs.mean("dead_units", **shocked), percent, ""),
        ("features alive", alive, percent, ""),
        ("difference", change, points, met),
        ("dead rows", runs.mean("rows", **shocked), percent, ""),
        ("validation loss", runs.mean("loss", **shocked), plain, ""),
    )
    return [Row(NAMES[world], title, what, value, form, word) for what, value, form, word in shown]


def c12(runs: Runs) -> Verdict:
    """A third of zeros in the bias of attention is critical."""
    rows: list[Row] = []
    for world in WORLDS:
        frame = runs.frame[runs.frame["data"] == world]
        measured = frame.dropna(subset=["key_gradient"])
        for column, what in (("key_gradient", "gradient"), ("key_shift", "forecast moved")):
            logs = np.log10(measured[column].clip(lower=1e-30))
            found = estimate(logs.groupby(measured["seed"]).mean())
            shares = measured["key_gradient"]
            harmless = bool((shares < TINY).all() and (measured["key_shift"] < LARGE).all())
            met = judge(found, bool((shares > LARGE).all()), harmless) if found.n else ""
            most = found._replace(mean=logs.max(), low=math.nan, high=math.nan)
            is_judged = column == "key_gradient"
            rows += [
                Row(NAMES[world], "every layer", what, found, power, met if is_judged else ""),
                Row(NAMES[world], "every layer", f"{what}, at most", most, power),
            ]
    rows += _diagnosed(runs)
    return verdict(rows, *_told(runs, rows))


def _diagnosed(runs: Runs) -> list[Row]:
    """Return what was measured where the diagnosis found the third to be structural."""
    rows = []
    for world in WORLDS:
        frame = runs.frame[(runs.frame["data"] == world) & (runs.frame["key_bias"] > 0)]
        ratios = np.log10(frame["key_bias_ratio"].clip(lower=1e-30))
        found = estimate(ratios.groupby(frame["seed"]).mean())
        rows.append(Row(NAMES[world], "diagnosed as structural", "gradient", found, power))
        if found.n:
            most = found._replace(mean=float(ratios.max()), low=math.nan, high=math.nan)
            title = "diagnosed as structural"
            rows.append(Row(NAMES[world], title, "gradient, at most", most, power))
    return rows


def _told(runs: Runs, rows: list[Row]) -> tuple[str, str]:
    """Return what was measured in every layer, and what the diagnosis calls it."""

    def means(quantity: str) -> str:
        return span(
            [
                row.value
                for row in rows
                if (row.condition, row.quantity) == ("every layer", quantity) and row.value.n
            ],
            power,
        )

    flagged = runs.frame[(runs.frame["key_bias"] > 0) & runs.frame["data"].isin(WORLDS)]
    benign = int((flagged["key_bias_benign"] > 0).sum())
    diagnosed = (
        f" Where the diagnosis flags it, it calls it structural and benign in {benign} of "
        f"{len(flagged)} runs."
        if len(flagged)
        else ""
    )
    measured = runs.frame[runs.frame["data"].isin(WORLDS)]["key_gradient"].count()
    every = [row for row in rows if row.condition == "every layer" and row.value.n]
    tops = [row.value.mean for row in every if row.quantity == "gradient, at most"]
    most = power(max(tops, default=math.nan))
    sentence = (
        f"In every attention layer of the {count_of(int(measured), 'run')} that looked at it, "
        f"flagged or not ({judged_on(rows)}), the gradient of the key third is "
        f"{means('gradient')} times that of the larger other third (geometric mean), at most "
        f"{most} times; raising it by 1 moves the forecasts {means('forecast moved')} times as far "
        "as raising the one that moves them most."
    )
    return sentence + diagnosed, f"{means('gradient')} of its neighbours' gradient"
