"""Prices in, batches of windows out: the one object that the entry points ask about the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from src.data.features.feature import PATTERN_UNIT
from src.data.preparation import FEATURES, PreparedData, warmup_rows
from src.data.reading.cache import load_and_prepare
from src.data.reading.checks import say_date
from src.data.reading.sources import BAR_COLUMNS, SOURCES, PriceTable, ReadOptions
from src.data.sampler import KeyedBatchSampler
from src.data.scaling import INPUTS, SCALERS
from src.data.split import check_fractions
from src.data.targets import SIGNED, Target, persistence_of
from src.data.walk_forward import WalkForward
from src.data.windows import WindowBatch, WindowDataset

# Evaluation has no gradients and no small steps: large batches give the same sums in less time.
EVAL_BATCH_SIZE = 512


class Changes(Protocol):
    """What changes the windows while a model trains; the data only asks for it."""

    @property
    def changes_features(self) -> bool:
        """Whether windows are changed at all."""

    def prepare(self, rows: Tensor, groups: Mapping[str, slice]) -> None:
        """Get to know the training rows (N, F) and the columns of each feature group."""

    def __call__(self, x_btf: Tensor) -> Tensor:
        """Return windows (B, T, F) as they are shown at present."""

    def alive(self) -> Tensor:
        """Return which features carry at present what the data says (F,), bool."""

    def statistics(self, mean_f: Tensor, std_f: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (F,) of the features as they are in the end."""


