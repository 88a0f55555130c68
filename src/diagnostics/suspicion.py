"""What measured gradients alone give reason to suspect."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from src.diagnostics.details import DetailMeasurement, GradientDetails
from src.diagnostics.measure import Measurement
from src.diagnostics.schedule import Alive


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
