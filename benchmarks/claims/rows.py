"""A run's report as one row: what it varied, and every number a claim is judged by.

One number needs two runs: the steps to a validation loss that another run sets.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

PUBLISHED_STEPS = 12_000
"""Length of the run in which everything was observed; schedules are scaled to it."""
FACTORS = (
    *("data", "source", "input", "target", "schedule", "model", "hidden_size", "num_layers"),
    *("residual_scale", "pooling", "init", "prior", "kl_weight", "injection", "norm", "dropout"),
    *("lr", "clip", "position_gradients", "task", "context_length", "forget_bias", "largest_size"),
)
LAGS = (5, 20, 50)
PUBLISHED_SIZE = 1000.0
"""Of the largest position feature, where they were switched on."""
MARKS = (2000, 6000, 8000)
# Records this much of a run away from a mark are no reading of it.
_NEAR = 0.05
BENIGN = "/benign"
"""What follows the name of a cause that there is nothing to repair about."""
# float32 gradients end about here; a mean of logarithms needs a bottom.
FLOOR = 1e-12

Record = Mapping[str, Any]


def row_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return one run's factors and outcomes; what a run did not measure is NaN.

    Args:
        report: of a finished run.
    """
    return {
        "run": report["run"],
        "started": str((report.get("environment") or {}).get("started") or "")[:10],
        **factors_of(report),
        "seed": report.get("seed"),
        "scale": scale_of(report),
        "has_memory": float(bool(memory_records(report))),
        "duration_s": number(report.get("duration_s")),
        **_losses(report),
        **_zeros(report),
        **_weights(report),
        **_shares(report),
        **_memory(report),
        **_findings(report),
        **_layers(report),
    }


def factors_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a run's condition, by choices and config, never by its name."""
    choices, config = report.get("choices") or {}, report.get("config") or {}
    data, model, pooling, prior, trainer, callbacks, optimizer = (
        config.get(part) or {}
        for part in (
            *("data", "model", "pooling", "pooling_prior", "trainer", "callbacks", "optimizer"),
        )
    )
    injection = prior.get("injection") or {}
    scaling = callbacks.get("position_gradients") or {}
    return {
        "data": choices.get("data", ""),
        "source": data.get("source") or "",
        "input": data.get("input") or "",
        "target": data.get("target") or "",
        "schedule": choices.get("schedule") or "none",
        "model": _kind(model, str(choices.get("model", ""))),
        "hidden_size": number(model.get("hidden_size")),
        "num_layers": number(model.get("num_layers")),
        "residual_scale": number(model.get("residual_scale", 1.0)),
        "pooling": choices.get("pooling", ""),
        "init": pooling.get("init") or "uniform",
        "prior": choices.get("pooling_prior") or "none",
        "kl_weight": number(prior.get("kl_weight") or 0.0),
        "injection": injection.get("direction") or ("descent" if injection else "none"),
        "norm": choices.get("norm") or "none",
        "dropout": choices.get("dropout") or "none",
        "lr": number(optimizer.get("lr")),
        "clip": number(trainer.get("gradient_clip_val") or 0.0),
        "position_gradients": number(scaling.get("factor", 0.05) if scaling else 1.0),
        "task": data.get("task") or "",
        "context_length": number(data.get("context_length")),
        "forget_bias": number(model.get("forget_bias") or 0.0),
        "largest_size": _largest_size(config.get("schedule") or {}),
    }


def _largest_size(schedule: Mapping[str, Any]) -> float:
    """Return the largest size that features are switched on with; the published one if none are."""
    sizes = [
        number(max(event["size"]) if isinstance(event["size"], list) else event["size"])
        for event in (schedule.get("events") or {}).values()
        if event and event.get("size")
    ]
    return max(sizes, default=PUBLISHED_SIZE)


def _kind(model: Mapping[str, Any], option: str) -> str:
    """Return transformer, rnn, gru or lstm: the options of one kind differ in their sizes."""
    is_transformer = str(model.get("_target_", option)).lower().endswith("transformerencoder")
    return "transformer" if is_transformer or option.startswith("transformer") else option


