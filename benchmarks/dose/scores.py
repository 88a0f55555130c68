"""From runs to shares: pure functions of recorded doses."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.dose.ladders import HALVES, LADDERS, half_of
from benchmarks.faults.cases import DIAGNOSERS
from benchmarks.faults.report import show_rate
from benchmarks.faults.scoring import Rate, clustered

HARMLESS, HARMFUL = 1.1, 1.5
"""Harm up to which silence is right, and from which on naming is a must."""
BINS = ((0.0, HARMLESS), (HARMLESS, HARMFUL), (HARMFUL, 3.0), (3.0, math.inf))


class Dose(NamedTuple):
    """One run: `harm` over the clean twin, and the causes that each diagnoser named in order."""

    ladder: str
    net: str
    seed: int
    rung: int
    dose: float
    loss: float
    harm: float
    named: dict[str, list[list[str]]]
    seconds: float


def is_named(dose: Dose, diagnoser: str = "ours", first: bool = True) -> bool:
    """Return whether the first alarm, or any, names an accepted cause."""
    alarms = dose.named[diagnoser][: 1 if first else None]
    return any(cause in LADDERS[dose.ladder].causes for alarm in alarms for cause in alarm)


def in_bin(doses: Sequence[Dose], low: float, high: float) -> list[Dose]:
    """Return the doses whose harm lies in a bin; a loss that is no number hurts without end."""
    return [d for d in doses if low <= (d.harm if math.isfinite(d.harm) else 1e9) < high]


def share(doses: Sequence[Dose], hit: Callable[[Dose], bool]) -> Rate:
    """Return a share whose interval is clustered by fault and net."""
    return clustered(doses, hit, lambda dose: (dose.ladder, dose.net))


def summary(doses: Sequence[Dose]) -> list[list[str]]:
    """Say per bin of harm how often each diagnoser speaks, and how often it names the fault."""
    rows = []
    for low, high in BINS:
        part = in_bin(doses, low, high)
        label = f"{low:g} to {high:g}" if low and math.isfinite(high) else f"from {low:g}"
        label = f"below {high:g}" if not low else label
        for name in DIAGNOSERS:
            rates = (
                share(part, lambda d, n=name: bool(d.named[n])),  # type: ignore[misc]
                share(part, lambda d, n=name: is_named(d, n)),  # type: ignore[misc]
                share(part, lambda d, n=name: is_named(d, n, first=False)),  # type: ignore[misc]
            )
            rows.append([label, name, str(len(part)), *map(show_rate, rates)])
    return rows


def halves(doses: Sequence[Dose]) -> list[list[str]]:
    """Score ours on each half and on both: named first where it hurts, silent where it does not."""
    rows = []
    for half in (*HALVES, "both"):
        part = [d for d in doses if half in ("both", half_of(d.ladder, d.net))]
        harmful = [d for d in part if not d.harm < HARMFUL]
        harmless = [d for d in part if d.harm < HARMLESS]
        named, quiet = share(harmful, is_named), share(harmless, lambda d: not d.named["ours"])
        counts = str(len(harmful)), str(len(harmless))
        rows.append([half, counts[0], show_rate(named), counts[1], show_rate(quiet)])
    return rows


def ladder_rows(doses: Sequence[Dose]) -> list[list[str]]:
    """Say per ladder what a dose does and how often ours names it: harm, and named of runs."""
    rows = []
    for name, ladder in LADDERS.items():
        cells = []
        for rung, dose in enumerate(ladder.doses):
            part = [d for d in doses if d.ladder == name and d.rung == rung]
            if not part:
                break
            harms = sorted(d.harm for d in part)
            named, spoke = sum(map(is_named, part)), sum(bool(d.named["ours"]) for d in part)
            other = f" (+{spoke - named})" if spoke > named else ""
            cells.append(f"{dose:g}: x{harms[len(harms) // 2]:.3g}, {named}/{len(part)}{other}")
        if cells:
            rows.append([f"{name}: {ladder.says}", *cells])
    return rows


def missed(doses: Sequence[Dose]) -> list[list[str]]:
    """List what hurts by half and is not named first, and what is named but hurts nobody."""
    rows = []
    for dose in doses:
        said = ", ".join(alarm[0] for alarm in dose.named["ours"][:3]) or "silent"
        wrong = dose.harm >= HARMFUL and not is_named(dose)
        false = dose.harm < HARMLESS and bool(dose.named["ours"])
        if wrong or false:
            what = f"{dose.ladder} {dose.dose:g}"
            rows.append([what, dose.net, f"{dose.harm:.3g}", said])
    return rows
