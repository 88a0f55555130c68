"""Small price tables and CSV files to build tests on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.data.reading.sources import BAR_COLUMNS, PriceTable, load_prices


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write text or bytes, exactly as given, to my.csv."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "my.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture(scope="session")
def sp500() -> PriceTable:
    """The built-in bars."""
    return load_prices("sp500", columns=BAR_COLUMNS)


@pytest.fixture(scope="session")
def make_table() -> Callable[[np.ndarray], PriceTable]:
    """Make a table of daily bars, each 1 per cent high, around the given closes."""

    def make(closes: np.ndarray) -> PriceTable:
        close = np.asarray(closes, dtype=np.float64)
        dates = np.arange(len(close)).astype("datetime64[D]").astype("datetime64[s]")
        columns = {
            "open": close.copy(),
            "high": close * 1.005,
            "low": close * 0.995,
            "close": close,
            "volume": np.full(len(close), 1e6),
        }
        return PriceTable("table", dates, columns, len(close))

    return make
