"""Synthetic trading bars with known truth: which features carry the next return, and how much.

Three blocks of 43 features, as real bars have them:

- `market`: white noise within [-2, 2];
- `indicator`: autoregressive with coefficient 0.9, of size 1; five are always 0, as the rarest
  candlestick patterns of real bars are;
- `position`: autoregressive likewise.

The next return is 0.01 times the sum of a market signal, an indicator signal and noise, whose
variances are 0.5, 0.3 and 0.2. A signal adds four features of its block, themselves white, over the
last three bars, the latest weighing most. Nothing before them and no other feature helps, so a
perfect model is left with a mean squared error of 0.2 (scaled target), and of 0.5 once the
indicators are dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.signal import lfilter

from src.data.features.bars import FeatureTable
from src.data.reading.sources import PriceTable

BLOCKS = ("market", "indicator", "position")
BLOCK_SIZE = 43
SIGNAL_SHARES = {"market": 0.5, "indicator": 0.3}
NOISE_SHARE = 0.2
SIGNAL_FEATURES = (10, 20, 30, 40)
"""Places of the features with signal in their block."""
NEVER_ALIVE = 5
"""Indicators that are always 0, the first of their block."""
LAG_WEIGHTS = (3.0, 2.0, 1.0)
"""Of the latest bar, the one before and the one before that."""
PERSISTENCE = 0.9
DAILY_MOVE = 0.01


@dataclass(frozen=True)
class Scenario:
    """Bars, their features, and what is true of them.

    Args:
        table: Closes of N rows.
        features: The 129 features of the same rows.
        signal_shares: Share of the return's variance that each feature with signal carries, by
            column.
        noise_share: Share that no model can predict.
    """

    table: PriceTable
    features: FeatureTable
    signal_shares: dict[int, float]
    noise_share: float


@lru_cache(maxsize=4)
def make_scenario(rows: int, world_seed: int) -> Scenario:
    """Return the bars of one world, the same for the same arguments on every machine.

    Args:
        rows: N.
        world_seed: Any int from 0.

    Returns:
        The scenario; it is shared between callers, nothing may change it.
    """
    random = np.random.default_rng(world_seed)
    values = np.concatenate([_block(name, rows, random) for name in BLOCKS], axis=1)
    signal = np.zeros(rows)
    shares: dict[int, float] = {}
    for name, share in SIGNAL_SHARES.items():
        columns = [BLOCKS.index(name) * BLOCK_SIZE + place for place in SIGNAL_FEATURES]
        part = _recent_sum(values[:, columns].sum(1))
        signal += np.sqrt(share) * part / part.std()
        shares |= dict.fromkeys(columns, share / len(columns))
    moves = signal + np.sqrt(NOISE_SHARE) * random.standard_normal(rows)
    # What a bar's features say is the return of the following bar.
    returns = DAILY_MOVE * np.concatenate([[0.0], moves[:-1]])
    close = 100.0 * np.exp(np.cumsum(returns - returns.mean()))
    start = np.datetime64("1970-01-01", "s")
    table = PriceTable(
        name=f"scenario, world {world_seed}",
        dates=start + np.arange(rows) * np.timedelta64(1, "D"),
        columns={"close": close},
        last_line=rows,
        frequency="daily",
    )
    return Scenario(table, _features(values), shares, NOISE_SHARE)


def _block(name: str, rows: int, random: np.random.Generator) -> np.ndarray:
    """Return the features of one block (N, 43)."""
    white = random.standard_normal((rows, BLOCK_SIZE))
    if name == "market":
        return np.clip(white, -2.0, 2.0)
    smooth = lfilter([np.sqrt(1 - PERSISTENCE**2)], [1.0, -PERSISTENCE], white, axis=0)
    if name == "indicator":
        smooth[:, SIGNAL_FEATURES] = white[:, SIGNAL_FEATURES]
        smooth[:, :NEVER_ALIVE] = 0.0
    return smooth


def _recent_sum(x: np.ndarray) -> np.ndarray:
    """Return the weighted sum of a series over its latest three values (N,)."""
    return lfilter(LAG_WEIGHTS, [1.0], x)


def _features(values: np.ndarray) -> FeatureTable:
    names = tuple(f"{block}_{place}" for block in BLOCKS for place in range(BLOCK_SIZE))
    groups = {block: slice(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE) for i, block in enumerate(BLOCKS)}
    return FeatureTable(values.astype(np.float32), names, ("1",) * len(names), groups)
