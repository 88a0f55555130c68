import dataclasses

import numpy as np
import pytest

from src.data.identity import how_it_differs, identity
from src.data.reading.series import PriceTable

DATES = np.arange("2020-01-01", "2020-01-11", dtype="datetime64[D]").astype("datetime64[s]")
TABLE = PriceTable("prices.csv", DATES, {"close": np.arange(10.0) + 1}, 10, frequency="daily")


def rows(first, last):
    return dataclasses.replace(
        TABLE, dates=DATES[first:last], columns={"close": TABLE.close[first:last]}
    )


def test_the_same_prices_under_another_name_are_the_same():
    assert how_it_differs(identity(TABLE), dataclasses.replace(TABLE, name="copy.csv")) is None


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (rows(0, 8), TABLE, "2 rows were added, to 2020-01-10 instead of 2020-01-08"),
        (TABLE, rows(0, 8), "8 rows instead of 10, to 2020-01-08 instead of 2020-01-10"),
        (TABLE, rows(1, 10), "9 rows instead of 10, from 2020-01-02 instead of 2020-01-01"),
        (
            TABLE,
            dataclasses.replace(TABLE, columns={"close": TABLE.close * 2}),
            "the same 10 days with other prices",
        ),
    ],
)
def test_it_is_said_how_prices_differ(before, now, expected):
    assert how_it_differs(identity(before), now) == expected


def test_one_price_a_millionth_higher_is_noticed():
    close = TABLE.close.copy()
    close[3] *= 1 + 1e-15
    other = dataclasses.replace(TABLE, columns={"close": close})
    assert how_it_differs(identity(TABLE), other) == "the same 10 days with other prices"
