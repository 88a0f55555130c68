"""From a table of prices to the windows of each split, with statistics of training rows only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from src.data.features.bars import WARMUP_ROWS, FeatureTable, bar_features
from src.data.reading.errors import DataError
from src.data.reading.sources import PriceTable
from src.data.scaling import InputScaling, TargetScaling, fit_input_scaling, fit_target_scaling
from src.data.split import chronological_split, rows_needed
from src.data.windows import WindowDataset

FEATURES = ("prices", "bars")
# Numbers that are taken into double precision at a time.
_BLOCK = 1 << 21
_CLOSE_UNITS = {"relative": "log ratio to the last close, scaled", "price": "price, scaled"}


@dataclass(frozen=True)
class PreparedData:
    """What a table of prices becomes.

    Args:
        features: Columns of the model input, their values before `input_scaling`.
        rows: Raw rows of each split.
        datasets: Windows of each split.
        input_scaling: What turns windows of closes into model inputs; None for bars.
        target_scaling: What turns prices into targets and predictions into prices.
        mean: Mean of each feature over the training split (F,).
        std: Its standard deviation (F,); 1 for a constant feature.
    """

    features: FeatureTable
    rows: dict[str, range]
    datasets: dict[str, WindowDataset]
    input_scaling: InputScaling | None
    target_scaling: TargetScaling
    mean: Tensor
    std: Tensor


def prepare(
    table: PriceTable,
    *,
    features: str,
    context_length: int,
    target: str,
    input: str,
    scaler: str,
    split: Sequence[float],
) -> PreparedData:
    """Compute features, split, scalings and windows.

    Args:
        table: Prices in time order.
        features: `prices` or `bars`.
        context_length: T, in rows.
        target: Kind of the target.
        input: Kind of the input of `features=prices`.
        scaler: Scaler of prices.
        split: Shares of training, validation and test rows.

    Returns:
        All that a data module tells.

    Raises:
        DataError: If there are too few rows for one window and its target in each split.
    """
    warmup = WARMUP_ROWS if features == "bars" else 0
    rows = split_rows(table, warmup, context_length, split)
    train_closes = table.close[rows["train"].start : rows["train"].stop]
    input_scaling = None
    if features == "bars":
        columns = bar_features(table)
    else:
        columns = _close_feature(table, _CLOSE_UNITS[input])
        input_scaling = fit_input_scaling(train_closes, context_length, input, scaler)
    target_scaling = fit_target_scaling(train_closes, context_length, target, scaler)
    return cut_windows(table, columns, rows, context_length, input_scaling, target_scaling)


def split_rows(
    table: PriceTable, warmup: int, context_length: int, split: Sequence[float]
) -> dict[str, range]:
    """Return the raw rows of each split.

    Raises:
        DataError: If there are too few rows for one window and its target in each split.
    """
    needed = warmup + rows_needed(split, context_length)
    if len(table) < needed:
        expected = (
            f"at least {needed}: every split needs a window of {context_length} and its target"
        )
        raise DataError(table.name, table.last_line, 1, f"{len(table)} rows of prices", expected)
    return chronological_split(warmup, len(table), split)


def cut_windows(
    table: PriceTable,
    columns: FeatureTable,
    rows: dict[str, range],
    context_length: int,
    input_scaling: InputScaling | None,
    target_scaling: TargetScaling,
) -> PreparedData:
    """Cut the features of each split into windows.

    Args:
        table: Prices in time order.
        columns: Features of its rows from the first one of the training split on.
        rows: Raw rows of each split.
        context_length: T, in rows.
        input_scaling: What turns windows of closes into model inputs; None leaves the features.
        target_scaling: What turns prices into targets.

    Returns:
        All that a data module tells.
    """
    warmup = rows["train"].start
    values = torch.from_numpy(columns.values)
    datasets = {
        name: WindowDataset(
            values[part.start - warmup : part.stop - warmup],
            table.close[part.start : part.stop],
            context_length,
            first_row=part.start,
            to_scaled=target_scaling.to_scaled,
            transform=input_scaling,
        )
        for name, part in rows.items()
    }
    mean, std = _statistics(datasets["train"], values[: len(rows["train"])])
    return PreparedData(columns, rows, datasets, input_scaling, target_scaling, mean, std)


def _close_feature(table: PriceTable, unit: str) -> FeatureTable:
    values = table.close[:, None].astype(np.float32)
    return FeatureTable(values, ("close",), (unit,), {"close": slice(0, 1)})


def _statistics(train: WindowDataset, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each model input over the training split, (F,) each."""
    # A block at a time: a million rows, or their windows, in double precision are gigabytes.
    parts = rows if train.transform is None else train.windows
    blocks = parts.split(max(1, _BLOCK // parts[0].numel()))

    def exact() -> Iterator[Tensor]:
        for block in blocks:
            shown = block if train.transform is None else train.transform(block).flatten(0, 1)
            yield shown.double()

    if len(blocks) == 1:
        (whole,) = exact()
        mean, std = whole.mean(0), whole.std(0, correction=0)
    else:
        count = sum(len(block) for block in exact())
        mean = sum((block.sum(0) for block in exact()), torch.zeros(())) / count
        squares = sum(((block - mean).square().sum(0) for block in exact()), torch.zeros(()))
        std = (squares / count).sqrt()
    return mean.float(), torch.where(std > 0, std, 1.0).float()
