"""Cures and cosmetics: what every remedy changes, and how the same number has two causes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.claims.remedies import ATTEMPTS, BOTH, GOOD_LOSS
from benchmarks.claims.table import ANY, WORLDS, Runs
from benchmarks.claims.verdict import TOO_FEW
from benchmarks.claims.zeros import POINT
from src.reporting.statistics import Estimate

ALIVE = "features alive"
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
CURE, COSMETIC, HELPS, NOTHING, HARM = "cure", "cosmetic", "helps the loss", "no effect", "harm"
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
    """

    world: str
    schedule: str
    zeros: Estimate
    columns: Estimate
    rows: Estimate
    named: Mapping[str, tuple[int, float]]
    diagnosed: int


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
            found.append(Causes(world, schedule, zeros, columns, rows, named, len(frame)))
    return found


def _named(causes: Iterable[str]) -> dict[str, tuple[int, float]]:
    """Return how many runs name each cause and the mean share of it, the largest first."""
    shares: dict[str, list[float]] = {}
    for cause, share in (part.split("=") for one in causes for part in one.split()):
        shares.setdefault(cause, []).append(float(share))
    named = {cause: (len(found), sum(found) / len(found)) for cause, found in shares.items()}
    return dict(sorted(named.items(), key=lambda item: (-item[1][1], item[0])))
