"""The folds of a walk-forward evaluation put together: one run folder, one table of forecasts."""

from __future__ import annotations

import copy
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from src.files import write_json, write_text
from src.reporting import shape
from src.reporting.score_tables import ratio
from src.reporting.shape import read_record
from src.reporting.statistics import estimate
from src.runs.folder import CONFIG, FORECASTS, REPORT, run_name
from src.runs.run_report import environment
from src.training.tasks import TASKS, Task


def combine(folds: Sequence[Path], parent: Path, varied: Sequence[str] = ()) -> dict[str, Any]:
    """Make one run folder of the runs of all folds, with forecasts of the whole test part.

    Args:
        folds: run folders in the order of time, each finished.
        parent: the folder in which the new one is made, or made anew.
        varied: overrides that tell it from others there.

    Returns:
        The report that was written: as a run's, with the scores over all forecasts, and under
        `folds` what each fold was and scored. `over_folds` holds the ratio to the baseline, with
        its t interval over folds, and the p-value of it being 1.
    """
    reports = [read_record(fold / REPORT, shape.REPORT) for fold in folds]
    header, rows = _forecasts(folds)
    first, last = reports[0], reports[-1]
    name = run_name(first["choices"], list(varied), first["seed"])
    folder = parent / re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
    config = copy.deepcopy(first["config"])
    config["evaluation"]["fold"] = None
    task = TASKS[config["data"]["target"]]
    scores = _scores(header, rows, task, reports)
    told = [
        _fold(n, *pair, folder, task) for n, pair in enumerate(zip(folds, reports, strict=True))
    ]
    windows = [report["data"]["test"]["windows"] for report in reports]
    losses = [report["best"]["val_loss"] for report in reports]
    val_loss = None if None in losses else float(np.average(losses, weights=windows))
    dates = sorted(row[header.index("date")] for row in rows)
    test = {"first": dates[0], "last": dates[-1], "windows": sum(windows)}
    report = {
        "status": "finished",
        "experiment": folder.parent.name,
        "run": folder.name,
        **{key: first[key] for key in ("seed", "choices")},
        "config": config,
        "data": {**last["data"], "train": first["data"]["train"], "test": test},
        "parameters": last["parameters"],
        "environment": environment(),
        "best": {"val_loss": val_loss},
        "test": scores,
        **_intervals(reports, [_years(*_forecasts([fold])) for fold in folds]),
        "folds": told,
        "over_folds": {"ratio": _over_folds([fold["ratio"] for fold in told])},
        "duration_s": round(sum(report.get("duration_s") or 0.0 for report in reports), 2),
    }
    folder.mkdir(exist_ok=True)
    write_text(folder / FORECASTS, "\n".join(",".join(row) for row in (header, *rows)) + "\n")
    write_text(folder / CONFIG, yaml.safe_dump(config, sort_keys=False))
    write_json(folder / REPORT, report)
    return report


def _forecasts(folds: Sequence[Path]) -> tuple[list[str], list[list[str]]]:
    """Return the header that all tables of forecasts share, and their rows one after the other."""
    tables = [
        [line.split(",") for line in (fold / FORECASTS).read_text().splitlines()] for fold in folds
    ]
    return tables[0][0], [row for table in tables for row in table[1:]]


def _scores(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    task: Task,
    reports: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
    """Return the scores of the model and of the baseline over all forecasts, and their ratio."""
    places = [header.index(name) for name in task.columns]
    numbers = torch.tensor([[float(row[place]) for place in places] for row in rows]).double()
    reference, actual, forecast = numbers.unsqueeze(2).unbind(1)
    metrics = task.metrics()
    metrics.update(forecast, reference, actual)
    scores = metrics.compute()
    # What needs more than one forecast of a bar, such as a quantile's loss, is a mean over bars.
    windows = [report["data"]["test"]["windows"] for report in reports]
    for part in ("model", "baseline"):
        for name in reports[0]["test"][part]:
            own = [report["test"][part].get(name) for report in reports]
            if name not in scores[part] and all(isinstance(one, int | float) for one in own):
                scores[part][name] = float(np.average(own, weights=windows))
    model, without = scores["model"], scores["baseline"]
    ratios = {name: ratio(model[name], without[name]) for name in model if name in without}
    return {**scores, "ratio": ratios}


def _over_folds(ratios: Sequence[float]) -> dict[str, float]:
    """Return the mean ratio over folds with its interval, and the p-value of it being 1."""
    from_one = estimate([ratio - 1 for ratio in ratios])
    return estimate(ratios)._replace(p_value=from_one.p_value)._asdict()


def _years(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Counter[str]:
    """Return how many forecasts there are of each year."""
    return Counter(row[header.index("date")][:4] for row in rows)


def _intervals(
    reports: Sequence[Mapping[str, Any]], years: Sequence[Counter[str]]
) -> dict[str, Any]:
    """Return how intervals did over all folds, as each says it of itself; nothing if one does not.

    Args:
        reports: of each fold.
        years: forecasts of each year, by fold.
    """
    own = [report.get("intervals") for report in reports]
    if not all(own):
        return {}
    return {"intervals": _mean_of(own, [year.total() for year in years], years)}


def _mean_of(nodes: Sequence[Any], weights: Sequence[int], years: Sequence[Counter[str]]) -> Any:
    """Return the mean of numbers of all folds, and of mappings that of what all of them have."""
    if not isinstance(nodes[0], Mapping):
        return float(np.average(nodes, weights=weights))
    merged = {}
    for key in nodes[0]:
        inner = [node[key] for node in nodes if key in node]
        if key == "by_year":
            merged[key] = _by_year(inner, years)
        elif len(inner) == len(nodes):
            merged[key] = _mean_of(inner, weights, years)
    return merged


def _by_year(shares: Sequence[Mapping[str, float]], years: Sequence[Counter[str]]) -> dict:
    """Return shares by year, those of a year that two folds have weighted by its forecasts."""
    both = list(zip(shares, years, strict=True))
    merged = {}
    for year in sorted({year for own in shares for year in own}):
        parts = [(own[year], count[year]) for own, count in both if year in own and count[year]]
        values, weights = zip(*parts, strict=True)
        merged[year] = float(np.average(values, weights=weights))
    return merged


def _fold(
    number: int, run: Path, report: Mapping[str, Any], folder: Path, task: Task
) -> dict[str, Any]:
    """Return what a fold was trained and tested on, and what came of it."""
    header, rows = _forecasts([run])
    dates = [row[header.index("date")] for row in rows]
    test = report["test"]
    return {
        "fold": number,
        "folder": os.path.relpath(run, folder),
        "train": report["data"]["train"],
        "test": {"first": min(dates), "last": max(dates), "windows": len(set(dates))},
        "val_loss": report["best"]["val_loss"],
        "error": test["model"][task.error],
        "ratio": test["ratio"][task.error],
        **({"fitting": report["fitting"]["chosen"]} if "fitting" in report else {}),
    }
