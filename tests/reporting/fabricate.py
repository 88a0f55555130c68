"""Run folders made of nothing but the files a report reads."""

import json
from pathlib import Path

import numpy as np

DAYS = 40
LAST = 100 + np.sin(np.arange(DAYS))
PRICE = LAST + np.cos(np.arange(DAYS))
DATES = np.datetime64("2018-01-01") + np.arange(DAYS)


def fabricate(
    parent,
    *,
    val=0.5,
    rmse=2.0,
    seed=0,
    status="finished",
    pooling="mean",
    norm="none",
    choices=(),
    config=(),
    error=None,
    days=DAYS,
    first=0,
    **more,
):
    """Write a run's report.json and, where it finished, its forecasts.csv; return its folder.

    `error` is added to every day's actual price to make the forecast; `rmse` where it is None. The
    test part has the days from number `first` to before number `days`.
    """
    parent = Path(parent)
    number = len(list(parent.glob("*"))) if parent.exists() else 0
    folder = parent / f"{pooling}-{norm}-seed{seed}-{number}"
    folder.mkdir(parents=True)
    report = {
        "status": status,
        "experiment": parent.name,
        "run": folder.name,
        "seed": seed,
        "choices": {"model": "lstm", "pooling": pooling, "norm": norm} | dict(choices),
        "config": {"seed": seed, "optimizer": {"lr": 0.1}} | dict(config),
        "data": {
            "data": "sp500",
            "test": {"first": str(DATES[first]), "last": "2018-02-09", "windows": days - first},
        },
        "environment": {"started": f"2026-01-01T00:00:{number:02d}", "commit": "abc"},
    }
    if status == "finished":
        scores = {"rmse": rmse, "mae": rmse, "mape": rmse, "directional_accuracy": 0.5}
        report["best"] = {"val_loss": val}
        report["test"] = {
            "model": scores,
            "baseline": dict.fromkeys(scores, 4.0),
            "ratio": {k: v / 4 if v is not None else None for k, v in scores.items()},
        }
        write_forecasts(folder, rmse if error is None else error, days, first)
    (folder / "report.json").write_text(json.dumps(report | more))
    return folder


def write_forecasts(folder, error, days=DAYS, first=0):
    """Write forecasts that miss by `error`, a number or one per day."""
    missed = np.broadcast_to(error if error is not None else 0.0, days)
    columns = (DATES[:days], LAST[:days], PRICE[:days], PRICE[:days] + missed)
    rows = zip(*(column[first:] for column in columns), strict=True)
    lines = ["date,last_price,price,predicted_price"]
    lines += [",".join(map(str, row)) for row in rows]
    (folder / "forecasts.csv").write_text("\n".join(lines) + "\n")
