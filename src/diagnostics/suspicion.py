"""What measured gradients alone give reason to suspect, and what they say without a replay."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from src.diagnostics.details import DetailMeasurement, GradientDetails
from src.diagnostics.findings import Finding
from src.diagnostics.measure import Measurement
from src.diagnostics.schedule import Alive, Sightings


class Symptom(NamedTuple):
    """Something odd about one parameter's gradients."""

    kind: str
    parameter: str


@dataclass(frozen=True)
class Thresholds:
    """Where a replay is worth its cost: generous, since a finding needs the replay's confirmation.

    Args:
        scattered: share of zeros that neither dead rows nor dead columns explain.
        vanishing: largest magnitude of a gradient below which it hardly matters.
        exploding: norm of all gradients together.
        faint: a parameter's norm relative to the median parameter's.
        update: smallest and largest change of a weight in one step, relative to its norm.
        column_ratio: norm of the largest column relative to the median one.
        distinct: share of the live columns that are distinct directions.
    """

    scattered: float = 0.5
    vanishing: float = 1e-8
    exploding: float = 1e3
    faint: float = 1e-4
    update: tuple[float, float] = (1e-7, 0.1)
    column_ratio: float = 1e3
    distinct: float = 0.5


def symptoms(
    measurements: Sequence[Measurement],
    details: Iterable[DetailMeasurement],
    alive: Alive,
    updates: dict[str, float],
    thresholds: Thresholds = Thresholds(),
) -> set[Symptom]:
    """Name what is odd about the gradients of one window.

    Args:
        measurements: the window's measurements.
        details: the window's detailed measurements.
        alive: rows and columns that were non-zero at least once in the window.
        updates: latest change of each weight relative to its norm.
        thresholds: where oddness begins.

    Returns:
        The symptoms; empty for gradients that look healthy.
    """
    found = {
        Symptom("dead " + kind, name)
        for name in alive.names()
        for kind, indices in zip(("rows", "columns"), alive.dead(name), strict=True)
        if indices
    }
    for measurement in measurements:
        found |= _of_measurement(measurement, thresholds)
    seen = {name for m in measurements for name in m.parameters}
    found |= {Symptom("missing", n) for m in measurements for n in m.missing if n not in seen}
    for detail in details:
        for name, gradient in detail.parameters.items():
            found |= {Symptom(kind, name) for kind in _of_details(gradient, thresholds)}
    low, high = thresholds.update
    for name in alive.names():  # weights only: a bias starts small and moves far
        if name in updates and not low <= updates[name] <= high:
            found.add(Symptom("update", name))
    return found


def _of_measurement(measurement: Measurement, thresholds: Thresholds) -> set[Symptom]:
    stats = measurement.parameters
    found = {Symptom("nonfinite", name) for name, s in stats.items() if s.nonfinite}
    found |= {Symptom("vanishing", n) for n, s in stats.items() if s.max_abs < thresholds.vanishing}
    norms = [s.norm for s in stats.values()]
    if norms and measurement.total_norm > thresholds.exploding:
        found.add(Symptom("exploding", max(stats, key=lambda name: stats[name].norm)))
    faint = thresholds.faint * median(norms) if norms else 0.0
    return found | {Symptom("faint", name) for name, s in stats.items() if s.norm < faint}


def _of_details(gradient: GradientDetails, thresholds: Thresholds) -> list[str]:
    kinds = []
    if gradient.zero_shares["scattered"] > thresholds.scattered:
        kinds.append("scattered zeros")
    live = gradient.column_norm[gradient.column_norm > 0]
    if len(live) and float(live.max() / live.median()) > thresholds.column_ratio:
        kinds.append("column scales")
    distinct = gradient.distinct_columns
    if distinct is not None and distinct < thresholds.distinct * min(len(live), gradient.shape[0]):
        kinds.append("copied columns")
    return kinds


def unconfirmed_findings(
    measurement: Measurement, sightings: Sightings, feature_names: Sequence[str] | None = None
) -> list[Finding]:
    """Say what the measurements of a run show where no batch can be replayed.

    Args:
        measurement: the latest one.
        sightings: when rows and columns were last seen non-zero.
        feature_names: names of the columns of weights that have as many.

    Returns:
        Findings with `confirmed` None.
    """
    found = [
        _finding("nonfinite", name, stats.nonfinite / stats.entries)
        for name, stats in measurement.parameters.items()
        if stats.nonfinite
    ]
    for name in sightings.names():
        rows, columns = sightings.dead(name)
        num_rows, num_columns = sightings.shape(name)
        if columns:
            named = feature_names is not None and len(feature_names) == num_columns
            labels = tuple(feature_names[j] if named and feature_names else j for j in columns)
            found.append(_finding("dead_input", name, len(columns) / num_columns, labels))
        if rows:
            found.append(_finding("dead_unit", name, len(rows) / num_rows, rows))
    return found + [_finding("unused", name, 1.0) for name in measurement.missing]


REMEDIES = {
    "nonfinite": "Lower the learning rate, clip the gradients, and look for NaN in the data.",
    "dead_input": "Drop these features or repair where they come from: they are always zero.",
    "dead_unit": "Lower the learning rate or use an activation that lets a gradient through.",
    "unused": "Use this parameter in the loss, or remove or freeze it.",
}


def _finding(
    cause: str, parameter: str, fraction: float, indices: tuple[int | str, ...] = ()
) -> Finding:
    return Finding(
        cause=cause,
        module=parameter.rpartition(".")[0],
        parameter=parameter,
        fraction=fraction,
        indices=indices,
        remedy=REMEDIES[cause],
    )
