"""Trainings are compared pair by pair; here, what is made of the pairs."""

import pytest

from benchmarks.precision import machine, page, summary


def side(step_ms, val_loss):
    return {"step_ms": step_ms, "fit_s": 2 * step_ms, "val_loss": val_loss, "test_rmse": 20.0}


PAIRS = [
    {"full": side(10.0, 0.5), "other": side(5.0, 0.51)},
    {"full": side(20.0, 0.4), "other": side(12.0, 0.4)},
    {"full": side(10.0, 0.5), "other": side(8.0, 0.495)},
]


def test_times_are_divided_within_a_pair_and_not_between_pairs():
    found = summary(PAIRS)
    assert found["step_ms"] == 10.0
    assert found["step_ms_ratio"] == found["fit_s_ratio"] == [0.5, 0.6, 0.8]


def test_scores_differ_by_shares_with_an_interval_of_student():
    low, mean, high = summary(PAIRS)["val_loss_change"]
    # Shares 0.02, 0 and -0.01: mean 1/300, standard deviation 0.015275, t of two degrees 4.3027.
    half = 4.3027 * 0.015275 / 3**0.5
    assert (low, mean, high) == pytest.approx((1 / 300 - half, 1 / 300, 1 / 300 + half), abs=1e-5)


def test_the_page_names_the_machine_and_shows_one_pair_without_an_interval():
    row = {"workload": "LSTM", "option": "`compile=true`", "pairs": 1, **summary(PAIRS[:1])}
    text = page({"command": "python -m benchmarks.precision", "machine": machine(), "rows": [row]})
    assert machine()["torch"] in text.splitlines()[0]
    assert "| 1 | 10.00 | 0.50 [0.50, 0.50] | 0.50 [0.50, 0.50] | 0.5000 | +2.0% [-, -] |" in text
