"""How many steps a run needs to a validation loss that another run sets."""

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.claims.rows import losses

Losses = Sequence[tuple[int, float]]
_SAME = ("data", "source", "schedule", "hidden_size", "num_layers", "lr", "norm", "dropout")


def add_goals(rows: Sequence[dict[str, Any]], reports: Sequence[dict[str, Any]]) -> None:
    """Add to each row the steps to a goal, and those of the mean-pooled run of the same seed.

    The goal of the scenario lies halfway between predicting the mean (1.0) and its noise floor.
    Where no floor is known it is the loss that both runs of the pair reach: the higher of their
    best ones. A goal that is never reached counts as the run's last step.

    Args:
        rows: one per run, changed in place.
        reports: theirs, in the same order.
    """
    curves = [losses(report) for report in reports]
    pairs = {
        _pair(row): curve
        for row, curve in zip(rows, curves, strict=True)
        if row["pooling"] == "mean" and _is_plain(row)
    }
    for row, curve in zip(rows, curves, strict=True):
        mean = pairs.get(_pair(row)) if _is_plain(row) else None
        goal = _goal(row["noise_floor"], curve, mean) if mean and curve else math.nan
        reached = steps_to(curve, goal)
        row["goal"] = goal
        row["goal_step"] = _last(curve, reached) if math.isfinite(goal) else math.nan
        row["goal_reached"] = float(reached is not None) if math.isfinite(goal) else math.nan
        row["mean_goal_step"] = (
            _last(mean, steps_to(mean, goal)) if mean and math.isfinite(goal) else math.nan
        )


def steps_to(curve: Losses, goal: float) -> int | None:
    """Return the first step with a loss not above the goal.

    >>> steps_to([(10, 0.9), (20, 0.5), (30, 0.6)], 0.7), steps_to([(10, 0.9)], 0.7)
    (20, None)
    """
    return next((step for step, loss in curve if loss <= goal), None)


def _last(curve: Losses, reached: int | None) -> float:
    return float(curve[-1][0] if reached is None else reached)


def _goal(floor: float, curve: Losses, mean: Losses) -> float:
    if math.isfinite(floor):
        return (1 + floor) / 2
    return max(_best(curve), _best(mean))


def _best(curve: Losses) -> float:
    return min((loss for _, loss in curve if math.isfinite(loss)), default=math.nan)


def _pair(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["seed"], *(row[factor] for factor in _SAME))


def _is_plain(row: dict[str, Any]) -> bool:
    unforced = row["prior"] == "none" and row["init"] == "uniform"
    return unforced and row["model"] == "transformer" and row["schedule"] == "none"
