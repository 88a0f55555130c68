"""How a group stands to the first one, seed noise considered."""

import math
from typing import Literal

from src.reporting.groups import Group, Option
from src.reporting.losses import METRICS
from src.reporting.statistics import LEVEL

ALPHA = 1 - LEVEL
Standing = Literal["worse", "better", "same", "unknown"]


def standing(compared: Group | Option, metric: str) -> Standing:
    """Say how a group stands to the best one on the metric, seed noise considered.

    A difference counts as real if its p-value, adjusted for the number of comparisons (Holm), is
    below 5%.
    """
    if compared.metric_difference is None or math.isnan(compared.holm_p):
        return "unknown"
    if compared.holm_p >= ALPHA:
        return "same"
    higher = compared.metric_difference.mean > 0
    return "better" if higher == METRICS[metric].higher_is_better else "worse"
