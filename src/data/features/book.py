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

from dataclasses import dataclass

import numpy as np
import talib

from src.data.features.market import Features
from src.data.reading.sources import PriceTable

RISK_DOLLARS = 10_000.0

SLOT_FIELDS = {
    "notional": "dollars",
    "quantity": "units",
    "entry_price": "price",
    "entry_notional": "dollars",
    "unrealised_profit": "dollars",
    "unrealised_return": "basis points",
    "day_profit": "dollars",
    "peak_profit": "dollars",
    "drawdown": "dollars",
    "worst_loss": "dollars",
    "age": "bars",
    "best_price": "price",
    "stop_price": "price",
    "stop_distance": "price",
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


@dataclass
class _Position:
    quantity: float
    entry_price: float
    stop_width: float
    stop_price: float
    best_price: float
    age: int = 1
    peak_profit: float = 0.0
    worst_loss: float = 0.0


def position_features(table: PriceTable) -> Features:
    """Run the book over all rows.

    Args:
        table: N bars with high, low and close.

    Returns:
        Name to (values (N,), unit): fourteen for each slot and the gross exposure of the account.
    """
    high, low, close = (table.columns[name] for name in ("high", "low", "close"))
    stop_width = 3 * np.maximum(talib.ATR(high, low, close, 20), 1e-3 * close)
    features: Features = {}
    gross = np.zeros(len(close))
    for name, slot in build_slots(close).items():
        states = run_slot(slot, close, stop_width)
        for column, (field, unit) in enumerate(SLOT_FIELDS.items()):
            features[f"{name}_{field}"] = (states[:, column], unit)
        gross += np.abs(features[f"{name}_notional"][0])
    return {**features, "account_gross_exposure": (gross, "dollars")}


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


def run_slot(slot: Slot, close: np.ndarray, stop_width: np.ndarray) -> np.ndarray:
    """Run one slot bar by bar.

    Args:
        slot: Its rule and signals.
        close: Closes (N,), price units.
        stop_width: Distance of the first stop for an entry at each bar (N,), price units; bars
            where it is NaN are not entered.

    Returns:
        States after each bar's decision (N, 14), in the order of `SLOT_FIELDS`.
    """
    states = np.zeros((len(close), len(SLOT_FIELDS)))
    enterable = slot.opens & np.isfinite(stop_width)
    position: _Position | None = None
    for row, price in enumerate(close.tolist()):
        if position is not None:
            position.age += 1
            if _is_over(position, slot, price, bool(slot.closes[row])):
                position = None
                continue
            _follow(position, slot, price)
        elif enterable[row]:
            width = float(stop_width[row])
            quantity = slot.side * RISK_DOLLARS / width
            position = _Position(quantity, price, width, price - slot.side * width, price)
        if position is not None:
            day_profit = position.quantity * (price - close[row - 1]) if position.age > 1 else 0.0
            states[row] = _state(position, price, float(day_profit))
    return states


def _is_over(position: _Position, slot: Slot, price: float, signal: bool) -> bool:
    stopped = slot.side * (price - position.stop_price) <= 0
    too_old = slot.max_age is not None and position.age > slot.max_age
    return signal or stopped or too_old


def _follow(position: _Position, slot: Slot, price: float) -> None:
    profit = position.quantity * (price - position.entry_price)
    position.peak_profit = max(position.peak_profit, profit)
    position.worst_loss = min(position.worst_loss, profit)
    if slot.side * (price - position.best_price) > 0:
        position.best_price = price
        if slot.trailing:
            position.stop_price = price - slot.side * position.stop_width


def _state(position: _Position, price: float, day_profit: float) -> tuple[float, ...]:
    profit = position.quantity * (price - position.entry_price)
    entry_notional = position.quantity * position.entry_price
    return (
        position.quantity * price,
        position.quantity,
        position.entry_price,
        entry_notional,
        profit,
        1e4 * profit / abs(entry_notional),
        day_profit,
        position.peak_profit,
        position.peak_profit - profit,
        position.worst_loss,
        float(position.age),
        position.best_price,
        position.stop_price,
        abs(price - position.stop_price),
    )
