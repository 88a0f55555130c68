"""How a group stands to the first one, at and around the level."""

import math
from types import SimpleNamespace

import pytest

from src.reporting.standing import ALPHA, standing
from src.reporting.statistics import Estimate


def apart(mean, p):
    return SimpleNamespace(metric_difference=Estimate(mean, 0.1, 0.0, 1.0, 3, p), holm_p=p)


@pytest.mark.parametrize(
    ("mean", "p", "metric", "how"),
    [
        (0.5, ALPHA, "test/rmse", "same"),
        (0.5, 0.049, "test/rmse", "worse"),
        (-0.5, 0.049, "test/rmse", "better"),
        (0.5, 0.049, "test/directional_accuracy", "better"),
        (-0.5, 0.049, "test/directional_accuracy", "worse"),
        (0.5, 0.06, "test/rmse", "same"),
        (0.5, math.nan, "test/rmse", "unknown"),
    ],
)
def test_a_standing_follows_the_sign_of_the_metric_below_five_per_cent(mean, p, metric, how):
    assert standing(apart(mean, p), metric) == how


def test_the_first_has_no_standing():
    first = SimpleNamespace(metric_difference=None, holm_p=0.01)
    assert standing(first, "test/rmse") == "unknown"
    assert pytest.approx(0.05) == ALPHA
