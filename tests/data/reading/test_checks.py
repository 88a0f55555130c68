"""Nothing odd passes in silence, and what a market may do is not called odd."""

import numpy as np
import pytest

from src.data.reading.checks import check_series, frequency_of, say_date
from src.data.reading.errors import DataError
from src.data.reading.sources import ReadOptions, load_prices, read_file
from tests.data.reading.market import bar, make_bars, table

NOW = np.datetime64("2030-01-01", "s")
HEAD = ("Date", "Open", "High", "Low", "Close", "Volume")


def weekdays(count, start="2015-01-01"):
    return np.busday_offset(start, np.arange(count), roll="forward").astype("datetime64[s]")


def walk(count, seed=0, sigma=0.02):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, sigma, count)))


def said(close, dates=None, now=NOW, **columns):
    dates = weekdays(len(close)) if dates is None else dates
    columns = {"close": np.asarray(close, dtype=float), **columns}
    return check_series(dates, columns, frequency_of(dates), now)


def kinds(*args, **kwargs):
    return [warning.kind for warning in said(*args, **kwargs)]


@pytest.mark.parametrize(
    ("step", "name"),
    [
        *(("1s", "1 second"), ("1m", "1 minute"), ("15m", "15 minutes"), ("1h", "hourly")),
        *(("4h", "4 hours"), ("1D", "daily"), ("7D", "weekly"), ("365D", "yearly")),
    ],
)
def test_the_usual_distance_between_bars_has_a_name(step, name):
    count, unit = int(step[:-1]), step[-1]
    dates = np.datetime64("2020-01-06", "s") + np.arange(50) * np.timedelta64(count, unit)
    assert frequency_of(dates) == name


def test_months_quarters_and_weekdays_are_told_by_their_usual_distance():
    months = np.arange("2010-01", "2015-01", dtype="datetime64[M]")
    assert frequency_of(months.astype("datetime64[s]")) == "monthly"
    assert frequency_of(months[::3].astype("datetime64[s]")) == "quarterly"
    assert frequency_of(weekdays(50)) == "daily"
    assert frequency_of(weekdays(1)) == "unknown"


@pytest.mark.parametrize("ratio", [2, 3, 4, 5, 7, 10, 20, 1.5])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_price_that_falls_to_a_part_and_stays_looks_like_a_split(ratio, is_reversed):
    close = walk(300, sigma=0.008)
    close[200:] *= ratio if is_reversed else 1 / ratio
    if ratio == 1.5:
        assert kinds(close) == []  # shares have lost a third in a day
        return
    (warning,) = said(close)
    words = f"{ratio:g} to 1, reversed" if is_reversed else f"1 to {ratio:g}"
    assert (warning.kind, warning.row, warning.is_fatal) == ("split", 200, True)
    assert f"looks like a split of {words}, not adjusted" in warning.text
    assert warning.text.startswith(str(weekdays(300)[200])[:10])


@pytest.mark.parametrize("factor", [100, 0.01, 10, 1000])
def test_a_price_that_jumps_and_is_back_looks_mistyped(factor):
    close = walk(300)
    close[100] *= factor
    (warning,) = said(close)
    assert (warning.kind, warning.row, warning.is_fatal) == ("jump", 100, True)
    assert "and back on" in warning.text
    assert "looks mistyped" in warning.text


@pytest.mark.parametrize("row", [0, -1])
def test_a_close_far_from_its_bar_is_mistyped_at_either_end_too(row):
    close = walk(300, sigma=0.01)
    bars = {"open": close.copy(), "high": 1.01 * close, "low": 0.99 * close}
    close[row] *= 100
    jump, _ = said(close, **bars)
    assert (jump.kind, jump.is_fatal) == ("jump", True)
    assert jump.text.endswith("looks mistyped")


def test_a_split_after_a_strong_day_is_told_by_its_opening():
    close = walk(300, sigma=0.01)
    close[150:] *= 1.125 / 5
    opens = np.r_[close[0], close[:-1]]
    opens[150] = close[149] / 5
    assert kinds(
        close, open=opens, high=np.maximum(opens, close), low=np.minimum(opens, close)
    ) == ["split"]


@pytest.mark.parametrize("factor", [0.703, 0.65, 0.77, 1.2, 1.5])
def test_a_crash_is_no_split(factor):
    close = walk(300)
    close[200:] *= factor
    assert kinds(close) == []


def test_a_day_that_was_traded_through_is_no_jump_and_one_beyond_belief_is():
    close = walk(300, sigma=0.01)
    close[200:] *= 2.1
    opens = np.r_[close[0], close[:-1]]
    high, low = np.maximum(opens, close), np.minimum(opens, close)
    assert kinds(close, open=opens, high=high, low=low) == []
    close[250:] *= 50
    opens = np.r_[close[0], close[:-1]]
    high, low = np.maximum(opens, close), np.minimum(opens, close)
    assert kinds(close, open=opens, high=high, low=low) == ["split"]


