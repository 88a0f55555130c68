"""Dates are told by the whole column; what can be read two ways is refused with both."""

from datetime import date, timedelta

import numpy as np
import pytest

from src.data.reading.errors import DataError
from src.data.reading.sources import ReadOptions, read_file

DAYS = [date(2020, 1, 1) + timedelta(days=n) for n in range(40)]


def read(write_csv, cells, **options):
    content = "Date;Close\n" + "".join(f"{cell};{n + 1}\n" for n, cell in enumerate(cells))
    (series,) = read_file(write_csv(content), ReadOptions(**options))
    return [str(day) for day in series.dates.astype("datetime64[m]")]


@pytest.mark.parametrize(
    "style",
    [
        *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"),
        *("%m-%d-%Y", "%d.%m.%Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%y"),
        *("%a, %d %b %Y", "%A, %B %d, %Y", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d/%b/%Y"),
        *("%Y-%m-%dT00:00:00", "%Y-%m-%d 00:00:00.000", "%Y-%m-%dT00:00:00Z", "%m/%d/%Y 0:00"),
        *("%Y%m%d 000000", "%Y%m%d0000", "%m/%d/%Y 12:00:00 AM", "%d.%m.%Y 00:00:00.000 GMT"),
        *("%Y-%m-%d 00:00:00+00:00", "%d/%m/%Y 00:00", "%Y-%m-%d 12-AM", "%s", "%s000", "%s000000"),
    ],
)
def test_a_date_is_read_in_any_writing(write_csv, style, monkeypatch):
    epoch = date(1970, 1, 1)
    cells = [day.strftime(style.replace("%s", str((day - epoch).days * 86400))) for day in DAYS]
    assert read(write_csv, cells) == [f"{day}T00:00" for day in DAYS]
    assert read(write_csv, cells[::-1])[0] == f"{DAYS[0]}T00:00"


@pytest.mark.parametrize(
    ("cell", "instant"),
    [
        ("2020-01-31 16:05", "2020-01-31T16:05"),
        ("01/31/2020 4:05 PM", "2020-01-31T16:05"),
        ("01/31/2020 12:05 AM", "2020-01-31T00:05"),
        ("31.01.2020 16:05:00.000 GMT-0300", "2020-01-31T19:05"),
        ("2020-01-31T16:05:00-03:00", "2020-01-31T19:05"),
        ("2020-01-31T16:05:00Z", "2020-01-31T16:05"),
        ("202001311605", "2020-01-31T16:05"),
        ("20200131 160500", "2020-01-31T16:05"),
        ("2020-01-31 04-PM", "2020-01-31T16:00"),
        ("31 de jan de 2020", "2020-01-31T00:00"),
        ("31 août 2020", "2020-08-31T00:00"),
        ("31-Dez-2020", "2020-12-31T00:00"),
    ],
)
def test_times_and_months_are_read_in_many_languages(write_csv, cell, instant):
    content = f"Date;Close\n{cell};1\n"
    (series,) = read_file(write_csv(content))
    assert str(series.ends[0].astype("datetime64[m]")) == instant


@pytest.mark.parametrize(
    ("column", "clock"), [("09:30", "09:30"), ("930", "09:30"), ("093000", "09:30")]
)
def test_a_time_may_have_a_column_of_its_own(write_csv, column, clock):
    content = f"Date,Time,Close\n2020-01-02,{column},1\n2020-01-03,{column},2\n"
    (series,) = read_file(write_csv(content))
    assert str(series.ends[0].astype("datetime64[m]")) == f"2020-01-02T{clock}"
    with pytest.raises(DataError, match=r":3:2: found '25:99' in Time, expected a time of day"):
        read_file(write_csv(f"Date,Time,Close\n2020-01-02,{column},1\n2020-01-03,25:99,2\n"))


def test_times_of_digits_alone_keep_their_zeros(write_csv):
    times = [f"{minute // 60:02d}{minute % 60:02d}00" for minute in range(0, 600, 25)]
    rows = "".join(f"2020-01-02,{time},{n + 1}\n" for n, time in enumerate(times))
    (series,) = read_file(write_csv(f"Date,Time,Close\n{rows}"))
    assert [str(date)[11:16] for date in series.dates] == [f"{t[:2]}:{t[2:4]}" for t in times]
    assert series.frequency == "25 minutes"


def test_days_that_may_be_months_are_refused_with_both_readings_and_the_option(write_csv):
    cells = ["01/02/2020", "02/02/2020", "03/02/2020"]
    with pytest.raises(
        DataError, match=r"day or month first \(2020-02-01 or 2020-01-02\)"
    ) as error:
        read(write_csv, cells)
    assert "data.day_first=true or data.day_first=false" in str(error.value)
    assert read(write_csv, cells, day_first=True)[1] == "2020-02-02T00:00"
    assert read(write_csv, cells, day_first=False)[1] == "2020-02-02T00:00"
    assert read(write_csv, cells, day_first=False)[2] == "2020-03-02T00:00"


def test_first_days_of_months_are_told_by_their_even_steps(write_csv):
    months = [date(2018 + n // 12, n % 12 + 1, 1) for n in range(30)]
    for style in ("%m/%d/%Y", "%d/%m/%Y"):
        cells = [month.strftime(style) for month in months]
        assert read(write_csv, cells) == [f"{month}T00:00" for month in months]


def test_years_of_two_digits_may_come_first(write_csv):
    cells = [day.strftime("%y-%m-%d") for day in DAYS]
    assert read(write_csv, cells) == [f"{day}T00:00" for day in DAYS]


@pytest.mark.parametrize("cell", ["2020-02-30", "2020-13-01", "31/02/2020", "soon", "2020-1-1x"])
def test_what_is_no_day_is_refused_where_it_stands(write_csv, cell):
    with pytest.raises(DataError, match=rf":4:1: found '{cell}' in Date, expected a date such as"):
        read(write_csv, ["2020-01-14", "2020-01-15", cell, "2020-01-17"])


def test_an_instant_keeps_its_second(write_csv):
    (series,) = read_file(write_csv("Date,Close\n2020-01-02 09:30:15,1\n2020-01-02 09:30:16,2\n"))
    assert series.dates[1] == np.datetime64("2020-01-02T09:30:16")
    assert series.frequency == "1 second"


def test_a_year_of_two_digits_is_never_further_ahead_than_prices_may_be(write_csv):
    cells = ["12/30/69", "12/31/69", "01/02/70"]
    assert read(write_csv, cells) == ["1969-12-30T00:00", "1969-12-31T00:00", "1970-01-02T00:00"]
    assert read(write_csv, ["30-Dec-59"]) == ["1959-12-30T00:00"]
    assert read(write_csv, ["12/31/99", "01/03/00"])[1] == "2000-01-03T00:00"


@pytest.mark.parametrize("style", ["%m/%Y", "%YM%m", "%Y-%m", "%b %Y"])
def test_a_month_alone_is_its_first_day(write_csv, style):
    cells = [date(2020, month, 1).strftime(style) for month in range(1, 13)]
    assert read(write_csv, cells)[::11] == ["2020-01-01T00:00", "2020-12-01T00:00"]