class PriceDataModule(pl.LightningDataModule):
    """Windows of daily prices, split in time order, scaled by statistics of the training split.

    Args:
        features: `prices`, the closes (F = 1), or `bars`, 129 features of each bar.
        source: `sp500` or `nasdaq`, the daily bars of 1999 to 2018 that `arch` ships.
        path: A file to read instead of `source`; a folder, a glob or a list for several series.
        columns: Role to the name of its column in the file, where that is not found by itself.
        ticker: Which series of a file of several.
        tickers: Several of them, or `all`, for one model; each is scaled by itself, all are split
            at the same dates.
        decimal: Its decimal sign, `dot` or `comma`, where the file does not tell.
        day_first: Whether 1/2/2020 is in February, where the file does not tell.
        extra: Names of further columns of the file that become features, each scaled by its
            training part.
        accept: Kinds of warning, such as `split`, at which training does not stop.
        context_length: T, the bars that a window shows.
        target: `log_return`, `residual` (price minus last price) or `price` of each following bar;
            their mean variance, `volatility`; or whether they end above, `direction`.
        horizon: h, the bars that are forecast, all at once.
        volatility_estimator: Of a bar: `parkinson`, `garman_klass` or `squared_returns`.
        input: With `features=prices`: `relative`, the log of each close over the last, or `price`.
        scaler: Of `input=price`: `minmax`, `standard` or `none`.
        split: Shares of training, validation and test rows.
        batch_size: Windows in a training batch of one process.
        num_workers: Processes that gather batches; 0 is fastest, gathering being one operation.
        seed: Key, with the epoch, of the order of training windows.
        changes: What happens to the features while a model trains; None for nothing.

    Raises:
        ValueError: If an argument is out of range; `setup` raises `DataError` for faulty prices.

    Attributes:
        walk: The fold of a walk-forward evaluation, in place of the split; set before `setup`.
        start: Epoch and batch, from 0, at which a training begins that goes on from a checkpoint.
    """

    def __init__(
        self,
        features: str = "prices",
        source: str = "sp500",
        path: str | Sequence[str] | None = None,
        columns: Mapping[str, str | int | None] | None = None,
        ticker: str | None = None,
        tickers: str | Sequence[str] | None = None,
        decimal: str | None = None,
        day_first: bool | None = None,
        extra: Sequence[str] | None = None,
        accept: Sequence[str] | None = None,
        context_length: int = 60,
        target: str = "log_return",
        horizon: int = 1,
        volatility_estimator: str = "garman_klass",
        input: str = "relative",
        scaler: str = "minmax",
        split: Sequence[float] = (0.7, 0.15, 0.15),
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        changes: Changes | None = None,
    ) -> None:
        super().__init__()
        _check_choice("features", features, FEATURES)
        _check_choice("source", source, SOURCES)
        forecast = Target(target, horizon, volatility_estimator)
        _check_choice("input", input, INPUTS)
        _check_choice("scaler", scaler, SCALERS)
        check_at_least("context_length", context_length, 2)
        check_at_least("batch_size", batch_size, 1)
        check_at_least("num_workers", num_workers, 0)
        check_at_least("seed", seed, 0)
        if target == "price" and (features != "prices" or input != "price"):
            raise ValueError(
                "target=price needs features=prices and input=price, which show the model a price, "
                f"got features={features} and input={input}"
            )
        if forecast.is_volatility and horizon > context_length:
            raise ValueError(
                "horizon must be at most context_length with target=volatility, whose persistence "
                f"is the variance of as many bars before, got {horizon} and {context_length}"
            )
        if changes is not None and changes.changes_features and features == "prices":
            raise ValueError("a schedule changes blocks of features: choose data=bars or scenario")
        if changes is not None and num_workers:
            raise ValueError(f"num_workers must be 0 with a schedule, got {num_workers}")
        self.features, self.source = features, source
        self.path, self.wanted = _frozen(path), _frozen(tickers)
        self.reading = ReadOptions(
            columns=columns or {},
            decimal=decimal,
            day_first=day_first,
            ticker=None if ticker is None else str(ticker),
            extra=tuple(extra or ()),
            signed=target in SIGNED and input == "price" and features == "prices",
        )
        self.accept = tuple(accept or ())
        self.context_length, self.input = context_length, input
        self.target, self.horizon, self.forecast = target, horizon, forecast
        self.scaler, self.split = scaler, check_fractions(split)
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.changes = changes
        self.walk: WalkForward | None = None
        self.start = (0, 0)
        self._is_set_up = False

    def setup(self, stage: str | None = None) -> None:
        """Load, check and prepare everything, once; no trainer is needed.

        Args:
            stage: Not looked at: all splits are cut at once, in a fraction of a second.
        """
        if self._is_set_up:
            return
        data = self._load()
        num_train = len(data.datasets["train"])
        if self.batch_size > num_train:
            raise ValueError(
                f"batch_size must be at most {num_train} training windows, got {self.batch_size}"
            )
        self.tables, self.notes, self.rows = data.tables, data.notes, data.rows
        self.dates = _joined(table.dates for table in self.tables)
        self.closes = _joined(table.close for table in self.tables)
        self.datasets = data.datasets
        self.num_features = len(data.names)
        self.feature_names, self.feature_units = data.names, data.units
        self.feature_groups = data.groups
        # Copies: a model takes them over, and loading a checkpoint writes into a model's tensors.
        self.feature_mean, self.feature_std = data.mean.clone(), data.std.clone()
        self.input_scaling, self.target_scaling = data.input_scaling, data.target_scaling
        self.extra_scalings = data.extra
        self.persistence = persistence_of(data.target_scaling, self.forecast, data.extra)
        if changes := self._feature_changes:
            # Statistics are those after the last event: what a trained model was left with.
            changes.prepare(self.datasets["train"].latest(), self.feature_groups)
            self.datasets = {n: d.with_transform(changes) for n, d in self.datasets.items()}
            self.feature_mean, self.feature_std = changes.statistics(
                self.feature_mean, self.feature_std
            )
        self._is_set_up = True

    def _load(self) -> PreparedData:
        """Return the prices and what becomes of them; shared, nothing may change it."""
        return load_and_prepare(
            self.source,
            self.path,
            self.wanted,
            self.reading,
            accept=self.accept,
            columns=self.columns,
            features=self.features,
            context_length=self.context_length,
            target=self.target,
            input=self.input,
            scaler=self.scaler,
            split=self.split,
            horizon=self.horizon,
            estimator=self.forecast.estimator,
            walk=self.walk,
        )

    @property
    def num_folds(self) -> int | None:
        """How many folds a walk-forward evaluation has; None where there is one split."""
        if self.walk is None:
            return None
        first = warmup_rows(self.features, self.forecast)
        return self.walk.count(first, len(self.tables[0]), self.horizon)

    @property
    def columns(self) -> tuple[str, ...]:
        """The prices that have to be there."""
        return BAR_COLUMNS if self.features == "bars" else ("close", *self.forecast.columns)

    @property
    def benign_causes(self) -> tuple[str, ...]:
        """What is no fault of a model of prices: that there is little in them to be learnt."""
        return ("not_learning",)

    @property
    def rare_feature_names(self) -> tuple[str, ...]:
        """Features that are 0 but for rare events: candlestick patterns, absent for years."""
        named = zip(self.feature_names, self.feature_units, strict=True)
        return tuple(name for name, unit in named if unit == PATTERN_UNIT)

    @property
    def _feature_changes(self) -> Changes | None:
        return self.changes if self.changes is not None and self.changes.changes_features else None

    def truth(self) -> dict[str, Any] | None:
        """Return what is known of the data beyond the prices; None for prices of a market."""
        return None

    @property
    def series(self) -> tuple[str, ...]:
        """The tickers of several series; empty where there is one."""
        return tuple(str(t.ticker) for t in self.tables) if len(self.tables) > 1 else ()

    @property
    def data_name(self) -> str:
        """The file or source of one series; how many there are, and the first of several."""
        if not self.series:
            return self.tables[0].name
        shown = ", ".join(self.series[:4]) + (", ..." if len(self.series) > 4 else "")
        return f"{len(self.series)} series ({shown})"

    @property
    def frequency(self) -> str:
        """The usual distance between bars, the same in all series."""
        return self.tables[0].frequency

    def series_of(self, rows: np.ndarray) -> np.ndarray:
        """Return which series raw rows (N,), counted through all series, are of (N,)."""
        ends = np.cumsum([len(table) for table in self.tables])
        return np.searchsorted(ends, rows, side="right")

    def to_price(self, preds: Tensor, last_price: Tensor, series: Tensor | None = None) -> Tensor:
        """Turn scaled predictions (B, K) and last prices (B, 1) into what is forecast (B, K)."""
        return self.target_scaling.to_price(preds, last_price, series)

    def windows(self, split: str) -> int:
        """Return the number of windows of `train`, `val` or `test`."""
        return len(self.datasets[split])

    def describe(self) -> dict[str, Any]:
        """Return what a run says of its data: rows, sizes, and dates and windows of each split."""
        said = [w for table in self.tables for w in self._warnings_of(table)]
        several = {"series": [self._describe_series(n) for n, _ in enumerate(self.series)]}
        return {
            "data": self.data_name,
            "rows": len(self.dates),
            "frequency": self.frequency,
            "columns": {role: list(column) for role, column in self.tables[0].used.items()},
            "warnings": [*said, *self.notes],
            "warmup_rows": self._warmup_rows,
            "context_length": self.context_length,
            "num_features": self.num_features,
            **{
                name: {**self._ends_of(name), "windows": self.windows(name)}
                for name in self.datasets
            },
            **(several if self.series else {}),
        }

    @property
    def _warmup_rows(self) -> int:
        if self.walk is None:
            return self.rows[0]["train"].start
        return warmup_rows(self.features, self.forecast)

    def _warnings_of(self, table: PriceTable) -> list[str]:
        whose = f"{table.ticker}: " if self.series else ""
        return [f"{whose}{w.kind}: {w.text}" for w in table.warnings]

    def _describe_series(self, number: int) -> dict[str, Any]:
        table, dataset = self.tables[number], self.datasets
        first, last = (say_date(table.dates[n], table.frequency) for n in (0, -1))
        return {
            "ticker": table.ticker,
            "file": table.name,
            "rows": len(table),
            "first": first,
            "last": last,
            "column": table.used.get("close", ("",))[0],
            "windows": {name: int((part.series == number).sum()) for name, part in dataset.items()},
        }

    def _ends_of(self, split: str) -> dict[str, str]:
        """Return the first and last date of a split in any of the series."""
        parts = [(t.dates, rows[split]) for t, rows in zip(self.tables, self.rows, strict=True)]
        first = min(dates[rows.start] for dates, rows in parts if rows)
        last = max(dates[rows.stop - 1] for dates, rows in parts if rows)
        return {
            "first": say_date(first, self.frequency),
            "last": say_date(last, self.frequency),
        }

    def train_dataloader(self) -> DataLoader[WindowBatch]:
        """Return the shuffled training batches."""
        windows, device = self.datasets["train"], self._gathers_on()
        if device is not None:
            windows = windows.to(device)
        return self._loader(windows, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[WindowBatch]:
        """Return the validation batches in time order."""
        return self._loader(self.datasets["val"], EVAL_BATCH_SIZE, shuffle=False)

    def test_dataloader(self) -> DataLoader[WindowBatch]:
        """Return the test batches in time order."""
        return self._loader(self.datasets["test"], EVAL_BATCH_SIZE, shuffle=False)

    def _loader(
        self, dataset: WindowDataset, batch_size: int, shuffle: bool
    ) -> DataLoader[WindowBatch]:
        rank, world_size = 0, 1
        # Evaluation is not shared out: each process scores all windows, so no score is an
        # average of unequal shares, and every forecast is there to be written.
        if self.trainer is not None and shuffle:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
        sampler = KeyedBatchSampler(
            len(dataset), batch_size, self.seed, shuffle, rank=rank, world_size=world_size
        )
        if shuffle:
            sampler.start_at(*self.start)
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def _gathers_on(self) -> torch.device | None:
        """Return the GPU that trains, if it can hold the rows: a batch then waits for no copy."""
        device = None if self.trainer is None else self.trainer.strategy.root_device
        if device is None or device.type != "cuda" or self.num_workers or self._feature_changes:
            return None
        rows_bytes = self.datasets["train"].rows.nbytes
        return device if rows_bytes < torch.cuda.mem_get_info(device)[0] / 8 else None


def _frozen(value: Any) -> Any:
    """Return a list of names as a tuple, which a cache can look up."""
    return tuple(map(str, value)) if isinstance(value, list | tuple) else value


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Return arrays one after the other; a single one itself."""
    arrays = list(parts)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise a ValueError unless a value is an int and not below the least one."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}, got {value!r}")
