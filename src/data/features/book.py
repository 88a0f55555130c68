"""The 43 position features: a deterministic rule-based book, run over the prices bar by bar.

The book has three slots, each flat or holding one position. Decisions are taken at a bar's close,
from rows up to it, and filled at that close:

- `trend`, often open: buys when the close is the highest of 50 bars; sells when it has fallen 3 ATR
  below its best close.
- `dip`, sometimes open: buys 2 standard deviations below the mean of 20 bars while above the mean
  of 100; sells above the mean of 10, after 10 bars, or 3 ATR below the entry.
- `hedge`, rarely open: sells short when 20 per cent were lost in 20 bars; covers when the close has
  risen 3 ATR above its lowest, or after 20 bars.

A position risks 10,000 dollars down to its first stop; ATR is the average true range of 20 bars,
at the entry. The features are left as a book keeps them: exactly 0 while the slot is flat, up to
hundreds of thousands of dollars while it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from src.data.features.feature import Feature
from src.data.reading.sources import PriceTable

RISK_DOLLARS = 10_000.0

# Unit and meaning of what a slot tells of its position, 0 while it is flat.
SLOT_FIELDS = {
    "notional": ("dollars", "quantity x close"),
    "quantity": ("units", "units held, negative where sold short: 10,000 dollars / 3 ATR at entry"),
    "entry_price": ("price", "close at which it was opened"),
    "entry_notional": ("dollars", "quantity x entry price"),
    "unrealised_profit": ("dollars", "quantity x (close - entry price)"),
    "unrealised_return": ("basis points", "unrealised profit / |entry notional|"),
    "day_profit": ("dollars", "quantity x (close - previous close), 0 on the bar of entry"),
    "peak_profit": ("dollars", "highest unrealised profit so far, at least 0"),
    "drawdown": ("dollars", "peak profit less unrealised profit"),
    "worst_loss": ("dollars", "lowest unrealised profit so far, at most 0"),
    "age": ("bars", "bars since it was opened, 1 on that bar"),
    "best_price": ("price", "best close since it was opened"),
    "stop_price": ("price", "close at which it is closed"),
    "stop_distance": ("price", "|close - stop price|"),
}


@dataclass(frozen=True)
class Slot:
    """The rule of one slot, its signals already computed for every bar.

    Args:
        side: 1 for long, -1 for short.
        opens: Whether a flat slot opens (N,).
        closes: Whether an open slot closes, its stop and age apart (N,).
        trailing: Whether the stop follows the best close.
        max_age: Bars after which the position is closed; None holds it.
    """

    side: int
    opens: np.ndarray
    closes: np.ndarray
    trailing: bool
    max_age: int | None = None


def position_features(table: PriceTable) -> Iterator[Feature]:
    """Run the book over all rows.

    Args:
        table: N bars with high, low and close.

    Yields:
        Fourteen features for each slot and the gross exposure of the account.
    """
    high, low, close = (table.columns[name] for name in ("high", "low", "close"))
    stop_width = 3 * np.maximum(talib.ATR(high, low, close, 20), 1e-3 * close)
    gross = np.zeros(len(close))
    for name, slot in build_slots(close).items():
        for field, values in run_slot(slot, close, stop_width):
            unit, meaning = SLOT_FIELDS[field]
            yield Feature(f"{name}_{field}", unit, f"{name}: {meaning}", values)
            gross += np.abs(values) if field == "notional" else 0.0
    yield Feature("account_gross_exposure", "dollars", "sum of the slots' |notional|", gross)


def build_slots(close: np.ndarray) -> dict[str, Slot]:
    """Compute the signals of the three slots from closes (N,); NaN compares as no signal."""
    mean_20, deviation = talib.SMA(close, 20), talib.STDDEV(close, 20)
    oversold = (close < mean_20 - 2 * deviation) & (close > talib.SMA(close, 100))
    never = np.zeros(len(close), dtype=bool)
    return {
        "trend": Slot(1, close >= talib.MAX(close, 50), never, trailing=True),
        "dip": Slot(1, oversold, close > talib.SMA(close, 10), trailing=False, max_age=10),
        "hedge": Slot(-1, talib.ROC(close, 20) < -20, never, trailing=True, max_age=20),
    }


def run_slot(
    slot: Slot, close: np.ndarray, stop_width: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Run one slot bar by bar.

    Args:
        slot: Its rule and signals.
        close: Closes (N,), price units.
        stop_width: Distance of the first stop for an entry at each bar (N,), price units; bars
            where it is NaN are not entered.

    Yields:
        Name and values (N,) after each bar's decision, in the order of `SLOT_FIELDS`.
    """
    entries, lengths = _positions(slot, close, stop_width)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    age = np.arange(len(starts)) - starts + 1
    row = np.repeat(entries, lengths) + age - 1
    price = close[row]

    def held(values: np.ndarray) -> np.ndarray:
        # What a position is opened with, on each of its rows: made when asked for, as of a million
        # bars each such column is eight megabytes.
        return np.repeat(values, lengths)

    def placed(values: np.ndarray) -> np.ndarray:
        column = np.zeros(len(close))
        column[row] = values
        return column

    def running(values: np.ndarray, extreme: str) -> np.ndarray:
        groups = pd.Series(values).groupby(starts, sort=False)
        return getattr(groups, f"cum{extreme}")().to_numpy()

    entry, width = close[entries], stop_width[entries]
    quantity = slot.side * RISK_DOLLARS / width
    entry_notional = quantity * entry
    yield "notional", placed(held(quantity) * price)
    yield "quantity", placed(held(quantity))
    yield "entry_price", placed(held(entry))
    yield "entry_notional", placed(held(entry_notional))
    profit = held(quantity) * (price - held(entry))
    yield "unrealised_profit", placed(profit)
    yield "unrealised_return", placed(1e4 * profit / np.abs(held(entry_notional)))
    before = np.where(age > 1, close[row - 1], price)
    yield "day_profit", placed(held(quantity) * (price - before))
    del before
    peak = running(profit, "max")
    yield "peak_profit", placed(peak)
    yield "drawdown", placed(peak - profit)
    del peak
    yield "worst_loss", placed(running(profit, "min"))
    del profit
    yield "age", placed(age.astype(np.float64))
    best = running(price, "max" if slot.side > 0 else "min")
    yield "best_price", placed(best)
    stop = (best if slot.trailing else held(entry)) - slot.side * held(width)
    yield "stop_price", placed(stop)
    yield "stop_distance", placed(np.abs(price - stop))


