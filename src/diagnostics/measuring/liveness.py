"""Which rows and columns of gradients live: over one window, and since the start of a run."""

import torch
from torch import Tensor


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
