"""Says what strategies earned on past days, and promises nothing."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from src.reporting.money import COSTS_BP, Earned, SharpeDifference
from src.reporting.standing import ALPHA
from src.reporting.text import listed

MORE_THAN_LUCK = 0.95
"""The usual mark of a deflated Sharpe ratio."""


class Strategy(NamedTuple):
    """A model's strategy, as the words need it.

    Attributes:
        name: Of the model and the strategy.
        at_cost: What is left at each of `COSTS_BP`.
        deflated: Probability that its Sharpe ratio without costs is more than luck.
        beyond: Its Sharpe ratio less that of buy-and-hold, without costs.
    """

    name: str
    at_cost: tuple[Earned, ...]
    deflated: float
    beyond: SharpeDifference


def money_words(strategies: Sequence[Strategy], holding: Earned) -> str:
    """Say what the strategies earned beside buy-and-hold, and promise nothing.

    Args:
        strategies: All that were tried.
        holding: Buy-and-hold.

    Raises:
        ValueError: If there is none.
    """
    known = [one for one in strategies if math.isfinite(one.at_cost[0].sharpe)]
    if not known:
        raise ValueError("no strategy has returns that vary: there is nothing to say")
    best = max(known, key=lambda one: one.at_cost[0].sharpe)
    free, costly = best.at_cost[0], best.at_cost[-1]
    words = [
        f"Of {len(known)} strategies the best one without costs was "
        f"{best.name}, with a Sharpe ratio of {_with_error(free)} beside {_with_error(holding)} of "
        "buying and holding."
    ]
    deflated = f"deflated: {best.deflated:.2f}"
    if best.deflated >= MORE_THAN_LUCK:
        words.append(f"That is more than the luck of the best of so many tries ({deflated}).")
    else:
        words.append(
            f"The best of so many tries may reach that by luck alone ({deflated}, "
            f"{MORE_THAN_LUCK} is the usual mark)."
        )
    words.append(_beside_holding(known))
    even = (
        ""
        if math.isnan(free.break_even_bp)
        else f"It breaks even at {free.break_even_bp:.1f}, and "
    )
    words.append(
        f"{even}at {COSTS_BP[-1]:.0f} basis points a trade its Sharpe ratio is {costly.sharpe:.2f}"
        + ("; nothing is left." if costly.mean <= 0 else ".")
    )
    words.append("This is what happened on these days, not what will; it is no advice.")
    return " ".join(words)


def _beside_holding(strategies: Sequence[Strategy]) -> str:
    """Say whether one is told from buy-and-hold, all of them tested at once (Bonferroni)."""
    level = ALPHA / len(strategies)
    above = [s for s in strategies if s.beyond.difference > 0 and s.beyond.p_value < level]
    if above:
        who = listed([one.name for one in above])
        return f"Told from buying and holding, and above it: {who}."
    return "None can be told from buying and holding as the better one."


def _with_error(earned: Earned) -> str:
    return f"{earned.sharpe:.2f} (standard error {earned.sharpe_se:.2f})"
