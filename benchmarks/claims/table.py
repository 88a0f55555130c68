"""The table of runs, and how conditions are picked from it and compared seed by seed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from src.reporting.statistics import Estimate, estimate

if TYPE_CHECKING:
    import pandas as pd

ANY = None
"""Lets a factor vary."""
BASE: Mapping[str, Any] = {
    "model": "transformer",
    "num_layers": 2,
    "hidden_size": 64,
    "residual_scale": 1.0,
    "pooling": "mean",
    "init": "uniform",
    "prior": "none",
    "kl_weight": 0.0,
    "injection": "none",
    "norm": "none",
    "dropout": "none",
    "lr": 1e-3,
    "clip": 0.0,
    "position_gradients": 1.0,
    "task": "",
    "forget_bias": 0.0,
    "largest_size": 1000.0,
}
"""The run that everything is compared with; a condition is what differs from it."""
SIZES = ("num_layers", "hidden_size", "lr")
WORLDS = ("scenario", "bars")
NAMES = {
    "scenario": "scenario",
    "bars": "S&P 500 bars",
    "prices": "S&P 500 prices",
    "recall": "recall of the value 50 steps back",
}
SCHEDULES = {
    "dead_inputs": "inputs die",
    "scale_shock": "scale shock",
    "dead_units": "units die",
    "none": "all alive",
}


class Runs:
    """The runs by factors: what is not asked for has the base run's value.

    Args:
        frame: a row per run, as `rows.row_of` makes them.

    Attributes:
        base: the base run's factors; its sizes are those most of its runs have.
    """

    def __init__(self, frame: "pd.DataFrame") -> None:
        self.frame = frame
        self._known: dict[tuple[str, Any], np.ndarray] = {}
        self.base = dict(BASE)
        unsized = {**BASE, **dict.fromkeys(SIZES, ANY)}
        for size in SIZES:
            found = frame.loc[self._fits(unsized), size].dropna()
            if len(found) and BASE[size] not in set(found):
                self.base[size] = found.mode().iloc[0]

    def pick(self, **factors: Any) -> "pd.DataFrame":
        """Return the runs of one condition; a factor given as ANY may vary."""
        return self.frame[self._fits({**self.base, **factors})]

    def values(self, column: str, **factors: Any) -> "pd.Series":
        """Return one outcome of a condition, a value per seed."""
        return self._means(column, factors, ("seed",)).dropna()

    def mean(self, column: str, **factors: Any) -> Estimate:
        """Return one outcome's mean over seeds."""
        return estimate(self.values(column, **factors))

    def change(
        self,
        column: str,
        changed: Mapping[str, Any],
        base: Mapping[str, Any],
        by: Sequence[str] = ("seed",),
    ) -> Estimate:
        """Return how a change alters an outcome: the mean over seeds of the paired differences.

        Args:
            column: the outcome.
            changed: factors of the runs with the change.
            base: factors of those without it.
            by: what pairs have in common; a seed's pairs are averaged.
        """
        sides = [self._means(column, side, by) for side in (changed, base)]
        paired = (sides[0] - sides[1]).dropna()
        return estimate(paired.groupby("seed").mean() if len(paired) else [])

    def levels(self, column: str, **factors: Any) -> list[Any]:
        """Return the values a factor has among the runs of a condition, in order."""
        return sorted(self.pick(**{**factors, column: ANY})[column].dropna().unique())

    def _means(self, column: str, factors: Mapping[str, Any], by: Sequence[str]) -> "pd.Series":
        """Return an outcome's mean over what runs of a condition have in common."""
        fits = self._fits({**self.base, **factors})
        return self.frame.loc[fits, [*by, column]].groupby([*by])[column].mean()

    def _fits(self, factors: Mapping[str, Any]) -> np.ndarray:
        """Return which runs have these values; a page asks for the same ones a thousand times."""
        fits = np.ones(len(self.frame), dtype=bool)
        for column, value in factors.items():
            if value is ANY:
                continue
            key = (column, value)
            if key not in self._known:
                found = self.frame[column]
                self._known[key] = (
                    (found == value).to_numpy()
                    if isinstance(value, str)
                    else np.isclose(found.to_numpy(dtype=float), value, rtol=1e-6)
                )
            fits &= self._known[key]
        return fits
