"""Prices in, batches of windows out: the one object that the entry points ask about the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import lightning.pytorch as pl
from torch import Tensor
from torch.utils.data import DataLoader

from src.data.preparation import FEATURES, PreparedData
from src.data.reading.cache import load_and_prepare
from src.data.reading.checks import say_date
from src.data.reading.sources import SOURCES, PriceTable, ReadOptions
from src.data.sampler import KeyedBatchSampler
from src.data.scaling import INPUTS, SCALERS, TARGETS, persistence_of
from src.data.split import check_fractions
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
        path: A file to read instead of `source`.
        columns: Role to the name of its column in the file, where that is not found by itself.
        ticker: Which series of a file of several.
        decimal: Its decimal sign, `dot` or `comma`, where the file does not tell.
        day_first: Whether 1/2/2020 is in February, where the file does not tell.
        accept: Kinds of warning, such as `split`, at which training does not stop.
        context_length: T, the bars that a window shows.
        target: `log_return`, `residual` (price minus last price) or `price` of the following bar.
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
        start: Epoch and batch, from 0, at which a training begins that goes on from a checkpoint.
    """

    def __init__(
        self,
        features: str = "prices",
        source: str = "sp500",
        path: str | None = None,
        columns: Mapping[str, str | int | None] | None = None,
        ticker: str | None = None,
        decimal: str | None = None,
        day_first: bool | None = None,
        accept: Sequence[str] | None = None,
        context_length: int = 60,
        target: str = "log_return",
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
        _check_choice("target", target, TARGETS)
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
        if changes is not None and changes.changes_features and features == "prices":
            raise ValueError("a schedule changes blocks of features: choose data=bars or scenario")
        if changes is not None and num_workers:
            raise ValueError(f"num_workers must be 0 with a schedule, got {num_workers}")
        self.features, self.source, self.path = features, source, path
        self.reading = ReadOptions(
            columns=columns or {},
            decimal=decimal,
            day_first=day_first,
            ticker=None if ticker is None else str(ticker),
            signed=target != "log_return" and input == "price" and features == "prices",
        )
        self.accept = tuple(accept or ())
        self.context_length, self.target, self.input = context_length, target, input
        self.scaler, self.split = scaler, check_fractions(split)
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.changes = changes
        self.start = (0, 0)
        self._is_set_up = False

    def setup(self, stage: str | None = None) -> None:
        """Load, check and prepare everything, once; no trainer is needed.

        Args:
            stage: Not looked at: all splits come from one table, in a fraction of a second.
        """
        if self._is_set_up:
            return
        table, data = self._load()
        num_train = len(data.datasets["train"])
        if self.batch_size > num_train:
            raise ValueError(
                f"batch_size must be at most {num_train} training windows, got {self.batch_size}"
            )
        self.data_name, self.dates, self.closes = table.name, table.dates, table.close
        self.table = table
        self.rows = data.rows
        self.datasets = data.datasets
        self.num_features = len(data.features.names)
        self.feature_names, self.feature_units = data.features.names, data.features.units
        self.feature_groups = data.features.groups
        # Copies: a model takes them over, and loading a checkpoint writes into a model's tensors.
        self.feature_mean, self.feature_std = data.mean.clone(), data.std.clone()
        self.input_scaling, self.target_scaling = data.input_scaling, data.target_scaling
        self.persistence = persistence_of(data.target_scaling)
        if changes := self._feature_changes:
            # Statistics are those after the last event: what a trained model was left with.
            changes.prepare(self.datasets["train"].windows[:, -1], self.feature_groups)
            self.datasets = {n: d.with_transform(changes) for n, d in self.datasets.items()}
            self.feature_mean, self.feature_std = changes.statistics(
                self.feature_mean, self.feature_std
            )
        self._is_set_up = True

    def _load(self) -> tuple[PriceTable, PreparedData]:
        """Return the prices and what becomes of them; shared, nothing may change it."""
        return load_and_prepare(
            self.source,
            self.path,
            self.reading,
            accept=self.accept,
            features=self.features,
            context_length=self.context_length,
            target=self.target,
            input=self.input,
            scaler=self.scaler,
            split=self.split,
        )

    @property
    def _feature_changes(self) -> Changes | None:
        return self.changes if self.changes is not None and self.changes.changes_features else None

    def truth(self) -> dict[str, Any] | None:
        """Return what is known of the data beyond the prices; None for prices of a market."""
        return None

    def to_price(self, preds: Tensor, last_price: Tensor) -> Tensor:
        """Turn scaled predictions and last prices, (B, 1) each, into predicted prices (B, 1)."""
        return self.target_scaling.to_price(preds, last_price)

    def windows(self, split: str) -> int:
        """Return the number of windows of `train`, `val` or `test`."""
        return len(self.datasets[split])

    def describe(self) -> dict[str, Any]:
        """Return what a run says of its data: rows, sizes, and dates and windows of each split."""
        first_used = self.rows["train"].start
        return {
            "data": self.data_name,
            "rows": len(self.dates),
            "frequency": self.table.frequency,
            "columns": {role: list(column) for role, column in self.table.used.items()},
            "warnings": [f"{w.kind}: {w.text}" for w in self.table.warnings],
            "warmup_rows": first_used,
            "context_length": self.context_length,
            "num_features": self.num_features,
            **{
                name: {
                    "first": say_date(self.dates[rows.start], self.table.frequency),
                    "last": say_date(self.dates[rows.stop - 1], self.table.frequency),
                    "windows": self.windows(name),
                }
                for name, rows in self.rows.items()
            },
        }

    def train_dataloader(self) -> DataLoader[WindowBatch]:
        """Return the shuffled training batches."""
        return self._loader(self.datasets["train"], self.batch_size, shuffle=True)

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


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise a ValueError unless a value is an int and not below the least one."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}, got {value!r}")
