"""Walk-forward evaluation: the test part in blocks, each forecast by a model fitted before it.

Legend: T bars that a window shows, h bars that are forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOWS = ("expanding", "rolling")
FEWEST_WINDOWS = 20
"""To learn from, and to choose on: fewer are no part."""


@dataclass(frozen=True)
class WalkForward:
    """Which rows each fold trains, validates and tests on.

    The bars to be forecast, the last `test` of all, fall into blocks of `refit_every`. A fold tests
    on one of them and learns from what came before: from all of it, or from the latest `length`
    bars. Windows may show bars of the part before theirs, which were known; targets may not.

    Args:
        window: `expanding`, from the first bar on, or `rolling`.
        length: Bars to learn from and to choose on, of a rolling window; None of an expanding one.
        test: Share of the bars that is forecast.
        refit_every: Bars of a block.
        validation: Share of what lies before a block that is chosen on: its end.
        purge: Windows left out at the end of a part, whose targets would reach into the next one;
            None for h - 1, which are all of them.
        embargo: Further windows left out, for neighbouring bars resemble each other.
        fold: Which block, from 0; None for all.

    Raises:
        ValueError: If an option is out of range.

    Source: Tashman, International Journal of Forecasting 16 (2000), rolling origins; purge and
    embargo: Lopez de Prado, Advances in Financial Machine Learning (2018), section 7.4.
    """

    window: str = "expanding"
    length: int | None = None
    test: float = 0.5
    refit_every: int = 252
    validation: float = 0.15
    purge: int | None = None
    embargo: int = 0
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.window not in WINDOWS:
            raise ValueError(f"window must be one of {', '.join(WINDOWS)}, got {self.window!r}")
        if (self.window == "rolling") != (self.length is not None):
            raise ValueError(
                f"length is for window=rolling, which needs it, got window={self.window} and "
                f"length={self.length}"
            )
        for name in ("test", "validation"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be above 0 and below 1, got {getattr(self, name)}")
        least = {"length": 1, "refit_every": 1, "purge": 0, "embargo": 0, "fold": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < smallest):
                raise ValueError(f"{name} must be a whole number from {smallest}, got {value!r}")

    def count(self, first: int, last: int, horizon: int = 1) -> int:
        """Return how many folds there are; the last one takes in a rest of less than half a block.

        Args:
            first: The first usable row.
            last: One past the last usable row.
            horizon: h.

        >>> WalkForward(test=0.5, refit_every=10).count(0, 68)
        3
        """
        return max(1, round((last - horizon + 1 - self._start(first, last)) / self.refit_every))

    def rows(
        self, first: int, last: int, context_length: int, horizon: int = 1
    ) -> dict[str, range]:
        """Return the rows of each part of the fold: what windows show, and what follows them.

        Args:
            first: The first usable row.
            last: One past the last usable row.
            context_length: T.
            horizon: h.

        Returns:
            The rows of `train`, `val` and `test`.

        Raises:
            ValueError: If there is no such fold, or a part has too few windows.

        >>> walk = WalkForward(test=0.5, refit_every=100, validation=0.2, embargo=1, fold=1)
        >>> walk.rows(0, 400, context_length=10)
        {'train': range(0, 238), 'val': range(229, 299), 'test': range(290, 400)}
        """
        folds = self.count(first, last, horizon)
        if self.fold is None or self.fold >= folds:
            raise ValueError(f"evaluation.fold must be from 0 to {folds - 1}, got {self.fold}")
        purge = horizon - 1 if self.purge is None else self.purge
        if purge < horizon - 1:
            raise ValueError(
                f"evaluation.purge must be at least {horizon - 1}, with data.horizon={horizon} "
                f"targets reach so far, got {purge}"
            )
        # From the first bar to be forecast in one part to the end of what the part before sees.
        gap = purge + self.embargo - (horizon - 1)
        start = self._start(first, last) + self.fold * self.refit_every
        end = last if self.fold == folds - 1 else start + self.refit_every + horizon - 1
        known = start - gap
        begin = first if self.length is None else max(first, known - self.length)
        chosen_on = known - round(self.validation * (known - begin))
        parts = {
            "train": range(begin, chosen_on - gap),
            "val": range(max(first, chosen_on - context_length), known),
            "test": range(max(first, start - context_length), end),
        }
        for name in ("train", "val"):
            windows = len(parts[name]) - context_length - horizon + 1
            if windows < FEWEST_WINDOWS:
                raise ValueError(
                    f"evaluation: fold {self.fold} has {max(windows, 0)} windows in its {name} "
                    f"part, which takes {FEWEST_WINDOWS}: a smaller evaluation.test, or a longer "
                    "window, begins later"
                )
        return parts

    def _start(self, first: int, last: int) -> int:
        """Return the first row that is forecast in any fold."""
        return first + round((last - first) * (1 - self.test))
