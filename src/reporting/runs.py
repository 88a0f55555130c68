"""Finds run folders, says how each run ended, and makes them a table of what varied and scored."""

import glob
import math
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.files import LOCK, is_held
from src.reporting import shape
from src.reporting.factors import find_factors
from src.reporting.losses import DIRECTION, PRICE, VOLATILITY
from src.reporting.shape import read_record

if TYPE_CHECKING:
    import pandas as pd

REPORT = "report.json"
MANIFEST = "sweep.json"
SILENT_S = 30 * 60
_EVENTS = re.compile(r"events\.out\.tfevents\.\d+\.(?P<host>.+)\.(?P<pid>\d+)\.\d+$")

SCORES = ("rmse", "mae", "mape", "directional_accuracy")
OTHER_SCORES = ("qlike", "log_mse", "log_loss", "brier", "accuracy")
"""Of variances and directions; columns where a run has them."""
GROUPS = ("data", "model", "pooling", "pooling_prior", "norm", "dropout", "optimizer")
"""The config groups users compare, in the order of the data's way through a run."""

# What a run is called, where it runs and what only watches it does not change its result.
_NO_CHOICE = {"experiment", "debug", "logger", "trainer", "callbacks"}
_IGNORED = {"name", "log_dir", "ckpt_path", "resume", "seed", "logger", "data.num_workers"} | {
    *(f"callbacks.{name}" for name in ("gradient_health", "pooling_monitor", "milestones")),
    *(f"callbacks.{name}" for name in ("progress_bar", "model_checkpoint", "lr_monitor")),
    *(f"trainer.{name}" for name in ("accelerator", "log_every_n_steps", "profiler", "logger")),
    *(f"trainer.enable_{name}" for name in ("progress_bar", "model_summary", "checkpointing")),
    *(f"trainer.{name}" for name in ("num_sanity_val_steps", "default_root_dir")),
}
_NUMBERS = {"alarms", "alerts", "zero_fraction", "parameters", "steps", "epochs", "duration_s"}
_PLAIN = _NUMBERS | {
    *("experiment", "run", "status", "reason", "seed", "test_set", "cause", "causes"),
    *("test_data", "kind", "horizon", "intervals"),
    "data_warnings",
    *("started", "commit", "path"),
}

Paths = str | Path | Iterable[str | Path]


def find_reports(paths: Paths) -> list[tuple[Path, dict[str, Any]]]:
    """Return every run below the paths with what its report says, each once, in order.

    Args:
        paths: run folders, folders above them, sweep folders with a manifest, or globs of these.

    Returns:
        Run folder and report. A report that cannot be read has the status "unreadable"; a sweep's
        job without a run folder has the sweep's folder and the manifest's status and reason.

    Raises:
        ValueError: nothing matches a path.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    found: dict[Any, tuple[Path, dict[str, Any]]] = {}
    for path in paths:
        for run, report in (item for match in _matches(path) for item in _reports_of(match)):
            # A job that never got a folder of its own is known by its name in the sweep's.
            job = None if (run / REPORT).is_file() else report["run"]
            found.setdefault((run.resolve(), job), (run, report))
    return list(found.values())


def _matches(path: str | Path) -> list[Path]:
    if Path(path).exists():
        return [Path(path)]
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    if not matches:
        raise ValueError(f"no such folder: {path}")
    return matches


def _reports_of(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if folder.name == REPORT:
        folder = folder.parent
    if (folder / REPORT).is_file():
        yield folder, _read(folder)
    elif (folder / MANIFEST).is_file():
        whole = sorted(folder.glob(f"*/{REPORT}"))
        yield from ((file.parent, _read(file.parent)) for file in whole) if whole else _jobs(folder)
    else:
        files = sorted(filter(Path.is_file, folder.rglob(REPORT)))
        runs = [(file.parent, _read(file.parent)) for file in files]
        yield from [run for run in runs if not _is_fold(run[1])] or runs


def _is_fold(report: Mapping[str, Any]) -> bool:
    """Say whether a run is a part of one that was put together of folds."""
    evaluation = (report.get("config") or {}).get("evaluation")
    return isinstance(evaluation, Mapping) and evaluation.get("fold") is not None


def _jobs(sweep: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Follow a sweep's manifest to the runs of its jobs."""
    try:
        jobs = read_record(sweep / MANIFEST, shape.MANIFEST).get("jobs") or ()
    except (OSError, ValueError) as error:
        raise ValueError(f"{sweep / MANIFEST} cannot be read: {error}") from None
    for job in jobs:
        ended = {key: job.get(key) for key in ("status", "reason")}
        run = Path(os.path.normpath(sweep / job["folder"])) if job.get("folder") else None
        if run is None or not (run / REPORT).is_file():
            yield sweep, {"run": job.get("name"), "experiment": sweep.name} | ended
            continue
        report = _read(run)
        # Who was killed cannot write it down; the sweep can.
        is_open = report["status"] in ("running", "killed") and ended["status"] != "running"
        yield run, report | ended if is_open else report


