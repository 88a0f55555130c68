"""The series that all models learn, and what of a training is kept to judge it by."""

from collections.abc import Callable
from typing import Any

HORIZON, HISTORY = 4, 24
STEPS = 300
QUIET = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
Train = Callable[[bool, list[Any]], list[Any]]
"""(whether there is a dead column, callbacks) -> the callbacks that were called: some libraries
copy them."""


def tables() -> list[Any]:
    """Return four series, each a table of `unique_id`, `ds`, `y` and a column `dead` of zeros.

    Each has a season of twelve steps, a trend and a little noise.
    """
    import numpy as np
    import pandas as pd

    noise, steps, parts = np.random.default_rng(0), np.arange(400), []
    for number in range(4):
        values = np.sin(2 * np.pi * steps / 12 + number) + 0.002 * number * steps
        values += 0.05 * noise.standard_normal(len(steps))
        dates = pd.date_range("2020-01-01", periods=len(steps), freq="D")
        columns = {"unique_id": str(number), "ds": dates, "y": values, "dead": 0.0}
        parts.append(pd.DataFrame(columns))
    return parts


def loss_keeper(base: type) -> Any:
    """Return a callback that keeps the training losses.

    Args:
        base: the class of callbacks of the Lightning that trains.
    """

    class Losses(base):
        def __init__(self) -> None:
            self.values: list[float] = []

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            self.values.append(float(outputs["loss"]))

    return Losses()
