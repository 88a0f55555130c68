"""Prices in, windows out: sources, checks, features, chronological split, scaling, data module."""

from src.data.datamodule import PriceDataModule
from src.data.reading.errors import DataError
from src.data.reading.sources import PriceTable, load_prices
from src.data.sampler import KeyedBatchSampler
from src.data.scaling import InputScaling, Persistence, TargetScaling, encode_closes
from src.data.scenario_datamodule import ScenarioDataModule
from src.data.windows import WindowBatch, WindowDataset

__all__ = [
    "DataError",
    "InputScaling",
    "KeyedBatchSampler",
    "Persistence",
    "PriceDataModule",
    "PriceTable",
    "ScenarioDataModule",
    "TargetScaling",
    "WindowBatch",
    "WindowDataset",
    "encode_closes",
    "load_prices",
]
