"""Runs of several days in one table: which replace which, and whether they agree."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.claims.rows import FACTORS

if TYPE_CHECKING:
    import pandas as pd

_KEY = (*FACTORS, "has_memory", "seed", "scale")
_IDENTITY = ("run", "started", "duration_s")
NO_AGREEMENT: Mapping[str, Any] = {"runs": 0, "largest": 0.0}
"""Of runs none of which was made again on another day."""


def join(earlier: "pd.DataFrame", later: "pd.DataFrame") -> "pd.DataFrame":
    """Return both tables, without the earlier rows whose condition and seed the later one has."""
    import pandas as pd

    repeated = set(_keys(later))
    kept = earlier[[key not in repeated for key in _keys(earlier)]]
    both = pd.concat([kept, later], ignore_index=True)[[*later.columns]]
    order = sorted(range(len(both)), key=lambda place: _keys(both.iloc[[place]])[0])
    return both.iloc[order].reset_index(drop=True)


def join_curves(earlier: Any, later: Any) -> Any:
    """Return the curves of both; of one curve the one of more runs, the later one at a tie."""
    if not (isinstance(earlier, Mapping) and isinstance(later, Mapping)):
        return later
    if "step" in later and "step" in earlier:
        return later if later["n"] >= earlier["n"] else earlier
    both = {**earlier, **later}
    shared = earlier.keys() & later.keys()
    return both | {key: join_curves(earlier[key], later[key]) for key in sorted(shared)}


def join_meta(
    earlier: Mapping[str, Any],
    later: Mapping[str, Any],
    tables: tuple["pd.DataFrame", "pd.DataFrame"],
    joined: "pd.DataFrame",
) -> dict[str, Any]:
    """Return how all was measured.

    Args:
        earlier: of the earlier runs.
        later: of the later ones.
        tables: the runs of both.
        joined: what `join` makes of them.
    """
    runs, lengths = len(joined), (earlier["steps"], later["steps"])
    again = len(_identities(tables[0]) & _identities(tables[1]))
    return {
        "runs": runs,
        "left_out": {
            status: sorted({*earlier["left_out"].get(status, ()), *names})
            for status, names in {**earlier["left_out"], **later["left_out"]}.items()
        },
        "repeated": earlier["repeated"]
        + later["repeated"]
        + (earlier["runs"] + later["runs"] - again - runs),
        "agreement": _agreement(earlier.get("agreement"), tables),
        "seeds": sorted({*earlier["seeds"], *later["seeds"]}),
        "steps": [min(low for low, _ in lengths), max(high for _, high in lengths)],
        "duration_s": round(joined["duration_s"].sum()),
        "machines": _machines(earlier["machines"], later["machines"], runs),
        "versions": {
            name: sorted({*earlier["versions"].get(name, ()), *later["versions"].get(name, ())})
            for name in sorted({*earlier["versions"], *later["versions"]})
        },
        "commits": sorted({*earlier["commits"], *later["commits"]}),
    }


def _agreement(
    known: Mapping[str, Any] | None, tables: tuple["pd.DataFrame", "pd.DataFrame"]
) -> dict[str, Any]:
    """Return how many runs were made again on another day, and how far their losses are apart.

    A validation loss at the end, as a share of the earlier one: what later code changes.
    """
    found = [dict(zip(_keys(table), table.to_dict("records"), strict=True)) for table in tables]
    pairs = [(found[0][key], found[1][key]) for key in found[0].keys() & found[1].keys()]
    losses = [
        [float(_as_text(one["loss"])) for one in pair]  # in the digits that the table keeps
        for pair in pairs
        if pair[0]["started"] != pair[1]["started"] and pair[0]["loss"]
    ]
    apart = [abs(after - before) / abs(before) for before, after in losses]
    known = known or NO_AGREEMENT
    largest = max([known["largest"], *apart])
    return {"runs": known["runs"] + len(apart), "largest": float(f"{largest:.1g}")}


def _machines(
    earlier: list[dict[str, Any]], later: list[dict[str, Any]], runs: int
) -> list[dict[str, Any]]:
    machines: Counter[tuple[str, Any]] = Counter()
    for one in (*earlier, *later):
        machines[one["system"], one["cpu_count"]] += one["runs"]
    if len(machines) == 1:  # all are its; those that were replaced or read again count no more
        machines = Counter(dict.fromkeys(machines, runs))
    return counted_machines(machines)


def counted_machines(machines: Counter[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Return machines with how many runs each made, that of most runs first."""
    return [
        {"system": system, "cpu_count": count, "runs": runs}
        for (system, count), runs in sorted(machines.items(), key=lambda m: (-m[1], str(m[0])))
    ]


def _identities(table: "pd.DataFrame") -> set[tuple[str, ...]]:
    """Return what tells a run that is read again from one that was made again."""
    return {tuple(map(_as_text, row)) for row in table[[*_IDENTITY]].to_numpy()}


def _keys(table: "pd.DataFrame") -> list[tuple[str, ...]]:
    rows = table[[*_KEY]].to_dict("records")
    return [tuple(_as_text(row[name]) for name in _KEY) for row in rows]


def _as_text(value: Any) -> str:
    """Return a factor as the table holds it, whether it was read from there or just made."""
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)
