"""What a run leaves, and where two runs that ought to be the same differ."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from src.runs.checkpoint import load_checkpoint


def trace(folder: Path) -> dict[str, Any]:
    """Return all that must be the same of two runs, by what it is."""
    report = json.loads((folder / "report.json").read_text())
    found: dict[str, Any] = {
        key: report.get(key)
        for key in ("status", "test", "validation", "pooling", "milestones", "gradient_history")
    }
    found["best"] = {k: v for k, v in report["best"].items() if k != "checkpoint"}
    found["diagnosis"] = [f["cause"] for f in (report.get("diagnosis") or {}).get("findings", [])]
    found["forecasts"] = (folder / "forecasts.csv").read_bytes()
    found["scalars"] = scalars(folder)
    metrics = folder / "metrics.csv"
    found["metrics"] = list(csv.reader(metrics.open())) if metrics.is_file() else None
    for name in ("last", "best"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        if path.is_file():
            checkpoint = load_checkpoint(path)
            found[f"{name} weights"] = checkpoint["state_dict"]
            found[f"{name} optimizer"] = checkpoint["optimizer_states"]
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return every scalar of a run's event files, as written: step and value in order."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = value.tensor.float_val[0] if value.tensor.float_val else value.tensor
                    found.setdefault(value.tag, []).append((event.step, number))
    return found


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Say where two traces differ; NaN equals NaN, and tensors are compared bit for bit."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = dict.fromkeys([*a, *b])
        return [d for k in keys for d in differences(a.get(k), b.get(k), f"{path}/{k}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        return [
            d
            for n, (x, y) in enumerate(zip(a, b, strict=True))
            for d in differences(x, y, f"{path}/{n}")
        ]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if torch.equal(a, b) else [path]
    return [] if a == b or (a != a and b != b) else [f"{path}: {str(a)[:60]} != {str(b)[:60]}"]
