"""When something is measured, and what has to show how often before it counts."""

from collections import deque
from collections.abc import Hashable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

Symptom = TypeVar("Symptom", bound=Hashable)


class Every:
    """True at every n-th count: 0, n, 2 n, ...

    Args:
        n: counts between two true ones; 0 for never.

    Raises:
        ValueError: if n is negative.

    >>> [count for count in range(7) if Every(3)(count)]
    [0, 3, 6]
    """

    def __init__(self, n: int) -> None:
        if n < 0:
            raise ValueError(f"n must be 0 (never) or positive, got {n}")
        self.n = n

    def __call__(self, count: int) -> bool:
        """Return whether this count is one of them."""
        return self.n > 0 and count % self.n == 0


class Persistence:
    """Keep what shows in at least `needed` of the last `among` windows.

    Args:
        needed: windows that have to show it (K).
        among: latest windows looked at (M).

    Raises:
        ValueError: if not 1 <= needed <= among.

    >>> twice_in_three = Persistence(2, 3)
    >>> [twice_in_three.update({s}) for s in ("dead", "fine", "dead")]
    [set(), set(), {'dead'}]
    """

    def __init__(self, needed: int, among: int) -> None:
        if not 1 <= needed <= among:
            raise ValueError(f"needed must be between 1 and among={among}, got {needed}")
        self.needed = needed
        self._windows: deque[frozenset[Hashable]] = deque(maxlen=among)

    def update(self, symptoms: Iterable[Symptom]) -> set[Symptom]:
        """Add one window's symptoms and return those of them that persist."""
        latest = frozenset(symptoms)
        self._windows.append(latest)
        return {s for s in latest if sum(s in window for window in self._windows) >= self.needed}


class Alive:
    """Which rows and columns of each gradient were ever non-zero: the OR of all masks added.

    A rare one-hot feature or an ordinary ReLU is silent in many batches and alive over several.
    """

    def __init__(self) -> None:
        self._masks: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, name: str, rows: Tensor, columns: Tensor) -> None:
        """OR in the non-zero masks of rows (R,) and columns (C,), bool."""
        if name in self._masks:
            seen_rows, seen_columns = self._masks[name]
            rows, columns = rows | seen_rows, columns | seen_columns
        self._masks[name] = rows, columns

    def dead(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the indices of rows and of columns that were zero whenever they were looked at."""
        if name not in self._masks:
            return (), ()
        rows, columns = self._masks[name]
        return _indices(~rows), _indices(~columns)

    def shape(self, name: str) -> tuple[int, int]:
        """Return the number of rows and of columns of a parameter that was looked at."""
        rows, columns = self._masks[name]
        return len(rows), len(columns)

    def names(self) -> tuple[str, ...]:
        """Return the parameters looked at."""
        return tuple(self._masks)

    def clear(self) -> None:
        """Start a new window."""
        self._masks.clear()


class Sightings:
    """When the rows and columns of each gradient were last seen non-zero: what never lived or died.

    Silence alone proves nothing: a rare feature is silent most of the time. What was seen in k of n
    looks up to its last is expected in k of n + 1 (the rule of succession); it counts as dead once
    the silence since then had less than one chance in a thousand.
    """

    CHANCE = 1e-3

    def __init__(self) -> None:
        self._looks: dict[str, int] = {}
        self._seen: dict[str, tuple[Tensor, Tensor]] = {}
        self._last: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, name: str, rows: Tensor, columns: Tensor) -> None:
        """Add a look at the non-zero masks of rows (R,) and columns (C,), bool."""
        masks = rows, columns
        if name not in self._looks:
            self._looks[name] = 0
            self._seen[name] = self._last[name] = (
                torch.zeros(len(rows)),
                torch.zeros(len(columns)),
            )
        self._looks[name] += 1
        look = self._looks[name]
        pairs = zip(masks, self._seen[name], self._last[name], strict=True)
        counts = [(seen + mask, last.masked_fill(mask, look)) for mask, seen, last in pairs]
        (seen_rows, last_rows), (seen_columns, last_columns) = counts
        self._seen[name], self._last[name] = (seen_rows, seen_columns), (last_rows, last_columns)

    def dead(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the indices of rows and of columns that never lived, or died."""
        if name not in self._looks:
            return (), ()
        looks = self._looks[name]
        pairs = zip(self._seen[name], self._last[name], strict=True)
        rows, columns = (_indices(self._is_dead(looks, seen, last)) for seen, last in pairs)
        return rows, columns

    def shape(self, name: str) -> tuple[int, int]:
        """Return the number of rows and of columns of a parameter that was looked at."""
        rows, columns = self._seen[name]
        return len(rows), len(columns)

    def names(self) -> tuple[str, ...]:
        """Return the parameters looked at."""
        return tuple(self._looks)

    def _is_dead(self, looks: int, seen: Tensor, last: Tensor) -> Tensor:
        silence = looks - last
        died = (silence > 0) & ((1 - seen / (last + 1)) ** silence < self.CHANCE)
        return (seen == 0) | died


def _indices(mask: Tensor) -> tuple[int, ...]:
    return tuple(torch.nonzero(mask).flatten().tolist())
