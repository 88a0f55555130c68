"""The committed files: a row per run, the curves of the figures, and how all was measured."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims.curves import find_curves
from benchmarks.claims.joining import (
    NO_AGREEMENT,
    counted_machines,
    join,
    join_curves,
    join_meta,
)
from benchmarks.claims.rows import FACTORS, add_goals, row_of
from benchmarks.claims.table import Runs
from src.files import write_text
from src.reporting.runs import find_reports

if TYPE_CHECKING:
    import pandas as pd

FOLDER, RUNS, CURVES, META = "claims", "runs.csv", "curves.json", "meta.json"
_TEXT = (
    *("run", "data", "source", "input", "target", "schedule", "model", "pooling", "init"),
    *("prior", "injection", "norm", "dropout", "causes", "task", "started"),
)


@dataclass(frozen=True)
class Results:
    """What the committed files hold.

    Args:
        runs: a row per run.
        curves: as from `find_curves`.
        meta: how many runs, on which machine, for how long.
    """

    runs: Runs
    curves: Mapping[str, Any]
    meta: Mapping[str, Any]


def collect(paths: Sequence[str | Path], folder: Path, add: bool = False) -> list[Path]:
    """Read finished runs and write the files everything else is made from.

    Args:
        paths: run folders, folders above them, sweep folders, or globs of these.
        folder: gets runs.csv, curves.json and meta.json.
        add: keep the runs that the folder holds already, but for those of the same condition and
            seed as one of these.

    Returns:
        The files.

    Raises:
        ValueError: there are no finished runs, or no files to add to.
    """
    import pandas as pd

    found = [report for _, report in find_reports(paths)]
    finished = [report for report in found if report.get("status") == "finished"]
    shown = ", ".join(map(str, paths))
    if not found:
        raise ValueError(f"no runs in {shown}: there is no report.json in it or below it")
    if not finished:
        raise ValueError(f"no finished runs in {shown}: {_counted(_left_out(found))}")
    reports = _latest(finished)
    rows = [row_of(report) for report in reports]
    add_goals(rows, reports)
    frame, meta = pd.DataFrame(rows), _meta(found, reports, finished)
    curves = find_curves(Runs(frame), reports)
    if add:
        kept = read(folder)
        tables = kept.runs.frame, frame
        frame = join(*tables)
        curves, meta = join_curves(kept.curves, curves), join_meta(kept.meta, meta, tables, frame)
    meta["made"] = _made(frame)
    texts = {
        RUNS: frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        CURVES: json.dumps(curves, separators=(",", ":")) + "\n",
        META: json.dumps(meta, indent=2) + "\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [write_text(folder / name, text) for name, text in texts.items()]


def _made(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return how many runs are of which day, and their seeds."""
    return [
        {
            "day": str(day),
            "runs": len(runs),
            "seeds": sorted({int(seed) for seed in runs["seed"].dropna()}),
        }
        for day, runs in frame.groupby("started", sort=True)
    ]


def read(folder: Path) -> Results:
    """Return what the committed files hold.

    Raises:
        ValueError: a file is missing or damaged; it is named.
    """
    import pandas as pd

    table = _text(folder / RUNS)
    try:
        texts = dict.fromkeys(_TEXT, str)
        frame = pd.read_csv(io.StringIO(table), dtype=texts, keep_default_na=False, na_values=[""])
        frame = frame.assign(**{name: frame[name].fillna("") for name in _TEXT})
        numbers = [name for name in _columns() if name not in _TEXT]
        frame = frame.assign(**{name: frame[name].astype(float) for name in numbers})
    except (ValueError, KeyError) as error:
        raise ValueError(f"{folder / RUNS} is damaged: {error}") from None
    return Results(Runs(frame), _json(folder / CURVES, _CURVES), _json(folder / META, _META))


_CURVES = ("zeros", "pace", "weights", "shares", "losses", "retention")
_META = (
    *("runs", "left_out", "repeated", "seeds", "steps", "duration_s", "machines", "versions"),
    *("made", "commits"),
)


def _columns() -> list[str]:
    """Return the columns every table of runs has."""
    row = row_of({"run": ""})
    add_goals([row], [{}])
    return list(row)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"no {file}: name run folders to make it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def _json(file: Path, keys: Sequence[str]) -> Mapping[str, Any]:
    try:
        value = json.loads(_text(file))
        missing = [key for key in keys if key not in value]
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from None
    if missing:
        raise ValueError(f"{file} is damaged: it lacks {', '.join(missing)}")
    return value


def _latest(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the latest run of each condition and seed: a repetition is no further seed."""
    by_start = sorted(reports, key=lambda r: str((r.get("environment") or {}).get("started")))
    kept: dict[tuple[str, ...], dict[str, Any]] = {}
    for report in by_start:
        row = row_of(report)
        key = tuple(str(row[name]) for name in (*FACTORS, "seed", "scale", "has_memory"))
        kept.pop(key, None)
        kept[key] = report
    return sorted(kept.values(), key=_order)


def _order(report: dict[str, Any]) -> tuple[str, ...]:
    """Order runs by what they are, so that the table differs only where results do."""
    row = row_of(report)
    return tuple(str(row[name]) for name in (*FACTORS, "has_memory", "seed", "run"))


def _left_out(found: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for report in found:
        if report.get("status") != "finished":
            names.setdefault(str(report.get("status")), []).append(str(report.get("run")))
    return {status: sorted(runs) for status, runs in sorted(names.items())}


def _counted(left_out: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{len(runs)} {status}" for status, runs in left_out.items())


def _meta(
    found: Sequence[Mapping[str, Any]],
    used: Sequence[Mapping[str, Any]],
    finished: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return where, with what and for how long the runs were made."""
    environments = [report.get("environment") or {} for report in used]
    machines = Counter(
        (str(m.get("system")).partition("-")[0], m.get("cpu_count"))
        for m in (environment.get("machine") or {} for environment in environments)
    )
    versions: dict[str, set[str]] = {}
    for environment in environments:
        for name, version in (environment.get("versions") or {}).items():
            versions.setdefault(name, set()).add(str(version))
    rows = [row_of(report) for report in used]
    steps = [row["steps"] for row in rows if row["steps"]]
    durations = [row["duration_s"] for row in rows if row["duration_s"] == row["duration_s"]]
    return {
        "runs": len(used),
        "left_out": _left_out(found),
        "repeated": len(finished) - len(used),
        "agreement": NO_AGREEMENT,
        "seeds": sorted({row["seed"] for row in rows if row["seed"] is not None}),
        "steps": [min(steps, default=0), max(steps, default=0)],
        "duration_s": round(sum(durations)),
        "machines": counted_machines(machines),
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
        "commits": sorted({str(e["commit"]) for e in environments if e.get("commit")}),
    }
