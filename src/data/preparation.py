"""From a table of prices to the windows of each split, with statistics of training rows only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from src.data.features.bars import WARMUP_ROWS, FeatureTable, bar_features
from src.data.features.extra import extra_features, extra_values, with_extra
from src.data.features.variance import (
    LOG_VARIANCE,
    SMALLEST_VARIANCE,
    warmup_of,
    with_log_variance,
)
from src.data.reading.sources import PriceTable
from src.data.scaling import (
    InputScaling,
    Scaling,
    fit_affine,
    fit_input_scaling,
)
from src.data.split import SPLITS, split_rows, split_tables
from src.data.targets import (
    PRICES,
    Outcomes,
    Target,
    TargetScaling,
    fit_outcome_scaling,
    fit_target_scaling,
    outcomes,
)
from src.data.walk_forward import WalkForward
from src.data.windows import WindowDataset

Fitted = tuple[str, float, float]
FEATURES = ("prices", "bars")
# Numbers that are taken into double precision at a time.
_BLOCK = 1 << 21
_CLOSE_UNITS = {"relative": "log ratio to the last close, scaled", "price": "price, scaled"}


@dataclass(frozen=True)
class PreparedData:
    """What one or several tables of prices become.

    Args:
        tables: The prices; of several series those that have windows to learn from.
        names: Name of each column of the model input.
        units: Its unit.
        groups: The columns of each group.
        rows: Raw rows of each split, for each table.
        datasets: Windows of each split.
        input_scaling: What turns windows of closes into model inputs; None for bars.
        target_scaling: What turns prices into targets and predictions into prices.
        mean: Mean of each feature over the training split (F,).
        std: Its standard deviation (F,); 1 for a constant feature.
        notes: What is to be said of series that were left out.
        extra: What scales each further column, named by its kind.
    """

    tables: tuple[PriceTable, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    groups: dict[str, slice]
    rows: tuple[dict[str, range], ...]
    datasets: dict[str, WindowDataset]
    input_scaling: InputScaling | None
    target_scaling: TargetScaling
    mean: Tensor
    std: Tensor
    notes: tuple[str, ...] = ()
    extra: tuple[Scaling, ...] = ()


def prepare(
    tables: Sequence[PriceTable],
    *,
    features: str,
    context_length: int,
    target: str,
    input: str,
    scaler: str,
    split: Sequence[float],
    horizon: int = 1,
    estimator: str = "garman_klass",
    walk: WalkForward | None = None,
) -> PreparedData:
    """Compute features, split, scalings and windows.

    Args:
        tables: Prices in time order, of one or of several series.
        features: `prices` or `bars`.
        context_length: T, in rows.
        target: Kind of the target.
        input: Kind of the input of `features=prices`.
        scaler: Scaler of prices.
        split: Shares of training, validation and test rows.
        horizon: h, the rows that are forecast.
        estimator: What says how much a bar moved, for a target of volatility.
        walk: The fold of a walk-forward evaluation, in place of the split.

    Returns:
        All that a data module tells.

    Raises:
        DataError: If there are too few rows for one window and its target in each split.
        ValueError: If there is no such fold, or there are several series to walk through.
    """
    wanted = Target(target, horizon, estimator)
    warmup = warmup_rows(features, wanted)
    notes: tuple[str, ...] = ()
    if walk is not None:
        if len(tables) > 1:
            raise ValueError(f"evaluation=walk_forward takes one series, got {len(tables)}")
        rows = [walk.rows(warmup, len(tables[0]), context_length, horizon)]
    elif len(tables) > 1:
        tables, rows, notes = split_tables(tables, warmup, context_length, split, horizon)
    if walk is None and len(tables) == 1:
        rows = [split_rows(tables[0], warmup, context_length, split, horizon)]
    columns, inputs, targets, extras, known = [], [], [], [], []
    is_one = len(tables) == 1
    for prices, parts in zip(tables, rows, strict=True):
        table = with_log_variance(prices, estimator) if wanted.is_volatility else prices
        notes += _said_of_variance(table) if wanted.is_volatility else ()
        train_closes = table.close[parts["train"].start : parts["train"].stop]
        fitted_extra = _fit_extra(table, parts["train"])
        if features == "bars":
            columns.append(bar_features(table, extra_features(table, fitted_extra)))
        else:
            columns.append(_close_feature(table, _CLOSE_UNITS[input], warmup))
            inputs.append(fit_input_scaling(train_closes, context_length, input, scaler))
            if table.extra:
                values = extra_values(table, fitted_extra, warmup)
                columns[-1] = with_extra(columns[-1], values, list(table.extra))
        if table.extra:
            extras.append(fitted_extra)
        known.append(_outcomes(table, parts, context_length, wanted))
        if target in PRICES:
            fitted = fit_target_scaling(train_closes, context_length, target, scaler, is_one)
        else:
            fitted = fit_outcome_scaling(target, known[-1]["train"].actual)
        targets.append(fitted)
    told = (notes, known, warmup)
    data = cut_windows(tables, columns, rows, context_length, inputs or None, targets, *told)
    return replace(data, extra=_joined(extras)) if extras else data


def warmup_rows(features: str, target: Target) -> int:
    """Return how many rows at the start have no features, or no variance."""
    rows = WARMUP_ROWS if features == "bars" else 0
    return max(rows, warmup_of(target.estimator)) if target.is_volatility else rows


def _said_of_variance(table: PriceTable) -> tuple[str, ...]:
    """Return a line on bars that hardly moved, whose logarithm is far below all others."""
    smallest = np.log(SMALLEST_VARIANCE)
    still = int(np.isclose(table.extra[LOG_VARIANCE], smallest, rtol=0, atol=1e-9).sum())
    if not still:
        return ()
    return (
        f"{table.ticker or table.name}: {still} of {len(table)} bars did not move: their variance "
        f"counts as {SMALLEST_VARIANCE:g}, and may make most of the QLIKE",
    )


def _outcomes(
    table: PriceTable, parts: dict[str, range], context_length: int, target: Target
) -> dict[str, Outcomes]:
    """Return what came after the windows of each split that is long enough for one."""
    variance = np.exp(table.extra[LOG_VARIANCE]) if target.is_volatility else None
    return {
        name: outcomes(
            table.close[part.start : part.stop],
            context_length,
            target,
            None if variance is None else variance[part.start : part.stop],
        )
        for name, part in parts.items()
        if len(part) >= context_length + target.horizon
    }


def _fit_extra(table: PriceTable, train: range) -> list[Fitted]:
    """Return name, mean and standard deviation of each further column over the training rows."""
    return [
        (name, *fit_affine(values[train.start : train.stop], "standard"))
        for name, values in table.extra.items()
    ]


def _joined(extras: Sequence[Sequence[Fitted]]) -> tuple[Scaling, ...]:
    """Return one scaling for each further column; of several series with a number for each."""
    each = [[Scaling(*fitted) for fitted in own] for own in extras]
    if len(each) == 1:
        return tuple(each[0])
    return tuple(Scaling.join(same) for same in zip(*each, strict=True))


def cut_windows(
    tables: Sequence[PriceTable],
    columns: Sequence[FeatureTable],
    rows: Sequence[dict[str, range]],
    context_length: int,
    input_scalings: Sequence[InputScaling] | None,
    target_scalings: Sequence[TargetScaling],
    notes: tuple[str, ...] = (),
    known: Sequence[dict[str, Outcomes]] = (),
    first: int | None = None,
) -> PreparedData:
    """Cut the features of each split into windows, none of which lies in two series.

    Args:
        tables: Prices in time order.
        columns: Features of their rows from the first usable one on.
        rows: Raw rows of each split, for each table.
        context_length: T, in rows.
        input_scalings: What turns windows of closes into model inputs; None leaves the features.
        target_scalings: What turns prices into targets.
        notes: What is to be said of series that were left out.
        known: What came after the windows of each split, for each table; empty for the following
            close.
        first: The first usable row; None for the one that training begins with.

    Returns:
        All that a data module tells.
    """
    starts = np.cumsum([0, *map(len, tables)])
    several = len(tables) > 1
    input_scaling = input_scalings[0] if input_scalings else None
    if several and input_scalings:
        input_scaling = InputScaling.join(input_scalings)

    def windows_of(number: int, name: str) -> WindowDataset:
        table, part = tables[number], rows[number][name]
        warmup = rows[number]["train"].start if first is None else first
        return WindowDataset(
            torch.from_numpy(columns[number].values)[part.start - warmup : part.stop - warmup],
            table.close[part.start : part.stop],
            context_length,
            first_row=int(starts[number]) + part.start,
            to_scaled=target_scalings[number].to_scaled,
            transform=None if several else input_scaling,
            series=number,
            known=_referred(known[number][name], target_scalings[number]) if known else None,
        )

    datasets = {}
    for name in SPLITS:
        long_enough = [
            n
            for n, parts in enumerate(rows)
            if (name in known[n] if known else len(parts[name]) > context_length)
        ]
        windows = [windows_of(n, name) for n in long_enough]
        datasets[name] = WindowDataset.join(windows, input_scaling) if several else windows[0]
    target_scaling = TargetScaling.join(target_scalings) if several else target_scalings[0]
    mean, std = _statistics(datasets["train"])
    return PreparedData(
        tuple(tables),
        columns[0].names,
        columns[0].units,
        columns[0].groups,
        tuple(rows),
        datasets,
        input_scaling,
        target_scaling,
        mean,
        std,
        notes,
    )


def _referred(known: Outcomes, scaling: TargetScaling) -> Outcomes:
    """Return outcomes with the base rate of the training part where it is the reference."""
    if scaling.kind != "direction":
        return known
    _, log_odds, _ = scaling.numbers()
    return known._replace(reference=torch.full_like(known.actual, log_odds).sigmoid())


def _close_feature(table: PriceTable, unit: str, first: int) -> FeatureTable:
    values = table.close[first:, None].astype(np.float32)
    return FeatureTable(values, ("close",), (unit,), {"close": slice(0, 1)})


def _statistics(train: WindowDataset) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each model input over the training split, (F,) each."""
    # A block at a time: a million rows, or their windows, in double precision are gigabytes.
    is_shown, width = train.transform is not None, train.rows.shape[1]
    if is_shown:
        blocks = torch.arange(len(train)).split(max(1, _BLOCK // (train.context_length * width)))
    else:
        blocks = train.rows.split(max(1, _BLOCK // width))

    def exact() -> Iterator[Tensor]:
        # Into one buffer: of new ones, each somewhere else, the gaps between them stay.
        buffer = torch.empty(0, width, dtype=torch.double)
        for block in blocks:
            shown = train[block].x.flatten(0, 1) if is_shown else block
            if len(buffer) < len(shown):
                buffer = torch.empty(shown.shape, dtype=torch.double)
            yield buffer[: len(shown)].copy_(shown)

    if len(blocks) == 1:
        (whole,) = exact()
        mean, std = whole.mean(0), whole.std(0, correction=0)
    else:
        count, total, squares = 0, *torch.zeros(2, width, dtype=torch.double)
        for block in exact():
            count, total = count + len(block), total.add_(block.sum(0))
        mean = total / count
        for block in exact():
            squares.add_(block.sub_(mean).square_().sum(0))
        std = (squares / count).sqrt()
    return mean.float(), torch.where(std > 0, std, 1.0).float()
