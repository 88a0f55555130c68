"""Series that cannot be forecast without memory: a window's first value, or a sum of marked ones.

Both are made like the bars of a scenario, so that windows, splits and scores are the same. Nothing
but the past helps, and there is no noise: a perfect model errs by 0, one that forgets by 1 (mean
squared error of the scaled target).

The adding problem is that of Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997, section 5.4,
as one long series: of two features one is random, the other marks bars at random distances of at
most half a window, and the target is the sum of the latest two marked values.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from src.data.datamodule import Changes
from src.data.features.bars import FeatureTable
from src.data.reading.sources import PriceTable
from src.data.scenario import DAILY_MOVE, Scenario
from src.data.scenario_datamodule import ScenarioDataModule

TASKS = ("recall", "adding")


class MemoryTaskDataModule(ScenarioDataModule):
    """Windows of a series whose next return is their first value, or the sum of two marked ones.

    Args:
        task: `recall`, of the first value of a window, T - 1 bars before its last, or `adding`.
        rows: Bars to make.
        world_seed: Which world; runs of different `seed` share it.
        context_length: T, the bars that a window shows.
        split: Shares of training, validation and test rows.
        batch_size: Windows in a training batch of one process.
        seed: Key, with the epoch, of the order of training windows.
        changes: What happens to the features while a model trains; None for nothing.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        task: str = "recall",
        rows: int = 40_000,
        world_seed: int = 0,
        context_length: int = 21,
        split: Sequence[float] = (0.7, 0.15, 0.15),
        batch_size: int = 32,
        seed: int = 0,
        changes: Changes | None = None,
    ) -> None:
        super().__init__(rows, world_seed, context_length, split, batch_size, seed, changes)
        if task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
        self.task = task

    @property
    def scenario(self) -> Scenario:
        """The bars and what is true of them."""
        if self.task == "recall":
            return make_recall(self.num_rows, self.world_seed, self.context_length - 1)
        return make_adding(self.num_rows, self.world_seed, self.context_length)


@lru_cache(maxsize=4)
def make_recall(rows: int, world_seed: int, lag: int) -> Scenario:
    """Return white noise, each bar followed by the return that the value `lag` bars back says.

    Args:
        rows: N.
        world_seed: Any int from 0.
        lag: Bars back; 0 is the last bar of a window.

    Returns:
        The scenario; it is shared between callers, nothing may change it.
    """
    value = np.random.default_rng(world_seed).standard_normal(rows)
    return _scenario(f"recall at lag {lag}", world_seed, {"value": value}, np.roll(value, lag))


@lru_cache(maxsize=4)
def make_adding(rows: int, world_seed: int, context_length: int) -> Scenario:
    """Return values and marks, each bar followed by the sum of the latest two marked values.

    Args:
        rows: N.
        world_seed: Any int from 0.
        context_length: T; distances between marks are 1 to T / 2, so that every window has two.

    Returns:
        The scenario; it is shared between callers, nothing may change it.
    """
    random = np.random.default_rng(world_seed)
    value = random.uniform(-1.0, 1.0, rows)
    marked = np.cumsum(random.integers(1, context_length // 2 + 1, rows))
    marked = np.concatenate([[0], marked[marked < rows]])
    mark = np.zeros(rows)
    mark[marked] = 1.0
    sums = value[marked] + np.concatenate([[0.0], value[marked][:-1]])
    target = sums[np.cumsum(mark).astype(int) - 1]
    return _scenario("adding", world_seed, {"value": value, "mark": mark}, target)


def _scenario(
    name: str, world_seed: int, features: dict[str, np.ndarray], moves: np.ndarray
) -> Scenario:
    rows = len(moves)
    # What a bar's features say is the return of the following bar.
    returns = DAILY_MOVE * np.concatenate([[0.0], moves[:-1]])
    table = PriceTable(
        name=f"{name}, world {world_seed}",
        dates=np.datetime64("1970-01-01", "s") + np.arange(rows) * np.timedelta64(1, "D"),
        columns={"close": 100.0 * np.exp(np.cumsum(returns - returns.mean()))},
        last_line=rows,
        frequency="daily",
    )
    values = np.stack([*features.values()], axis=1).astype(np.float32)
    groups = {"series": slice(0, len(features))}
    table_of = FeatureTable(values, tuple(features), ("1",) * len(features), groups)
    return Scenario(table, table_of, {0: 1.0}, 0.0)
