"""The committed files: a row per run, the curves of the figures, and how all was measured."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims.curves import find_curves
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
        again = _known(kept.runs.frame, frame)
        frame = _joined(kept.runs.frame, frame)
        curves, meta = _merged(kept.curves, curves), _with_earlier(meta, kept.meta, frame, again)
    meta["made"] = _made(frame)
    texts = {
        RUNS: frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        CURVES: json.dumps(curves, separators=(",", ":")) + "\n",
        META: json.dumps(meta, indent=2) + "\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [write_text(folder / name, text) for name, text in texts.items()]


_KEY = (*FACTORS, "has_memory", "seed", "scale")


def _known(earlier: "pd.DataFrame", later: "pd.DataFrame") -> int:
    """Return how many runs both tables have: read again, not made again."""
    name = ["run", "started", "duration_s"]
    tables = [{tuple(map(_as_text, row)) for row in t[name].to_numpy()} for t in (earlier, later)]
    return len(tables[0] & tables[1])


def _joined(earlier: "pd.DataFrame", later: "pd.DataFrame") -> "pd.DataFrame":
    """Return both tables, without the earlier rows whose condition and seed the later one has."""
    import pandas as pd

    def keys(frame: "pd.DataFrame") -> list[tuple[str, ...]]:
        rows = frame[[*_KEY]].to_dict("records")
        return [tuple(_as_text(row[name]) for name in _KEY) for row in rows]

    repeated = set(keys(later))
    kept = earlier[[key not in repeated for key in keys(earlier)]]
    both = pd.concat([kept, later], ignore_index=True)[[*later.columns]]
    order = sorted(range(len(both)), key=lambda place: keys(both.iloc[[place]])[0])
    return both.iloc[order].reset_index(drop=True)


def _as_text(value: Any) -> str:
    """Return a factor as the table holds it, whether it was read from there or just made."""
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def _merged(earlier: Any, later: Any) -> Any:
    """Return the curves of both; of one curve the one of more runs, the later one at a tie."""
    if not (isinstance(earlier, Mapping) and isinstance(later, Mapping)):
        return later
    if "step" in later and "step" in earlier:
        return later if later["n"] >= earlier["n"] else earlier
    both = {**earlier, **later}
    shared = earlier.keys() & later.keys()
    return both | {key: _merged(earlier[key], later[key]) for key in sorted(shared)}


def _with_earlier(
    meta: Mapping[str, Any], earlier: Mapping[str, Any], frame: "pd.DataFrame", again: int
) -> dict[str, Any]:
    """Return how all was measured, the runs of earlier days included; `again` are in both."""
    runs = len(frame)
    lengths = (meta["steps"], earlier["steps"])
    versions = {
        name: sorted({*meta["versions"].get(name, ()), *earlier["versions"].get(name, ())})
        for name in sorted({*meta["versions"], *earlier["versions"]})
    }
    machines: Counter[tuple[str, Any]] = Counter()
    for one in (*earlier["machines"], *meta["machines"]):
        machines[one["system"], one["cpu_count"]] += one["runs"]
    if len(machines) == 1:  # all are its, those that were replaced or read again no more
        machines = Counter(dict.fromkeys(machines, runs))
    replaced = earlier["runs"] + meta["runs"] - again - runs
    return {
        "runs": runs,
        "left_out": {**earlier["left_out"], **meta["left_out"]},
        "repeated": meta["repeated"] + earlier["repeated"] + replaced,
        "seeds": sorted({*meta["seeds"], *earlier["seeds"]}),
        "steps": [min(low for low, _ in lengths), max(high for _, high in lengths)],
        "duration_s": round(frame["duration_s"].sum()),
        "machines": _counted_machines(machines),
        "versions": versions,
        "commits": sorted({*meta["commits"], *earlier["commits"]}),
    }


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
    "made",
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
        "seeds": sorted({row["seed"] for row in rows if row["seed"] is not None}),
        "steps": [min(steps, default=0), max(steps, default=0)],
        "duration_s": round(sum(durations)),
        "machines": _counted_machines(machines),
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
        "commits": sorted({str(e["commit"]) for e in environments if e.get("commit")}),
    }


def _counted_machines(machines: Counter[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"system": system, "cpu_count": count, "runs": runs}
        for (system, count), runs in sorted(machines.items(), key=lambda m: (-m[1], str(m[0])))
    ]