def _read(run: Path) -> dict[str, Any]:
    name = {"run": run.name, "experiment": run.parent.name}
    try:
        report = read_record(run / REPORT, shape.REPORT)
    except (OSError, ValueError) as error:
        return name | {"status": "unreadable", "reason": f"{REPORT}: {error}"}
    status, reason = status_of(run, report)
    return name | report | {"status": status} | ({"reason": reason} if reason else {})


def status_of(run: Path, report: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return a run's status and its reason; one that says it runs may have been killed."""
    status, reason = str(report.get("status")), report.get("reason")
    death_reason = death(run) if status == "running" else None
    return ("killed", death_reason) if death_reason else (status, reason)


def death(run: Path, now: float | None = None) -> str | None:
    """Say what shows that a run which calls itself running is dead; None if it may be alive.

    Args:
        run: the run folder.
        now: seconds since the epoch; None for the present.
    """
    if (run / LOCK).exists():  # the kernel knows
        return None if is_held(run / LOCK) else "its process is gone"
    files = [file for file in run.rglob("*") if file.is_file()]
    for match in filter(None, (_EVENTS.search(file.name) for file in files)):
        if match["host"] == socket.gethostname() and not _is_process(int(match["pid"])):
            return f"its process {match['pid']} is gone"
    silent = (now or time.time()) - max(file.stat().st_mtime for file in files)
    return f"nothing written for {silent / 3600:.1f} h" if silent > SILENT_S else None


def _is_process(pid: int) -> bool:
    """Say whether a process lives; where asking might end it, say yes."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def load_runs(paths: Paths) -> "pd.DataFrame":
    """Return a row per run, unfinished ones included.

    The trained model of a run is one call away: `src.open_run(runs.path[0])`.

    Args:
        paths: run folders, folders above them, sweep folders, or globs of these.

    Returns:
        Columns: `experiment`, `run`, `status` (finished, failed, interrupted, running, killed,
        unreadable), `reason`, `seed`; a column for each config group (`pooling`) and for each
        dotted config key that differs between the runs (`optimizer.lr`); `val/loss` (best, scaled
        target), `test/rmse`, `test/mae` (price), `test/mape` (percent),
        `test/directional_accuracy`, `test/skill`, and the same under `baseline/` (tomorrow =
        today) and `ratio/`, or those of variances and directions; `test_set`, and of what it is
        made: `test_data`, `kind`, `horizon`; `intervals`; `data_warnings`; `cause` (the worst,
        "healthy", None if not diagnosed), `causes`, `alarms` (findings to act on at the end),
        `alerts` (raised during training), `zero_fraction` (of the gradient of the first weight);
        `parameters`,
        `steps`, `epochs`, `duration_s`, `started`, `commit`, `path`.

    Raises:
        ValueError: there are no runs.
    """
    import pandas as pd

    found = find_reports(paths)
    if not found:
        shown = paths if isinstance(paths, str) or not isinstance(paths, Sequence) else paths[0]
        raise ValueError(f"no runs in {shown}: there is no report.json in it or below it")
    facts = [_facts(report) for _, report in found]
    rows = [
        _identity(report) | fact | _results(report) | {"path": str(folder)}
        for (folder, report), fact in zip(found, _with_what_varies(facts), strict=True)
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({n: _column([row.get(n, math.nan) for row in rows], n) for n in names})


def _column(values: list[Any], name: str) -> "pd.Series":
    """Make a column; one that is not of numbers keeps its values as they are, None too."""
    import pandas as pd

    numbers = name in _NUMBERS or "/" in name
    return pd.Series(values, dtype=float if numbers else object)


def fact_columns(runs: "pd.DataFrame") -> list[str]:
    """Return the columns that say what a run is, as against how it went."""
    return [name for name in runs.columns if name not in _PLAIN and "/" not in name]


def _identity(report: Mapping[str, Any]) -> dict[str, Any]:
    return {key: report.get(key) for key in ("experiment", "run", "status", "reason", "seed")}


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's choices and every config key that can change its result.

    An object is a fact under its path, by the name of its class.
    """
    config = dict(flatten(report.get("config") or {}))
    choices = {
        group: option
        for group, option in (report.get("choices") or {}).items()
        if not group.startswith("hydra/") and group not in _NO_CHOICE
    }
    return config | choices


def flatten(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values of a config, without those that cannot change a result.

    >>> dict(flatten({"seed": 1, "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1}}))
    {'optimizer': 'Adam', 'optimizer.lr': 0.1}
    """
    for name, value in node.items():
        key = f"{path}{name}"
        if key in _IGNORED or name in {"seed", "_partial_"}:
            continue
        if isinstance(value, Mapping):
            yield from flatten(value, f"{key}.")
        elif name == "_target_":
            yield path.rstrip("."), str(value).rpartition(".")[2]
        else:
            yield key, str(value) if isinstance(value, list) else value


def _with_what_varies(facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Keep the groups users compare, and of the other facts those that differ by themselves."""
    import pandas as pd

    others = sorted({key for fact in facts for key in fact} - set(GROUPS))
    known = pd.DataFrame(
        [{k: f.get(k) for k in (*GROUPS, *others)} for f in facts if f], dtype=object
    )
    factors = find_factors(known)
    varying = [key for factor in factors for key in factor.keys if key not in GROUPS]
    return [{key: fact.get(key) for key in (*GROUPS, *varying)} for fact in facts]


def _results(report: Mapping[str, Any]) -> dict[str, Any]:
    test = report.get("test") or {}
    scores = {
        f"{prefix}/{name}": _number((test.get(part) or {}).get(name))
        for prefix, part in (("test", "model"), ("baseline", "baseline"), ("ratio", "ratio"))
        for name in (*SCORES, *(n for n in OTHER_SCORES if n in (test.get("model") or {})))
    }
    best, environment = report.get("best") or {}, report.get("environment") or {}
    return {
        "val/loss": _number(best.get("val_loss")),
        **scores,
        "test/skill": 1 - scores["ratio/rmse"],
        **_tested_on(report),
        "intervals": report.get("intervals"),
        "data_warnings": tuple((report.get("data") or {}).get("warnings") or ()),
        **_gradients(report),
        "parameters": report.get("parameters"),
        "steps": best.get("steps_trained"),
        "epochs": best.get("epochs_trained"),
        "duration_s": report.get("duration_s"),
        "started": environment.get("started"),
        "commit": environment.get("commit"),
    }


def _tested_on(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is forecast of which data on which days."""
    data, config = report.get("data") or {}, (report.get("config") or {}).get("data") or {}
    target, horizon = config.get("target"), config.get("horizon") or 1
    kind = target if target in (VOLATILITY, DIRECTION) else PRICE
    name = str(data.get("data")) + (f", {kind}" if kind != PRICE else "")
    name += f", {horizon} bars ahead" if horizon != 1 else ""
    if test := data.get("test"):
        first, last, windows = (test.get(key) for key in ("first", "last", "windows"))
        test_set = f"{name}, {first} to {last}, {windows} windows"
    return {
        "test_set": test_set if test else None,
        "test_data": name if test else None,
        "kind": kind,
        "horizon": horizon,
    }


def _gradients(report: Mapping[str, Any]) -> dict[str, Any]:
    diagnosis, zeros = report.get("diagnosis"), report.get("zero_grad_fraction") or {}
    findings = (diagnosis or {}).get("findings") or ()
    causes = [f.get("cause") or "unknown" for f in findings if f and not f.get("benign")]
    first = next((key for key in zeros if "weight" in key and ".norm." not in key), None)
    return {
        "cause": (causes[0] if causes else "healthy") if diagnosis else None,
        "causes": ", ".join(causes) if diagnosis else None,
        "alarms": len(causes) if diagnosis else None,
        "alerts": len(report["alerts"] or ()) if "alerts" in report else None,
        "zero_fraction": _number(zeros.get(first)),
    }


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
