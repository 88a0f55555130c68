"""The variance of a bar by hand, and the column that a model of volatility is shown."""

import numpy as np
import pytest

from src.data.features.variance import SMALLEST_VARIANCE, bar_variance, with_log_variance
from src.data.reading.sources import PriceTable

COLUMNS = {
    "open": np.array([100.0, 100.0]),
    "high": np.array([100 * np.e, 100.0]),
    "low": np.array([100.0, 100.0]),
    "close": np.array([100.0, 110.0]),
}


def table(**columns):
    days = np.array(["2020-01-01", "2020-01-02"], "datetime64[s]")
    return PriceTable("made", days, columns, 2)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        # A range of 1 in logs: 1 / (4 ln 2), and 0.5 without a body.
        ("parkinson", [0.36067376, SMALLEST_VARIANCE]),
        ("garman_klass", [0.5, SMALLEST_VARIANCE]),
        ("squared_returns", [np.nan, np.log(1.1) ** 2]),
    ],
)
def test_estimators_equal_hand_computed_values(estimator, expected):
    columns = COLUMNS | {"close": np.array([100.0, 100.0])}
    if estimator == "squared_returns":
        columns = COLUMNS
    np.testing.assert_allclose(bar_variance(columns, estimator), expected)


def test_the_mean_of_each_estimator_is_the_variance_of_a_random_walk():
    random = np.random.default_rng(0)
    steps = 0.01 / np.sqrt(1000) * random.standard_normal((4000, 1000))
    path = np.concatenate([np.zeros((4000, 1)), steps.cumsum(1)], axis=1)
    start = path[:, -1].cumsum() - path[:, -1]
    bars = {"open": start, "high": start + path.max(1), "low": start + path.min(1)}
    columns = {
        name: np.exp(value) for name, value in (bars | {"close": start + path[:, -1]}).items()
    }
    for estimator in ("parkinson", "garman_klass", "squared_returns"):
        # A thousand prices a bar miss a little of the range.
        mean = np.nanmean(bar_variance(columns, estimator))
        assert mean == pytest.approx(1e-4, rel=0.08), estimator


def test_the_column_is_the_log_of_the_variance_and_comes_last():
    shown = with_log_variance(table(**COLUMNS), "parkinson")
    assert list(shown.extra) == ["log_variance"]
    np.testing.assert_allclose(shown.extra["log_variance"][0], np.log(0.36067376), rtol=1e-6)


def test_closes_alone_are_refused_where_a_range_is_needed():
    with pytest.raises(ValueError, match=r"made has no high and no low, .* squared_returns"):
        with_log_variance(table(close=COLUMNS["close"]), "parkinson")
