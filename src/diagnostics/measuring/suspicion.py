"""What measured gradients give reason to suspect, and what of it persists over windows of them."""

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, TypeVar

from .counts import Measurement
from .details import DetailMeasurement, GradientDetails
from .liveness import Alive, Sightings

Seen = TypeVar("Seen", bound=Hashable)


class Suspicion(NamedTuple):
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


def suspicions(
    measurements: Sequence[Measurement],
    details: Iterable[DetailMeasurement],
    alive: Alive,
    updates: dict[str, float],
    thresholds: Thresholds = Thresholds(),
) -> set[Suspicion]:
    """Name what is odd about the gradients of one window.

    Args:
        measurements: the window's measurements.
        details: the window's detailed measurements.
        alive: rows and columns that were non-zero at least once in the window.
        updates: latest change of each weight relative to its norm.
        thresholds: where oddness begins.

    Returns:
        What is odd; empty for gradients that look healthy.
    """
    found = {
        Suspicion("dead " + kind, name)
        for name in alive.names()
        for kind, indices in zip(("rows", "columns"), alive.dead(name), strict=True)
        if indices
    }
    for measurement in measurements:
        found |= _of_measurement(measurement, thresholds)
    seen = {name for m in measurements for name in m.parameters}
    found |= {Suspicion("missing", n) for m in measurements for n in m.missing if n not in seen}
    for detail in details:
        for name, gradient in detail.parameters.items():
            found |= {Suspicion(kind, name) for kind in _of_details(gradient, thresholds)}
    low, high = thresholds.update
    for name in alive.names():  # weights only: a bias starts small and moves far
        if name in updates and not low <= updates[name] <= high:
            found.add(Suspicion("update", name))
    return found


def _of_measurement(measurement: Measurement, thresholds: Thresholds) -> set[Suspicion]:
    stats = measurement.parameters
    found = {Suspicion("nonfinite", name) for name, s in stats.items() if s.nonfinite}
    found |= {
        Suspicion("vanishing", n) for n, s in stats.items() if s.max_abs < thresholds.vanishing
    }
    norms = [s.norm for s in stats.values()]
    if norms and measurement.total_norm > thresholds.exploding:
        found.add(Suspicion("exploding", max(stats, key=lambda name: stats[name].norm)))
    faint = thresholds.faint * median(norms) if norms else 0.0
    return found | {Suspicion("faint", name) for name, s in stats.items() if s.norm < faint}


def _of_details(gradient: GradientDetails, thresholds: Thresholds) -> list[str]:
    kinds = []
    if gradient.zeros.shares["scattered"] > thresholds.scattered:
        kinds.append("scattered zeros")
    live = gradient.column_norm[gradient.column_norm > 0]
    if len(live) and float(live.max() / live.median()) > thresholds.column_ratio:
        kinds.append("column scales")
    distinct = gradient.distinct_columns
    if distinct is not None and distinct < thresholds.distinct * min(len(live), gradient.shape[0]):
        kinds.append("copied columns")
    return kinds


class KOutOfM:
    """Keep what shows in at least `needed` of the last `among` windows.

    Args:
        needed: windows that have to show it (K).
        among: latest windows looked at (M).

    Raises:
        ValueError: if not 1 <= needed <= among.

    >>> twice_in_three = KOutOfM(2, 3)
    >>> [twice_in_three.update({s}) for s in ("dead", "fine", "dead")]
    [set(), set(), {'dead'}]
    """

    def __init__(self, needed: int, among: int) -> None:
        if not 1 <= needed <= among:
            raise ValueError(f"needed must be between 1 and among={among}, got {needed}")
        self.needed = needed
        self._windows: deque[frozenset[Hashable]] = deque(maxlen=among)

    def update(self, seen: Iterable[Seen]) -> set[Seen]:
        """Add what one window shows and return what of it persists."""
        latest = frozenset(seen)
        self._windows.append(latest)
        return {s for s in latest if sum(s in window for window in self._windows) >= self.needed}


class SuspicionWindows:
    """Gather measurements into windows and name what persists over them.

    Args:
        details_per_window: detailed measurements that make a window.
        needed: windows that have to show the same ...
        among: ... among so many latest ones.

    Raises:
        ValueError: if a number is out of its range.

    Attributes:
        sightings: when rows and columns were last seen non-zero since the start.
    """

    def __init__(self, details_per_window: int = 2, needed: int = 2, among: int = 3) -> None:
        if details_per_window < 1:
            raise ValueError(f"details_per_window must be at least 1, got {details_per_window}")
        self.details_per_window = details_per_window
        self.sightings = Sightings()
        self._persistent = KOutOfM(needed, among)
        self._alive = Alive()
        self._measurements: list[Measurement] = []
        self._details: list[DetailMeasurement] = []
        self._updates: dict[str, float] = {}
        self._counted = 0

    def add(self, measurement: Measurement) -> None:
        """Add a measurement to the current window."""
        self._measurements.append(measurement)

    def add_updates(self, ratios: dict[str, float]) -> None:
        """Note the latest change of each weight relative to its norm."""
        self._updates |= ratios

    def add_details(self, details: DetailMeasurement, counts: bool = True) -> set[Suspicion] | None:
        """Add a detailed measurement and close the window if it is full.

        Args:
            details: the measurement.
            counts: whether it counts towards the window's length; of several optimisers, one does.

        Returns:
            What persists, when a window closes; None while it is open.
        """
        self._details.append(details)
        for name, gradient in details.parameters.items():
            if gradient.shape[1]:
                masks = gradient.row_max != 0, gradient.column_max != 0
                self._alive.add(name, *masks)
                self.sightings.add(name, *masks)
        self._counted += counts
        if self._counted < self.details_per_window:
            return None
        found = suspicions(self._measurements, self._details, self._alive, self._updates)
        self._alive.clear()
        self._measurements, self._details, self._counted = [], [], 0
        return self._persistent.update(found)
