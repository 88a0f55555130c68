"""Claims on what was said to help, or not to (C9, C10, C11), and what every remedy changes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.claims.table import ANY, NAMES, SCHEDULES, WORLDS, Runs
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
from benchmarks.claims.zeros import ALIVE, POINT, same, with_alive
from src.reporting.statistics import Estimate

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
    most: list[float] = []
    for world in WORLDS:
        for schedule in BOTH:
            rows += _layer_norm(runs, world, schedule)
            most += list(runs.values("zeros_most", data=world, schedule=schedule, norm="layer"))
    decided = [row for row in rows if row.met]
    ever = percent(max(most, default=float("nan")))
    columns = [row.value for row in rows if row.quantity == "distinct columns" and row.value.n]
    losses = [row.value for row in decided if row.value.n]
    better = _on([row.world for row in decided if row.value.high < 0], len(losses))
    worse = _on([row.world for row in decided if row.value.low > 0], len(losses))
    sentence = (
        f"Under layer norm at most {ever} of the entries are ever zero in any run, and the "
        f"number of distinct gradient columns changes by {span(columns, count_change)} of 129. The "
        f"validation loss changes by {span(losses, signed)}: it is shown to fall {better} and to "
        f"rise {worse}. Zeros that go while the loss is not shown to fall are cosmetic."
    )
    number = f"zeros {ever} at most, loss {span(losses, signed)}"
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
            alive = {**base, "schedule": "none"}
            zeros = runs.change("zeros", {**alive, **factors}, alive)
            rows.append(Row(NAMES[world], f"{title}, {ALIVE}", "change of zeros", zeros, points))
        for schedule in BOTH:
            shocked = {**base, "schedule": schedule}
            losses += [
                runs.change("loss", {**shocked, **factors}, shocked)
                for factors in ATTEMPTS.values()
            ]
    changes = [row.value for row in rows if row.met and row.value.n]
    sentence = (
        f"Each on its own, they change the zeros by {span(changes, points)}."
        f"{with_alive(rows, points)} The validation loss "
        f"changes by {span(losses, signed)} under both schedules (each in the table of cures)."
    )
    return verdict(rows, sentence, f"zeros {span(changes, points)}")


COLUMNS = 129
REMEDIES: Mapping[str, Mapping[str, Any]] = {
    ALIVE: {"schedule": "none"},
    "layer norm": {"norm": "layer"},
    "feature norm": {"norm": "feature"},
    "learnable pooling": {"pooling": "learnable"},
    "gated pooling": {"pooling": "gated"},
    "attention pooling": {"pooling": "attention"},
    "learnable with KL 0.1": {
        "pooling": "learnable",
        **{"prior": "recency_kl", "kl_weight": 0.1, "init": ANY},
    },
    "learnable, forced": {
        "pooling": "learnable",
        **{"prior": "forced", "kl_weight": ANY, "injection": ANY, "init": ANY},
    },
    "dropout 0.1": {"dropout": "projection"},
    **ATTEMPTS,
    "1 layer": {"num_layers": 1},
    "4 layers": {"num_layers": 4},
    "8 layers": {"num_layers": 8},
    "hidden size 128": {"hidden_size": 128},
}
CURE, COSMETIC, HELPS, NOTHING, HARM = "cure", "cosmetic", "helps the loss", "none shown", "harm"
REPAIR = "repair, no gain"
COSMETIC_HARM = "cosmetic, loss rises"


@dataclass(frozen=True)
class Cure:
    """What one remedy changes in one world, paired by seed with the base run.

    Args:
        remedy: its name.
        world: data.
        schedule: what happens to the features.
        zeros: change of the share of zeros at the end.
        distinct: change of the number of distinct gradient columns.
        loss: change of the validation loss at the end.
        ratio: test RMSE over that of "tomorrow = today", as it is.
        word: what it is good for.
    """

    remedy: str
    world: str
    schedule: str
    zeros: Estimate
    distinct: Estimate
    loss: Estimate
    ratio: Estimate
    word: str


def find_cures(runs: Runs) -> list[Cure]:
    """Return what every remedy changes in every world it was tried in."""
    cures = []
    for schedule in (*BOTH, "none"):
        for world in WORLDS:
            base = {"data": world, "schedule": schedule}
            for remedy, factors in REMEDIES.items():
                if all({**runs.base, **base}.get(key) == value for key, value in factors.items()):
                    continue
                changed = {**base, **factors}
                zeros, distinct, loss = (
                    runs.change(column, changed, base)
                    for column in ("zeros", "distinct_columns", "loss")
                )
                if zeros.n:
                    ratio = runs.mean("ratio", **changed)
                    gain = GOOD_LOSS * runs.mean("loss", **base).mean
                    word = word_of(zeros, distinct, loss, gain)
                    cures.append(Cure(remedy, world, schedule, zeros, distinct, loss, ratio, word))
    return cures


def word_of(zeros: Estimate, distinct: Estimate, loss: Estimate, gain: float = 0.0) -> str:
    """Return what a remedy is good for: the intervals of three changes decide.

    Args:
        zeros: change of the share of zeros.
        distinct: change of the number of distinct gradient columns.
        loss: change of the validation loss.
        gain: a smaller change of the loss is none.
    """
    if min(zeros.n, loss.n) < 2:
        return TOO_FEW
    if zeros.high <= -10 * POINT:
        if loss.high < -gain:
            return CURE
        # Columns that came back as directions of their own, not as copies of one.
        if distinct.low >= 10 * POINT * COLUMNS and loss.low <= gain:
            return REPAIR
        return COSMETIC_HARM if loss.low > gain else COSMETIC
    return HELPS if loss.high < -gain else HARM if loss.low > gain else NOTHING


@dataclass(frozen=True)
class Causes:
    """What the base run's zeros look like when inputs die, and when units die.

    Args:
        world: data.
        schedule: what dies.
        zeros: share of zeros at the end.
        columns: share that lies in dead columns.
        rows: share that lies in dead rows.
        named: by cause, the runs whose diagnosis names it and the share it explains, on average.
        diagnosed: runs with a diagnosis.
        days: when these runs were made, and diagnosed.
    """

    world: str
    schedule: str
    zeros: Estimate
    columns: Estimate
    rows: Estimate
    named: Mapping[str, tuple[int, float]]
    diagnosed: int
    days: Sequence[str] = ()


def find_causes(runs: Runs) -> list[Causes]:
    """Return the two ways to the same share of zeros, in every world."""
    found = []
    for world in WORLDS:
        for schedule in ("dead_inputs", "dead_units"):
            # The units may die in a layer of another width: whole rows give 66.7% of few widths.
            wide = {"hidden_size": ANY} if schedule == "dead_units" else {}
            here = {"data": world, "schedule": schedule, **wide}
            zeros, columns, rows = (runs.mean(c, **here) for c in ("zeros", "columns", "rows"))
            if not zeros.n:
                continue
            frame = runs.pick(**here)
            frame = frame[frame["diagnosed"] > 0]
            named = _named(frame["causes"].fillna(""))
            days = sorted(set(frame["started"]) - {""})
            found.append(Causes(world, schedule, zeros, columns, rows, named, len(frame), days))
    return found


def _named(causes: Iterable[str]) -> dict[str, tuple[int, float]]:
    """Return how many runs name each cause and the mean share of it, the largest first."""
    shares: dict[str, list[float]] = {}
    for cause, share in (part.split("=") for one in causes for part in one.split()):
        shares.setdefault(cause, []).append(float(share))
    named = {cause: (len(found), sum(found) / len(found)) for cause, found in shares.items()}
    return dict(sorted(named.items(), key=lambda item: (-item[1][1], item[0])))
