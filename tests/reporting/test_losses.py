"""What the metrics make of daily losses, and losses at the ends of what can be forecast."""

import math

import numpy as np
import pytest

from src.reporting.losses import METRICS


@pytest.mark.parametrize(
    ("metric", "lost", "value"),
    [
        ("test/rmse", [4.0, 4.0, math.nan], 2.0),
        ("test/mae", [4.0, 4.0, math.nan], 4.0),
        ("test/directional_accuracy", [0.0, 0.0, 1.0], 2 / 3),
        ("test/accuracy", [0.0, 0.0, 1.0], 2 / 3),
        ("test/brier", [0.25, 0.75], 0.5),
    ],
)
def test_a_metric_is_the_mean_its_root_or_the_share_of_successes(metric, lost, value):
    assert METRICS[metric].metric(np.array(lost)) == pytest.approx(value)


def test_where_no_day_counts_there_is_no_metric():
    assert math.isnan(METRICS["test/mae"].metric(np.array([math.nan])))


def test_who_was_sure_and_wrong_loses_much_and_not_all():
    lost = METRICS["test/log_loss"].daily(
        np.array([0.0, 1.0]), np.array([0.5, 0.5]), np.array([1.0, 0.0])
    )
    assert lost == pytest.approx([-math.log(1e-12)] * 2, rel=1e-3)


def test_an_even_chance_says_that_it_will_not_rise():
    even, rose = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    assert METRICS["test/accuracy"].daily(even, even, rose).tolist() == [1.0, 0.0]


def test_always_up_lies_above_the_last_price_and_the_others_do_not():
    last = np.array([10.0])
    assert METRICS["test/directional_accuracy"].without_model(last).tolist() == [11.0]
    assert METRICS["test/rmse"].without_model(last).tolist() == [10.0]
