"""Prices from Yahoo through yfinance, kept as a file: what a run was trained on does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from src.data.reading.sources import read_file
from src.files import write_text

_EXTRA = "python -m src.data download needs yfinance: pip install '.[download]'"


def download(
    ticker: str, start: str | None = None, interval: str = "1d", to: str | None = None
) -> Path:
    """Download the bars of one ticker and write them as Yahoo's own files are.

    Args:
        ticker: As Yahoo names it, `PETR4.SA`.
        start: The first day, `2010-01-01`; None for all there is.
        interval: `1d`, `1h`, `1m`, ... as yfinance names them.
        to: The file to write; None for the ticker's name in this folder.

    Returns:
        The file written.

    Raises:
        ValueError: If yfinance is not there, or Yahoo has no such prices.
    """
    try:
        import yfinance
    except ImportError:
        raise ValueError(_EXTRA) from None
    span: dict[str, Any] = {"period": "max"} if start is None else {"start": start}
    frame = yfinance.download(
        ticker,
        interval=interval,
        auto_adjust=False,
        progress=False,
        multi_level_index=False,
        **span,
    )
    if frame is None or not len(frame):
        raise ValueError(f"Yahoo has no prices for {ticker!r} at interval {interval!r}")
    path = Path(to or f"{ticker}.csv").expanduser()
    write_text(path, frame.to_csv())
    read_file(path)
    return path
