"""Claims on what was said to help, or not to: C9, C10, C11."""

from collections.abc import Mapping
from typing import Any

from benchmarks.claims.table import NAMES, SCHEDULES, WORLDS, Runs
from benchmarks.claims.verdict import (
    CONFIRMED,
    MIXED,
    REFUTED,
    TOO_FEW,
    Row,
    Verdict,
    count_change,
    judge,
    listed,
    percent,
    points,
    signed,
    span,
    verdict,
)
from benchmarks.claims.zeros import POINT, same

BOTH = ("dead_inputs", "scale_shock")
ATTEMPTS: Mapping[str, Mapping[str, Any]] = {
    "clipping at 1": {"clip": 1.0},
    "clipping at 10": {"clip": 10.0},
    "dropout 0.3": {"dropout": "strong"},
    "position gradients x 0.05": {"position_gradients": 0.05},
    "residual branches x 0.1": {"residual_scale": 0.1},
    "residual branches x 0.5": {"residual_scale": 0.5},
}
GOOD_LOSS = 0.01
"""Share of the base run's loss; a gain below it is none."""


def where(world: str, schedule: str) -> str:
    """Return what a world under a schedule is called."""
    return f"{NAMES[world]} ({SCHEDULES[schedule]})"


def c9(runs: Runs) -> Verdict:
    """Layer norm takes the zeros under 5% for good."""
    rows: list[Row] = []
    for world in WORLDS:
        for schedule in BOTH:
            rows += _layer_norm(runs, world, schedule)
    decided = [row for row in rows if row.met]
    zeros = [row.value for row in rows if row.quantity == "zeros, at most" and row.value.n]
    columns = [row.value for row in rows if row.quantity == "distinct columns" and row.value.n]
    losses = [row.value for row in decided if row.value.n]
    better = _on([row.world for row in decided if row.value.high < 0], len(losses))
    worse = _on([row.world for row in decided if row.value.low > 0], len(losses))
    sentence = (
        f"Under layer norm at most {span(zeros, percent)} of the entries are ever zero, and the "
        f"number of distinct gradient columns changes by {span(columns, count_change)} of 129. The "
        f"validation loss changes by {span(losses, signed)}: it falls {better} and rises {worse}. "
        "Zeros that go while the loss does not fall are cosmetic."
    )
    number = f"zeros {span(zeros, percent)} at most, loss {span(losses, signed)}"
    return verdict(rows, sentence, number, split=False)


def _on(worlds: list[str], of: int) -> str:
    if len(worlds) in (0, of):
        return "everywhere" if worlds else "nowhere"
    return f"on {listed(worlds)}"


def _layer_norm(runs: Runs, world: str, schedule: str) -> list[Row]:
    """Return layer norm's rows in one world: the loss decides, where the zeros are gone."""
    base = {"data": world, "schedule": schedule}
    normed = {**base, "norm": "layer"}
    most = runs.values("zeros_most", **normed)
    loss = runs.change("loss", normed, base)
    stays = bool(len(most)) and bool((most < 0.05).all())
    met = judge(loss, loss.high < 0, False)
    met = met if met == TOO_FEW else REFUTED if not stays else CONFIRMED if loss.high < 0 else MIXED
    shown = (
        ("zeros, at most", runs.mean("zeros_most", **normed), percent, ""),
        ("change of zeros", runs.change("zeros", normed, base), points, ""),
        ("distinct columns", runs.change("distinct_columns", normed, base), count_change, ""),
        ("validation loss", loss, signed, met),
    )
    return [
        Row(where(world, schedule), "layer norm minus none", what, value, form, word)
        for what, value, form, word in shown
    ]


def c10(runs: Runs) -> Verdict:
    """Dropout after the projection helps."""
    rows: list[Row] = []
    for world in WORLDS:
        for schedule in BOTH:
            base = {"data": world, "schedule": schedule}
            dropped = {**base, "dropout": "projection"}
            zeros = runs.change("zeros", dropped, base)
            loss = runs.change("loss", dropped, base)
            level = runs.mean("loss", **base).mean
            helps = zeros.high < -POINT or loss.high < 0
            met = judge(loss, helps, zeros.low >= -POINT and loss.low > -GOOD_LOSS * abs(level))
            place = where(world, schedule)
            rows += [
                Row(place, "dropout 0.1 minus none", "change of zeros", zeros, points),
                Row(place, "dropout 0.1 minus none", "validation loss", loss, signed, met),
            ]
    zeros_found = [row.value for row in rows if not row.met and row.value.n]
    losses = [row.value for row in rows if row.met and row.value.n]
    sentence = (
        f"Dropout of 0.1 changes the zeros by {span(zeros_found, points)} and the validation loss "
        f"by {span(losses, signed)}."
    )
    return verdict(
        rows, sentence, f"zeros {span(zeros_found, points)}, loss {span(losses, signed)}"
    )


def c11(runs: Runs) -> Verdict:
    """Clipping, strong dropout, scaled gradients and scaled residuals were not the cure."""
    rows: list[Row] = []
    losses = []
    for world in WORLDS:
        base = {"data": world, "schedule": "dead_inputs"}
        for title, factors in ATTEMPTS.items():
            zeros = runs.change("zeros", {**base, **factors}, base)
            met = judge(zeros, same(zeros), zeros.high < -10 * POINT)
            rows.append(Row(NAMES[world], title, "change of zeros", zeros, points, met))
        for schedule in BOTH:
            shocked = {**base, "schedule": schedule}
            losses += [
                runs.change("loss", {**shocked, **factors}, shocked)
                for factors in ATTEMPTS.values()
            ]
    changes = [row.value for row in rows if row.value.n]
    sentence = (
        f"Each on its own, they change the zeros by {span(changes, points)}. The validation loss "
        f"changes by {span(losses, signed)} under both schedules (each in the table of cures)."
    )
    return verdict(rows, sentence, f"zeros {span(changes, points)}")
