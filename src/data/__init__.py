"""Prices in, windows out: sources, checks, features, chronological split, scaling, data module."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from src.data.datamodule import PriceDataModule
    from src.data.memory_task import MemoryTaskDataModule
    from src.data.reading.errors import DataError
    from src.data.reading.sources import PriceTable, load_prices
    from src.data.sampler import KeyedBatchSampler
    from src.data.scaling import InputScaling, encode_closes
    from src.data.scenario_datamodule import ScenarioDataModule
    from src.data.targets import Persistence, TargetScaling
    from src.data.windows import WindowBatch, WindowDataset

# Imported when asked for: reading a file needs neither torch nor Lightning.
_HOME = {
    "DataError": "reading.errors",
    "InputScaling": "scaling",
    "KeyedBatchSampler": "sampler",
    "Persistence": "scaling",
    "MemoryTaskDataModule": "memory_task",
    "PriceDataModule": "datamodule",
    "PriceTable": "reading.sources",
    "ScenarioDataModule": "scenario_datamodule",
    "TargetScaling": "scaling",
    "WindowBatch": "windows",
    "WindowDataset": "windows",
    "encode_closes": "scaling",
    "load_prices": "reading.sources",
}
__all__ = [
    "DataError",
    "InputScaling",
    "KeyedBatchSampler",
    "MemoryTaskDataModule",
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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