def test_a_squeeze_of_wild_days_is_no_jump():
    close = walk(300, sigma=0.02)
    for day, factor in enumerate((1.4, 0.8, 1.3, 0.75, 1.5, 1.3, 0.8, 1.4, 1.2, 0.8, 2.3, 0.56)):
        close[200 + day :] *= factor
    assert kinds(close) == []


def test_large_steps_of_a_rate_near_zero_are_no_splits():
    rates = np.round(0.1 + 0.02 * np.sin(np.arange(300)), 2)
    rates[100], rates[200:] = 0.05, rates[200:] + 0.2
    for warning in said(rates):
        assert (warning.kind, warning.is_fatal) == ("jump", False)
        assert "prices move in large steps here" in warning.text


def test_a_hole_is_named_with_its_ends_and_weekends_are_none():
    dates = np.delete(weekdays(300), slice(100, 130))
    (warning,) = said(walk(270), dates)
    assert warning[:2] == ("gap", "no bars for 43 days, from 2015-05-20 to 2015-07-02")
    assert kinds(walk(300)) == []
    hours = np.datetime64("2020-01-01", "s") + np.arange(500) * np.timedelta64(1, "h")
    (warning,) = said(walk(490), np.delete(hours, slice(200, 210)))
    assert warning.text == "no bars for 11 hours, from 2020-01-09 07:00 to 2020-01-09 18:00"
    assert kinds(walk(499), np.delete(hours, 77)) == ["gap"]


def test_a_split_in_a_hole_is_said_and_a_price_that_doubled_over_years_is_none():
    close, days = walk(600, sigma=0.01), weekdays(600)
    weeks, years = np.r_[:100, 115:600], np.r_[:50, 550:600]
    assert kinds(np.r_[close[:100], close[115:] / 10], days[weeks]) == ["split", "gap"]
    assert kinds(np.r_[close[:50], close[550:] * 3], days[years]) == ["gap"]


def test_other_odd_things_are_said_with_their_first_date():
    close = walk(300)
    assert said(np.r_[close, np.full(20, close[-1])])[0][:2] == (
        "constant tail",
        f"the price stays at {close[-1]:.6g} for the last 21 bars, from 2016-02-24 on",
    )
    assert kinds(np.full(100, 5.0)) == ["constant"]
    (future,) = said(close, now=weekdays(300)[-5])
    assert future[:2] == ("future dates", "3 bars in the future, from 2016-02-22 on")
    volume = np.ones(300)
    volume[7] = 0
    (empty,) = said(close, volume=volume)
    assert empty[:2] == ("zero volume", "volume 0 in 1 of 300 bars, first on 2015-01-12")
    assert kinds(close, volume=np.zeros(300)) == ["no volume"]
    (outside,) = said(close, high=close * 1.01, low=np.r_[close[:9] * 0.99, close[9:] * 1.001])
    assert (
        outside.text
        == "open or close outside of low to high in 291 of 300 bars, first on 2015-01-14"
    )
    dates = np.r_[weekdays(150), weekdays(150)[-1] + np.arange(7, 707, 7) * np.timedelta64(1, "D")]
    (mixed,) = said(walk(250), dates)
    assert mixed[:2] == (
        "frequency",
        f"bars are daily on the whole, but weekly from {mixed.text[-13:-3]} on",
    )


def test_an_intraday_date_is_written_with_its_time():
    date = np.datetime64("2020-01-02T09:30:00")
    assert [say_date(date, name) for name in ("daily", "hourly")] == [
        "2020-01-02",
        "2020-01-02 09:30",
    ]


def test_training_stops_at_a_split_unless_it_is_accepted(write_csv):
    bars = make_bars(count=100)
    rows = [
        (r[0], *(p / 10 if n > 50 else p for p in r[1:5]), r[5]) for n, r in enumerate(bar(bars))
    ]
    table_ = load_prices(path=str(write_csv(table([HEAD, *rows]))))
    with pytest.raises(
        DataError, match=r"my.csv:53:1: found a split: .* data.accept=\[split\] take"
    ):
        table_.refuse_meaningless()
    table_.refuse_meaningless(["split"])


def test_rows_that_repeat_another_are_left_out_and_two_values_for_a_day_refused(write_csv):
    (series,) = read_file(write_csv("Date,Close\n2020-01-01,1\n2020-01-01,1\n2020-01-02,2\n"))
    assert series.close.tolist() == [1, 2]
    assert series.warnings[0][:2] == ("duplicate rows", "1 rows repeat another, first line 3")


def test_a_negative_price_is_refused_unless_nothing_takes_its_logarithm(write_csv):
    path = write_csv("Date,Close\n2020-04-17,18.27\n2020-04-20,-37.63\n2020-04-21,10.01\n")
    with pytest.raises(DataError, match=r":3:2: found '-37.63' in Close, .*data.target=residual"):
        read_file(path)
    (series,) = read_file(path, ReadOptions(signed=True))
    assert series.close.tolist() == [18.27, -37.63, 10.01]
