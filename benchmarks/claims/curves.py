"""Means and intervals over seeds for the figures, small enough to be committed."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.claims import rows
from benchmarks.claims.memory import BIASED, CELLS, FREE, LSTM_LAG
from benchmarks.claims.remedies import REMEDIES
from benchmarks.claims.table import WORLDS, Runs
from benchmarks.claims.verdict import rate
from benchmarks.claims.weights import PUSHED
from benchmarks.claims.zeros import LEARNED, START
from src.reporting.statistics import estimate

POINTS = 48
"""Points of a curve: more cannot be told apart in a figure."""
BASE_RUN = "no remedy"
LOSSES = {
    "scale_shock": {
        BASE_RUN: {},
        "layer norm": {"norm": "layer"},
        "feature norm": {"norm": "feature"},
    },
    "none": {
        "mean pooling": {},
        **{f"{pooling} pooling": {"pooling": pooling} for pooling in LEARNED},
    },
}

Report = Mapping[str, Any]
Series = Callable[[Report], Mapping[float, float]]


def find_curves(runs: Runs, reports: Sequence[Report]) -> dict[str, Any]:
    """Return every curve the figures need.

    Args:
        runs: the table; its index counts the reports.
        reports: the runs' reports.

    Returns:
        By figure, world and condition: `step` on the published axis, `mean`, `low` and `high` over
        seeds; or a value per time step of the window.
    """

    def chosen(**factors: Any) -> list[Report]:
        return [reports[i] for i in runs.pick(**factors).index]

    def curves(series: Series, conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        found = {name: curve(chosen(**factors), series) for name, factors in conditions.items()}
        return {name: found_curve for name, found_curve in found.items() if found_curve}

    result: dict[str, Any] = {
        name: {} for name in ("zeros", "pace", "weights", "shares", "losses", "retention")
    }
    for world in WORLDS:
        dead = {"data": world, "schedule": "dead_inputs"}
        remedies = {BASE_RUN: {}, **_unlike_base(runs)}
        result["zeros"][world] = curves(zeros, {k: {**dead, **v} for k, v in remedies.items()})
        result["pace"][world] = curves(recent, _pace(runs, world))
        finals = {name: chosen(**factors) for name, factors in _variants(runs, world).items()}
        result["weights"][world] = _last_of(finals, "weights")
        result["shares"][world] = _shares(chosen, world)
        for schedule, conditions in LOSSES.items():
            here = {"data": world, "schedule": schedule}
            found = curves(loss, {k: {**here, **v} for k, v in conditions.items()})
            result["losses"].setdefault(schedule, {})[world] = found
    for world in ("prices", "scenario"):
        factors = {cell: {**FREE, "data": world, "model": cell} for cell in CELLS}
        result["retention"][world] = _retention(chosen, factors)
    task = {**FREE, "data": "memory_task", "task": "recall", "context_length": LSTM_LAG + 1.0}
    factors = {cell: {**task, "model": cell} for cell in CELLS}
    factors["lstm +3"] = {**task, "model": "lstm", "forget_bias": BIASED}
    result["retention"]["recall"] = _retention(chosen, factors)
    return _rounded(result)


def _unlike_base(runs: Runs) -> dict[str, Mapping[str, Any]]:
    return {
        name: factors
        for name, factors in REMEDIES.items()
        if any(runs.base.get(key) != value for key, value in factors.items())
    }


def zeros(report: Report) -> dict[float, float]:
    """Return the share of zeros by published step."""
    scale = rows.scale_of(report)
    records = rows.gradient_records(report)
    return {r["step"] / scale: rows.number(r["zero_fraction"]) for r in records}


def recent(report: Report) -> dict[float, float]:
    """Return the weight of the latest three steps by published step."""
    scale = rows.scale_of(report)
    records = rows.pooling_records(report)
    return {r["step"] / scale: sum(r["weights"][-3:]) for r in records}


def loss(report: Report) -> dict[float, float]:
    """Return the validation loss by published step."""
    scale = rows.scale_of(report)
    return {step / scale: value for step, value in rows.losses(report)}


def curve(reports: Sequence[Report], series: Series) -> dict[str, Any] | None:
    """Return the mean and interval over runs at the steps all of them recorded.

    Args:
        reports: runs of one condition.
        series: what to follow, by step.
    """
    found = [one for one in map(series, reports) if one]
    common = sorted(set.intersection(*map(set, found))) if found else []
    if not common:
        return None
    stride = math.ceil(len(common) / POINTS)
    steps = sorted({*common[::stride], common[-1]})
    bands = [estimate([one[step] for one in found]) for step in steps]
    columns = {key: [getattr(band, key) for band in bands] for key in ("mean", "low", "high")}
    return {"n": len(found), "step": steps, **columns}


def _pace(runs: Runs, world: str) -> dict[str, dict[str, Any]]:
    """Return the runs under KL 0.1 and those without a prior, by learning rate."""
    found = {}
    for weight, title in ((0.1, "KL 0.1"), (0.0, "no KL")):
        here = {**PUSHED, "data": world, "kl_weight": weight}
        for lr in runs.levels("lr", **here):
            found[f"{title}, lr {rate(lr)}"] = {**here, "lr": lr}
    return found


def _variants(runs: Runs, world: str) -> dict[str, dict[str, Any]]:
    """Return the ways of moving the weights, at the lowest rate that all are compared at."""
    here = {**PUSHED, "data": world, "lr": 1e-4}
    ways: dict[str, dict[str, Any]] = {
        "left alone": {},
        **{title: {"init": init} for init, title in START.items()},
        "KL 0.1": {"kl_weight": 0.1},
        "KL 0.5": {"kl_weight": 0.5},
        "injection, published sign": {"injection": "published"},
        "injection, sign of descent": {"injection": "descent"},
    }
    found = {name: {**here, **factors} for name, factors in ways.items()}
    fastest = max(runs.levels("lr", **here), default=1e-4)
    return found | {f"left alone, lr {rate(fastest)}": {**here, "lr": fastest}}


def _last_of(conditions: Mapping[str, Sequence[Report]], key: str) -> dict[str, list[float]]:
    """Return a value per time step of the window, averaged over runs, as last recorded."""
    result = {}
    for name, reports in conditions.items():
        found = [[r[key] for r in rows.pooling_records(one) if r.get(key)] for one in reports]
        last = [records[-1] for records in found if records]
        if last and len({len(values) for values in last}) == 1:
            result[name] = np.mean(last, axis=0).tolist()
    return result


def _shares(chosen: Callable[..., list[Report]], world: str) -> dict[str, list[float]]:
    for schedule in ("none", "dead_inputs"):
        here = {"data": world, "schedule": schedule}
        found = {pooling: chosen(**here, pooling=pooling) for pooling in ("mean", *LEARNED)}
        shares = _last_of(found, "gradient_share")
        if "mean" in shares:
            return shares
    return {}


def _retention(
    chosen: Callable[..., list[Report]], networks: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the retention by days back, before and after training: means of logarithms."""
    result: dict[str, Any] = {}
    for cell, factors in networks.items():
        found = [records for r in chosen(**factors) if (records := rows.memory_records(r))]
        for state, place in (("initial", 0), ("trained", -1)):
            logs = [np.log10(rows.retention_of(records[place]["norms"])) for records in found]
            if logs and len({len(log) for log in logs}) == 1:
                bands = [estimate(column) for column in np.array(logs).T]
                powers = {k: [10 ** getattr(b, k) for b in bands] for k in ("mean", "low", "high")}
                result[f"{cell}, {state}"] = {
                    "n": len(logs),
                    "step": [*range(len(bands))],
                    **powers,
                }
    return result


def _rounded(value: Any) -> Any:
    """Return values with four digits that count; NaN becomes None, which JSON has."""
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value