def scale_of(report: Mapping[str, Any]) -> float:
    """Return optimiser steps per published step; 1 where a run has no schedule to say so."""
    schedule = (report.get("config") or {}).get("schedule") or {}
    return number(schedule.get("scale", 1.0)) or 1.0


def number(value: Any) -> float:
    """Return a number, NaN for None and for what is none."""
    return float(value) if isinstance(value, int | float) else math.nan


def gradient_records(report: Mapping[str, Any]) -> Sequence[Record]:
    """Return the records of the first weight's gradient."""
    return (report.get("gradient_history") or {}).get("records") or ()


def pooling_records(report: Mapping[str, Any]) -> Sequence[Record]:
    """Return the records of the first pooling."""
    history = (report.get("pooling") or {}).get("history") or {}
    return next(iter(history.values()), ())


def memory_records(report: Mapping[str, Any]) -> Sequence[Record]:
    """Return the records of d prediction / d x_t."""
    return (report.get("memory") or {}).get("history") or ()


def losses(report: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Return optimiser steps and validation losses."""
    return [(r["step"], number(r["loss"])) for r in report.get("validation") or ()]


def near(records: Sequence[Record], mark: float, scale: float) -> Record | None:
    """Return the record nearest a published step; None if the run has none there."""
    found = min(records, key=lambda r: abs(r["step"] - mark * scale), default=None)
    reach = max(_NEAR * PUBLISHED_STEPS * scale, 1)
    return found if found and abs(found["step"] - mark * scale) <= reach else None


def weight_statistics(weights: Sequence[float]) -> dict[str, float]:
    """Return the standard deviation over time steps, the latest three's sum and whether they lead.

    >>> weight_statistics([0.1, 0.2, 0.3, 0.4])["recent"]
    0.9
    """
    w = np.asarray(weights, dtype=float)
    latest = set(range(len(w))[-3:])
    return {
        "std": float(w.std(ddof=min(1, len(w) - 1))),
        "recent": round(float(w[-3:].sum()), 12),
        "top3": float(set(np.argsort(-w, kind="stable")[:3].tolist()) == latest),
    }


def retention_of(norms: Sequence[float]) -> np.ndarray:
    """Return the influence by days back, as a share of the last day's."""
    backwards = np.asarray(norms, dtype=float)[::-1]
    if not backwards[0] > 0:
        return np.full(len(backwards), math.nan)
    return np.maximum(backwards / backwards[0], FLOOR)


def _losses(report: Mapping[str, Any]) -> dict[str, Any]:
    found = losses(report)
    finite = [loss for _, loss in found if math.isfinite(loss)]
    test, truth = report.get("test") or {}, report.get("truth") or {}
    steps = (report.get("best") or {}).get("steps_trained")
    return {
        "steps": steps if steps is not None else (found[-1][0] if found else None),
        "validated_every": found[0][0] if found else math.nan,
        "loss": found[-1][1] if found else math.nan,
        "best_loss": min(finite, default=math.nan),
        "noise_floor": number(truth.get("noise_floor")),
        "reachable_floor": number(truth.get("reachable_floor")),
        "ratio": number((test.get("ratio") or {}).get("rmse")),
        "rmse": number((test.get("model") or {}).get("rmse")),
        "baseline_rmse": number((test.get("baseline") or {}).get("rmse")),
    }


def _zeros(report: Mapping[str, Any]) -> dict[str, float]:
    records = gradient_records(report)
    last = records[-1] if records else {}
    at_6k = near(records, 6000, scale_of(report)) or {}
    zeros = [number(r.get("zero_fraction")) for r in records]
    return {
        "zeros": number(last.get("zero_fraction")),
        "zeros_most": max(zeros, default=math.nan),
        "zeros_6k": number(at_6k.get("zero_fraction")),
        **{key: number(last.get(key)) for key in ("rows", "columns", "scattered")},
        "distinct_columns": number(last.get("distinct_columns")),
    }


def _weights(report: Mapping[str, Any]) -> dict[str, float]:
    records, scale = pooling_records(report), scale_of(report)
    first, last = (records[0], records[-1]) if records else (None, None)
    marks = {f"{mark // 1000}k": near(records, mark, scale) for mark in MARKS}
    row: dict[str, float] = {}
    for name, record in {"first": first, **marks, "end": last}.items():
        statistics = weight_statistics(record["weights"]) if record else {}
        wanted = ("std", "recent", "top3") if name in ("first", "end") else ("recent",)
        row |= {f"{key}_{name}": statistics.get(key, math.nan) for key in wanted}
    return row


def _shares(report: Mapping[str, Any]) -> dict[str, float]:
    """Return what the steps of a window receive of the gradient, as last recorded."""
    shares = [r["gradient_share"] for r in pooling_records(report) if r.get("gradient_share")]
    names = ("share_smallest", "share_largest", "share_latest", "window")
    if not shares:
        return dict.fromkeys(names, math.nan)
    last = shares[-1]
    return dict(zip(names, (min(last), max(last), last[-1], len(last)), strict=True))


def _memory(report: Mapping[str, Any]) -> dict[str, float]:
    records = memory_records(report)
    row: dict[str, float] = {}
    for name, place in (("first", 0), ("end", -1)):
        kept = retention_of(records[place]["norms"]) if records else np.array([])
        row |= {f"kept_{n}_{name}": float(kept[n]) if n < len(kept) else math.nan for n in LAGS}
    return row


def _findings(report: Mapping[str, Any]) -> dict[str, Any]:
    diagnosis = report.get("diagnosis")
    findings = (diagnosis or {}).get("findings") or []
    first = (report.get("gradient_history") or {}).get("parameter")
    causes = {
        finding["cause"] + BENIGN * bool(finding.get("benign")): number(finding.get("fraction"))
        for finding in findings
        if finding.get("parameter") == first
    }
    keys = list(_key_biases(findings))
    ratios = [evidence["gradient_norm"] / evidence["neighbours_norm"] for evidence, _ in keys]
    return {
        "diagnosed": float(diagnosis is not None),
        "causes": " ".join(f"{cause}={share:.4g}" for cause, share in causes.items()),
        "key_bias": float(len(keys)),
        "key_bias_benign": float(all(benign for _, benign in keys)) if keys else math.nan,
        "key_bias_ratio": max(ratios, default=math.nan),
    }


def _key_biases(findings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Yield what was measured on the key third of attention's biases, and whether it is benign."""
    for finding in findings:
        name = f"{finding.get('module') or ''}.{finding.get('parameter') or ''}"
        evidence = finding.get("evidence") or {}
        is_key = finding["cause"] == "structural" and name.endswith("in_proj_bias")
        if is_key and evidence.get("neighbours_norm"):
            yield evidence, bool(finding.get("benign"))


def _layers(report: Mapping[str, Any]) -> dict[str, float]:
    """Return how many feed-forward units died, and what attention's key bias is worth."""
    layers = report.get("layers") or {}
    dead = [number(share) for share in (layers.get("dead_units") or {}).values()]
    thirds = [*(layers.get("biases") or {}).values()]
    return {
        "dead_units": float(np.mean(dead)) if dead else math.nan,
        "key_gradient": _largest_of_key(thirds, "gradient"),
        "key_shift": _largest_of_key(thirds, "shift"),
    }


def _largest_of_key(thirds: Sequence[Mapping[str, Any]], what: str) -> float:
    """Return the key third's reading over the larger of the others', in the layer where it is most.

    A layer in which no third matters has nothing to compare it with.
    """
    shares = [
        one["key"][what] / others
        for one in thirds
        if (others := max(one["query"][what], one["value"][what])) > 0
    ]
    return max(shares, default=math.nan)


Losses = Sequence[tuple[int, float]]
_SAME = (
    *("data", "source", "schedule", "hidden_size", "num_layers", "lr", "norm", "dropout"),
    *("residual_scale", "clip", "position_gradients", "validated_every"),
)
"""What the two runs of a pair have in common: all but the pooling, and how often both were read."""


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
