"""Print docs/features.md: python -m src.data.features > docs/features.md."""

from __future__ import annotations

import sys

import numpy as np

from src.data.features.bars import NUM_FEATURES, WARMUP_ROWS, features_of
from src.data.reading.sources import BAR_COLUMNS, PriceTable, load_prices

_INTRODUCTION = f"""\
# The {NUM_FEATURES} features of a bar

Made by `python -m src.data.features > docs/features.md` from the code that computes them; a test
compares.

Every feature of a bar is computed from that bar and earlier ones, so it is known when the bar
closes: a test cuts the series after a bar, and multiplies all later prices, and no feature up to it
changes in any bit. *From bar* is the first bar, counted from 1, on which a feature has a value: how
far it looks back, where it is not recursive. The first {WARMUP_ROWS} bars are left out, for the
feature that looks back furthest. *Sigma* is the standard deviation of the last 60 log returns; ATR
is the average true range of 14 bars in the indicators, of 20 in the positions.
"""
_GROUPS = {
    "market": "What open, high, low, close and volume say, free of their level. Within [-2, 2].",
    "indicator": "Indicators and candlestick patterns as TA-Lib has them. Within [-10, 10].",
    "position": (
        "A rule-based book of three slots, run over the prices bar by bar: `trend` buys the\n"
        "highest close of 50 bars, `dip` buys 2 standard deviations below the mean of 20 bars,\n"
        "`hedge` sells short after a loss of 20 per cent in 20 bars; `src/data/features/book.py`\n"
        "says when each is closed. All features of a slot are 0 while it is flat."
    ),
}


_EXTRA = """\
## Extra

`data.extra=[rsi,sentiment]` adds columns of your own file, as `extra_rsi` and `extra_sentiment`, to
`features=bars` and to the closes of `features=prices`. The value of a bar is that of its own row,
less the mean of the training rows, over their standard deviation. A missing value is the last one
before it, which is said with the number of bars and the first date; bars before the first value are
left out. No value is taken from a later row. Whether a value was known when its bar closed, only
its maker can tell: a sentiment of the evening's news was not.
"""


def page(table: PriceTable) -> str:
    """Return the page that lists all features.

    Args:
        table: Bars to find out on which one each feature begins.
    """
    parts = [_INTRODUCTION]
    last = ""
    for group, feature in features_of(table):
        if group != last:
            head = f"## {group.capitalize()}\n\n{_GROUPS[group]}\n\n"
            parts.append(head + "| feature | unit | definition | from bar |\n|---|---|---|---|")
            last = group
        first = int(np.argmax(np.isfinite(feature.values))) + 1
        meaning = feature.meaning.replace("|", "\\|")
        parts[-1] += f"\n| `{group}_{feature.name}` | {feature.unit} | {meaning} | {first} |"
    return "\n\n".join(part.strip() for part in [*parts, _EXTRA]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(load_prices("sp500", columns=BAR_COLUMNS)))
