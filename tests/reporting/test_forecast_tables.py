"""Forecasts as a table: every cell, of values that are known."""

import pytest

from src.reporting.forecast_tables import forecast_csv, forecast_table
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


def outcome(kind, baseline, predicted, came, **more):
    names = {
        "volatility": ("last_variance", "variance", "predicted_variance"),
        "direction": ("base_rate", "rose", "predicted_probability"),
    }[kind]
    values = dict(zip(names, (baseline, came, predicted), strict=True))
    return {"last_day": "2020-01-02", "baseline": baseline, "interval": None, **values, **more}


def test_a_direction_is_shown_as_shares_beside_the_base_rate_and_without_a_change():
    rows = [outcome("direction", 0.525, 0.6, 1.0), outcome("direction", 0.525, 0.4, None)]
    table = forecast_table({"level": None, "forecasts": rows, "target": "direction", "horizon": 5})
    assert table.title == (
        "Forecasts for the following 5 days: probability that the last close lies above"
    )
    headings, shown = cells(table)
    assert headings[2:] == ["model", "what came"]
    assert [row[1:] for row in shown] == [["52.5%", "60.0%", "100.0%"], ["52.5%", "40.0%", ""]]
    assert str(table.caption) == (
        "base rate: the share of windows that rose in the run's training part."
    )


@pytest.mark.parametrize(
    ("a_year", "unit", "shown"), [(252, "% a year", "15.9"), (None, "% a bar", "1")]
)
def test_a_variance_is_shown_as_a_volatility_of_a_year_or_of_a_bar(a_year, unit, shown):
    made = {"level": 0.9, "coverage": {"test": 0.875, "windows": 40}, "target": "volatility"}
    rows = [
        outcome("volatility", 1e-4, 4e-4, 1e-4, interval=[1e-4, 9e-4]),
        outcome("volatility", 1e-4, 4e-4, 16e-4, interval=[1e-4, 9e-4]),
    ]
    table = forecast_table({**made, "forecasts": rows, "bars_a_year": a_year})
    assert table.title == f"Forecasts for the following day: volatility, {unit}"
    headings, found = cells(table)
    assert headings[2:] == ["model", "0.9 interval", "what came"]
    assert found[0][1] == found[0][4] == shown
    assert float(found[0][2]) == pytest.approx(2 * float(shown), rel=0.01)
    assert str(table.caption).splitlines() == [
        "On the run's test part the 0.9 interval held on 87.5% of 40 days.",
        "On the 2 forecasts here whose outcome is known, on 50.0%.",
    ]


def test_intervals_of_the_models_own_are_said_to_be():
    table = forecast_table({"level": 0.8, "coverage": None, "forecasts": [forecast(None)]})
    assert str(table.caption) == (
        "The interval is the model's own; its coverage is in the run's report."
    )


def test_a_file_has_the_columns_of_its_target_and_nothing_where_nobody_knows():
    quantiles = {"0.1": 0.5e-4, "0.9": 12345678901.0}
    row = outcome("volatility", 1e-4, 4e-4, None, ticker="A,B", step=2, quantiles=quantiles)
    text = forecast_csv({"target": "volatility", "forecasts": [row]})
    assert text.splitlines() == [
        "ticker,last_day,step,last_variance,variance,predicted_variance,low,high,q0.1,q0.9",
        '"A,B",2020-01-02,2,0.0001,,0.0004,,,5e-05,1.23456789e+10',
    ]


@pytest.mark.parametrize(
    ("last", "shown"), [(0.5, "+50.00%"), (0.0, ""), (-1.0, ""), (2.0, "-62.50%")]
)
def test_a_change_is_a_share_of_a_price_above_zero(last, shown):
    table = forecast_table(forecasts(forecast(None, 0.75, last)))
    assert cells(table)[1][0][3] == shown
    assert all(column.no_wrap for column in table.columns)


def test_two_known_prices_have_a_ratio_however_near_they_are():
    near = [forecast(100.5, predicted=100.25), forecast(99.5, predicted=99.75)]
    assert str(forecast_table(forecasts(*near)).caption).splitlines()[1:] == [
        "On the 2 days here whose price is known, on 100.0%.",
        'There the RMSE is 0.5000 of that of "tomorrow = today".',
    ]
