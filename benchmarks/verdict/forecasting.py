"""Fits a model before each block of days and forecasts the block: what it had not seen.

Each fit sees a file of prices that ends with its block. Of that file the training part comes first,
then the validation part; between parts lies the length of a window, so that nothing is shared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from benchmarks.verdict.plan import VALIDATION
from src.data.preparation import warmup_rows
from src.data.reading.sources import BAR_COLUMNS, PriceTable, load_prices
from src.runs.build import build, build_callbacks, build_datamodule, build_module
from src.runs.fitting import fit_model

_LOAD_WEIGHTS_ONLY = False


@dataclass(frozen=True)
class Forecast:
    """What one fit forecasts.

    Args:
        date: Of the first bar that is forecast (n,).
        last_price: Close before it (n,).
        actual: What came (n,): a log return, 1 or 0, a variance.
        naive: Without a model (n,), in the same unit.
        predicted: By the model (n,).
        chosen: What validation chose, of a model that is fitted.
    """

    date: NDArray
    last_price: NDArray
    actual: NDArray
    naive: NDArray
    predicted: NDArray
    chosen: dict[str, Any]


def prices_of(series: str) -> PriceTable:
    """Return the bars of a built-in series."""
    return load_prices(series, columns=BAR_COLUMNS)


def forecast_block(config: DictConfig, prices: PriceTable, block: range) -> Forecast:
    """Fit or train a model on what came before a block, and forecast it.

    Args:
        config: A composed conf/train.yaml.
        prices: Of the series, whole.
        block: Rows to be forecast.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = config.copy()
        own.data.path = str(_write(prices, block.stop, Path(folder) / "prices.csv"))
        own.data.split = _shares(own, block)
        own.data.accept = ["split", "jump"]
        pl.seed_everything(own.seed, verbose=False)
        datamodule = build_datamodule(own)
        module = build_module(own, datamodule)
        fitted = fit_model(module, datamodule)
        if fitted is None:
            _train(own, module, datamodule, Path(folder))
    return _forecast(module, datamodule, (fitted or {}).get("chosen", {}))


def _write(prices: PriceTable, stop: int, file: Path) -> Path:
    columns = {name: prices.columns[name][:stop] for name in BAR_COLUMNS}
    frame = pd.DataFrame({"date": prices.dates[:stop].astype("datetime64[D]"), **columns})
    frame.to_csv(file, index=False)
    return file


def _shares(config: DictConfig, block: range) -> list[float]:
    """Return the shares of the parts: the test part shows one window before the block."""
    target = build(config.data).forecast
    first, last = warmup_rows(config.data.features, target), block.stop
    test = block.start - config.data.context_length
    val = test - round(VALIDATION * (test - first))
    edges = np.array([first, val, test, last])
    train, chosen_on, _ = (np.diff(edges) / (last - first)).tolist()
    return [train, chosen_on, 1 - train - chosen_on]


def _train(config: DictConfig, module: pl.LightningModule, datamodule: Any, folder: Path) -> None:
    """Train until validation gets no better, and take the best weights back."""
    callbacks = build_callbacks(config, module, datamodule, folder)
    trainer = build(
        config.trainer,
        callbacks=callbacks,
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
    )
    trainer.fit(module, datamodule=datamodule)
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    module.load_state_dict(best["state_dict"])


@torch.no_grad()
def _forecast(module: Any, datamodule: Any, chosen: dict[str, Any]) -> Forecast:
    """Return the forecasts of the test part; of several steps those of the last."""
    module.eval()
    dataset = datamodule.datasets["test"]
    batch = dataset[torch.arange(len(dataset))]
    reference = batch.reference.double()
    parts = [module(x).double() for x in batch.x.split(512)]
    predicted = datamodule.to_price(torch.cat(parts), reference, batch.series)
    rows = batch.index.numpy()
    last_price = datamodule.closes[rows - 1]
    numbers = (batch.actual[:, -1:].double(), reference, predicted[:, -1:])
    actual, naive, own = (part[:, 0].numpy() for part in numbers)
    if datamodule.forecast.is_price:
        actual, naive, own = (np.log(part / last_price) for part in (actual, naive, own))
    elif not datamodule.forecast.is_volatility:
        train = datamodule.datasets["train"]
        naive = np.full(len(own), float(train[torch.arange(len(train))].actual.mean()))
    date = datamodule.dates[rows].astype("datetime64[D]").astype(str)
    return Forecast(date, last_price, actual, naive, own, chosen)


def joined(parts: Sequence[Forecast]) -> Forecast:
    """Return the forecasts of all blocks, one after the other."""
    names = ("date", "last_price", "actual", "naive", "predicted")
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Forecast(*arrays, chosen={})