def _positions(
    slot: Slot, close: np.ndarray, stop_width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row on which each position is opened, and how many rows it is held."""
    enterable = np.flatnonzero(slot.opens & np.isfinite(stop_width))
    # Views answer with Python's numbers, a row at a time: lists would hold a million of them.
    prices, closes = np.ascontiguousarray(close).data, slot.closes.data
    entries: list[int] = []
    lengths: list[int] = []
    row = 0
    while (place := int(np.searchsorted(enterable, row))) < len(enterable):
        entry = int(enterable[place])
        row = _end(slot, prices, closes, entry, float(stop_width[entry]))
        entries.append(entry)
        lengths.append(row - entry)
        # The slot is flat for the rest of the bar on which it closes.
        row += 1
    return np.array(entries, dtype=np.int64), np.array(lengths, dtype=np.int64)


def _end(slot: Slot, prices: memoryview, closes: memoryview, entry: int, width: float) -> int:
    """Return the row on which a position is closed, or the number of rows."""
    side, best = slot.side, prices[entry]
    stop = best - side * width
    last = len(prices) if slot.max_age is None else min(len(prices), entry + slot.max_age)
    for row in range(entry + 1, last):
        price = prices[row]
        if closes[row] or side * (price - stop) <= 0:
            return row
        if side * (price - best) > 0:
            best = price
            if slot.trailing:
                stop = price - side * width
    return last
