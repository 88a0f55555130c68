"""What the forecasts of returns would have earned, for each model and both strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.reporting.money import (
    COSTS_BP,
    Earned,
    deflated_sharpe,
    earned,
    held,
    net_returns,
    scaled_positions,
    sharpe_difference,
    sharpe_ratio,
    sign_positions,
)
from src.reporting.money_words import Strategy
from src.reporting.predictability.store import NAIVE, Kept

STRATEGIES = {"sign": sign_positions, "scaled": scaled_positions}


@dataclass(frozen=True)
class Earnings:
    """What was tried with the forecasts of one question about one series.

    Args:
        kept: The forecasts.
        holding: Buy-and-hold, bought once, without costs.
        strategies: Two of each model but the naive one, which never holds anything.
    """

    kept: Kept
    holding: Earned
    strategies: tuple[Strategy, ...]


def all_earnings(kept: Sequence[Kept]) -> list[Earnings]:
    """Return what the forecasts of all questions of returns would have earned.

    The best is picked from all of them: each Sharpe ratio is deflated by all that were tried.

    Args:
        kept: Of the bars that count.
    """
    asked = [one for one in kept if one.question.kind == "return"]
    positions = [_positions(one) for one in asked]
    ratios = [
        sharpe_ratio(net_returns(held_over, _market(one)))
        for one, own in zip(asked, positions, strict=True)
        for held_over in own.values()
    ]
    return [_earnings(one, own, ratios) for one, own in zip(asked, positions, strict=True)]


def _market(kept: Kept) -> NDArray:
    """Return the simple returns of the bars (n - 1,): the last one's is not known here."""
    return np.expm1(np.diff(np.log(kept.last_price)))


def _positions(kept: Kept) -> dict[str, NDArray]:
    """Return what each strategy holds over each bar (n - 1,); a forecast of h bars for h bars."""
    days = "1 day" if kept.question.horizon == 1 else f"{kept.question.horizon} days"
    return {
        f"{name}, {how}, {days}": held(positions_of(forecast), kept.question.horizon)[:-1]
        for name, forecast in kept.forecasts.items()
        if name != NAIVE
        for how, positions_of in STRATEGIES.items()
    }


def _earnings(kept: Kept, positions: Mapping[str, NDArray], ratios: Sequence[float]) -> Earnings:
    market = _market(kept)
    strategies = []
    for name, own in positions.items():
        gross = net_returns(own, market)
        at_cost = tuple(earned(own, market, cost) for cost in COSTS_BP)
        luck, beyond = deflated_sharpe(gross, ratios), sharpe_difference(gross, market)
        strategies.append(Strategy(name, at_cost, luck, beyond))
    return Earnings(kept, earned(np.ones_like(market), market), tuple(strategies))
