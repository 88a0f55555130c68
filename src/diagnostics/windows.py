"""Tell what persists from what passes: symptoms over windows of measurements."""

from src.diagnostics.details import DetailMeasurement
from src.diagnostics.measure import Measurement
from src.diagnostics.schedule import Alive, Persistence, Sightings
from src.diagnostics.suspicion import Symptom, symptoms


class Windows:
    """Gather measurements into windows and name the symptoms that persist over them.

    Args:
        details_per_window: detailed measurements that make a window.
        needed: windows that have to show a symptom ...
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
        self._persistence = Persistence(needed, among)
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

    def add_details(self, details: DetailMeasurement, counts: bool = True) -> set[Symptom] | None:
        """Add a detailed measurement and close the window if it is full.

        Args:
            details: the measurement.
            counts: whether it counts towards the window's length; of several optimisers, one does.

        Returns:
            The symptoms that persist, when a window closes; None while it is open.
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
        found = symptoms(self._measurements, self._details, self._alive, self._updates)
        self._alive.clear()
        self._measurements, self._details, self._counted = [], [], 0
        return self._persistence.update(found)
