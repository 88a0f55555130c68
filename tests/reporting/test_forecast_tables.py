"""Forecasts as a table: every cell, of values that are known."""

import pytest

from src.reporting.forecast_tables import forecast_table
from tests.reporting.test_run_tables import cells


def forecast(price, predicted=101.0, last=100.0, interval=(99.0, 103.0)):
    made = {"last_day": "2020-01-02", "last_price": last, "baseline": last}
    return made | {"predicted_price": predicted, "interval": list(interval), "price": price}


def forecasts(*rows, level=0.9, **more):
    coverage = {"test": 0.875, "windows": 40}
    return {"level": level, "coverage": coverage, "forecasts": list(rows), **more}


def test_a_forecast_has_its_day_both_models_change_and_interval():
    headings, rows = cells(forecast_table(forecasts(forecast(None), step="hour")))
    assert headings == ["last hour", "tomorrow = today", "model", "change", "0.9 interval"]
    assert rows == [["2020-01-02", "100.00", "101.00", "+1.00%", "99.00 to 103.00"]]


def test_an_interval_holds_its_ends_and_shares_count_what_is_known():
    # of 99 and 103, the ends, 98.9 and one unknown: two of three are held
    known = [forecast(99.0), forecast(103.0), forecast(98.9)]
    table = forecast_table(forecasts(*known, forecast(None)))
    headings, rows = cells(table)
    assert headings[-1] == "price that came"
    assert [row[-1] for row in rows] == ["99.00", "103.00", "98.90", ""]
    # errors of the model: 2, 2 and 2.1; of no model: 1, 3 and 1.1
    ratio = ((4 + 4 + 4.41) / (1 + 9 + 1.21)) ** 0.5
    assert str(table.caption).splitlines() == [
        "On the run's test part the 0.9 interval held on 87.5% of 40 days.",
        "On the 3 days here whose price is known, on 66.7%.",
        f'There the RMSE is {ratio:.4f} of that of "tomorrow = today".',
    ]


def test_of_one_known_price_no_share_is_told_and_of_a_standstill_no_ratio():
    one = str(forecast_table(forecasts(forecast(99.0), forecast(None))).caption)
    assert one == "On the run's test part the 0.9 interval held on 87.5% of 40 days."
    still = str(forecast_table(forecasts(forecast(100.0), forecast(100.0))).caption)
    assert still.splitlines()[1:] == ["On the 2 days here whose price is known, on 100.0%."]


def test_without_calibration_there_is_no_interval_and_it_is_said():
    table = forecast_table(forecasts(forecast(None), level=None))
    assert cells(table)[0] == ["last day", "tomorrow = today", "model", "change"]
    assert str(table.caption) == (
        "No intervals: the run has no calibration and its data cannot be read."
    )


@pytest.mark.parametrize(
    ("price", "shown"),
    [(9.87654321, "9.87654"), (10.0, "10.00"), (0.0, "0.00"), (-0.5, "-0.500000")],
)
def test_a_small_price_has_six_digits(price, shown):
    _, ((_, _, model, _, _),) = cells(forecast_table(forecasts(forecast(None, price))))
    assert model == shown
