"""Whether a series of losses falls: a test for a trend, which knows no size that is enough."""

import math
from collections.abc import Sequence

import torch

LEVEL = -1.6449
"""5% quantile of the normal distribution."""


def trend(values: Sequence[float]) -> float:
    """Return the statistic of the Mann-Kendall test, corrected for ties.

    It counts later values above earlier ones less those below, over all pairs. For a series without
    a trend, whatever its distribution, it is about standard normal; batches that come again make it
    smaller.

    Args:
        values: (N,) numbers in the order of time.

    Returns:
        Below 0 where they fall; 0 where all are equal or one is no number. H. B. Mann,
        "Nonparametric tests against trend", Econometrica 13, 1945.

    >>> round(trend([4.0, 3.0, 2.0, 1.0]), 4), trend([1.0, 1.0, 1.0])
    (-1.6984, 0.0)
    """
    series = torch.as_tensor(values, dtype=torch.float64)
    if not bool(torch.isfinite(series).all()):
        return 0.0
    count = len(series)
    score = int(torch.sign(series[None, :] - series[:, None]).triu(1).sum())
    ties = torch.unique(series, return_counts=True)[1].tolist()
    variance = _spread(count) - sum(map(_spread, ties))
    if score == 0 or variance <= 0:
        return 0.0
    return (score - math.copysign(1, score)) / math.sqrt(variance / 18)


def _spread(count: int) -> int:
    return count * (count - 1) * (2 * count + 5)


def falls(values: Sequence[float]) -> bool:
    """Return whether values fall over time, at the 5% level.

    >>> falls([5.0, 4.5, 4.6, 3.9, 3.5, 3.7]), falls([5.0, 4.0, 5.0, 4.0, 5.0, 4.0])
    (True, False)
    """
    return trend(values) < LEVEL
