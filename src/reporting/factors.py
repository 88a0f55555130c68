"""Tells what a set of runs varies, and names each group of runs by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.reporting.text import NOTHING

if TYPE_CHECKING:
    import pandas as pd

SHOWN_KEYS = 3
MOST_DIGITS = 10


@dataclass(frozen=True)
class Factor:
    """One thing that varies: a config key, or several that only ever change together.

    Args:
        keys: the columns of the run table.
        names: the same as shown to readers: as short as they stay distinct.
        digits: of the keys' numbers, as few as they stay distinct.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    digits: tuple[int, ...]

    @property
    def name(self) -> str:
        """The factor's name: that of its first key, whose values tell the others'."""
        return self.names[0]

    @property
    def together(self) -> str:
        """What changes with it, in a sentence; empty for a single key."""
        rest = self.names[1:]
        verb = "changes" if len(rest) == 1 else "change"
        return f"With {self.name} {verb} {_shortened(rest, ', ')}." if rest else ""

    def level(self, row: Mapping[Any, Any]) -> tuple[str, ...]:
        """Return a run's values of the keys, as text."""
        return tuple(text(row[key], n) for key, n in zip(self.keys, self.digits, strict=True))

    def title(self, level: Sequence[str]) -> str:
        """Return a level as shown beside the factor's name."""
        return level[0]

    def label(self, level: Sequence[str]) -> str:
        """Return a level as it would be typed, without what it leaves unset."""
        pairs = zip(self.names, level, strict=True)
        return " ".join([f"{n}={v}" for n, v in pairs if v != NOTHING][:SHOWN_KEYS])


def text(value: Any, digits: int = MOST_DIGITS) -> str:
    """Return a config value as it is shown; of a path the last part.

    >>> text(None), text(3e-05), text(True), text("data/petr4.csv")
    ('-', '3e-05', 'true', 'petr4')
    """
    if value is None or value != value:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return Path(value).stem if isinstance(value, str) and value.endswith(".csv") else str(value)


def find_factors(facts: "pd.DataFrame") -> list[Factor]:
    """Return what varies, without what follows from something else that does.

    A key follows from a key above it (`pooling.init` from `pooling`) where it has one value for
    each of that key's. Keys that change together are one factor: nothing can tell them apart.

    Args:
        facts: a row per run, a column per config group or dotted config key.

    Returns:
        The factors in the order of their first columns.
    """
    codes = {str(key): _codes(facts[key]) for key in facts.columns}
    varying = {key: code for key, code in codes.items() if len(set(code)) > 1}
    together: dict[tuple[int, ...], list[str]] = {}
    for key in varying:
        if not any(_follows(varying[key], varying[a]) for a in _above(key) if a in varying):
            together.setdefault(varying[key], []).append(key)
    shown = _short_names([key for keys in together.values() for key in keys])
    return [
        Factor(
            tuple(keys),
            tuple(shown[key] for key in keys),
            tuple(_digits(facts[key]) for key in keys),
        )
        for keys in together.values()
    ]


def _codes(column: "pd.Series") -> tuple[int, ...]:
    """Number the values in the order they come: equal tuples mean that two columns go together."""
    seen: dict[str, int] = {}
    return tuple(seen.setdefault(text(value), len(seen)) for value in column)


def _digits(column: "pd.Series") -> int:
    """Return how many digits tell a column's numbers apart."""
    count = len({text(value) for value in column})
    enough = (n for n in range(3, MOST_DIGITS) if len({text(v, n) for v in column}) == count)
    return next(enough, MOST_DIGITS)


def _follows(codes: Sequence[int], above: Sequence[int]) -> bool:
    return len(set(zip(above, codes, strict=True))) == len(set(above))


def _above(key: str) -> list[str]:
    """Return the keys above a key.

    >>> _above("callbacks.early_stopping.patience")
    ['callbacks', 'callbacks.early_stopping']
    """
    parts = key.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return each key's last part, or the whole key where that is not unique.

    >>> _short_names(["norm", "optimizer.lr", "model.norm"])
    {'norm': 'norm', 'optimizer.lr': 'lr', 'model.norm': 'model.norm'}
    """
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: name if last.count(name) == 1 or "." not in key else key
        for key, name in zip(keys, last, strict=True)
    }


def _shortened(parts: Sequence[str], separator: str) -> str:
    more = len(parts) - SHOWN_KEYS
    return separator.join(parts[:SHOWN_KEYS]) + (f"{separator}{more} more" if more > 0 else "")
