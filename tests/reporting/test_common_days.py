import numpy as np
import pytest

from src.reporting import load_runs
from src.reporting.common_days import _overlapping, find_common_days
from src.reporting.comparison import compare
from src.reporting.days import Forecasts
from src.reporting.verdict import verdict
from tests.reporting.fabricate import DATES, DAYS, LAST, PRICE, fabricate


def test_runs_with_different_windows_are_compared_on_the_days_that_both_have(tmp_path):
    # The longer part begins with five days on which the transformer misses by 100.
    late = np.where(np.arange(DAYS) < 5, 100.0, 2.0)
    fabricate(tmp_path, choices={"model": "transformer"}, error=late, rmse=35.4)
    fabricate(tmp_path, choices={"model": "lstm"}, error=3.0, rmse=3.0, first=5)
    (comparison,) = compare(load_runs(tmp_path))
    assert comparison.test_set == "sp500, 2018-01-06 to 2018-02-09, 35 windows in common"
    assert [(g.label, g.metric.mean) for g in comparison.groups] == [
        ("model=transformer", pytest.approx(2.0)),
        ("model=lstm", pytest.approx(3.0)),
    ]
    without = np.sqrt(np.mean((LAST - PRICE)[5:] ** 2))
    assert comparison.baseline == pytest.approx(without)
    assert comparison.groups[1].ratio == pytest.approx(3.0 / without)
    assert comparison.groups[1].days_to_best.n == 35
    # 9 a day against 4
    assert comparison.groups[1].days_to_best.relative == pytest.approx(1.25)


def test_it_is_said_which_parts_were_cut_and_that_the_metric_ranks(tmp_path):
    fabricate(tmp_path, choices={"model": "transformer"}, val=0.1)
    fabricate(tmp_path, choices={"model": "lstm"}, first=5, val=0.2, rmse=1.0)
    (comparison,) = compare(load_runs(tmp_path))
    assert comparison.criterion == "test/rmse"
    assert comparison.groups[0].label == "model=lstm"  # whatever other validation days say
    (note,) = (note for note in comparison.notes if "test parts differ" in note)
    assert "40 windows; sp500, 2018-01-06 to 2018-02-09, 35 windows" in note
    assert "compared is what was forecast on 35 days that all have" in note
    assert verdict(comparison)[0].startswith("model=lstm ranks first on one seed")


def test_parts_with_too_few_days_in_common_stay_apart(tmp_path):
    fabricate(tmp_path)
    fabricate(tmp_path, first=15, rmse=1.0)  # 25 days
    assert len(compare(load_runs(tmp_path))) == 2


def test_the_same_days_of_other_prices_stay_apart(tmp_path):
    fabricate(tmp_path)
    folder = fabricate(tmp_path, first=5)
    text = (folder / "forecasts.csv").read_text().replace(f",{PRICE[20]},", ",55.5,")
    (folder / "forecasts.csv").write_text(text)
    assert find_common_days(load_runs(tmp_path)) == {}
    assert len(compare(load_runs(tmp_path))) == 2


def test_other_targets_on_the_same_days_stay_apart(tmp_path):
    fabricate(tmp_path)
    fabricate(tmp_path, first=5, config={"data": {"target": "log_return", "horizon": 5}})
    assert len(compare(load_runs(tmp_path))) == 2


def fabricate_variances(folder, predicted, days=DAYS, first=0):
    """Make of a run of prices one of variances: each day's is 2, before it was 1."""
    lines = ["date,last_variance,variance,predicted_variance"]
    lines += [f"{date},1.0,2.0,{predicted}" for date in DATES[first:days]]
    (folder / "forecasts.csv").write_text("\n".join(lines) + "\n")


def test_runs_of_volatility_are_compared_by_qlike_whatever_is_asked_for_prices(tmp_path):
    for model, predicted, first in (("har", 2.0, 0), ("lstm", 4.0, 5)):
        config = {"data": {"target": "volatility"}}
        scores = {"qlike": 0.5, "log_mse": 1.0}
        test = {"model": scores, "baseline": scores, "ratio": scores}
        run = fabricate(tmp_path, choices={"model": model}, config=config, test=test, first=first)
        fabricate_variances(run, predicted, first=first)
    (comparison,) = compare(load_runs(tmp_path))
    assert comparison.metric == "test/qlike"
    assert comparison.test_set.startswith("sp500, volatility, 2018-01-06 to")
    assert comparison.groups[0].metric.mean == pytest.approx(0.0)
    # 2 / 4 - log(2 / 4) - 1, and without a model 2 / 1 - log(2) - 1
    assert comparison.groups[1].metric.mean == pytest.approx(0.5 + np.log(2) - 1)
    assert comparison.baseline == pytest.approx(1 - np.log(2))


def forecasts(first, last, price=100.0):
    """Return forecasts of one price on the days of some numbers."""
    count = last - first
    date = (np.datetime64("2018-01-01") + np.arange(first, last)).astype(str)
    same, one = np.full(count, 100.0), np.ones(count, dtype=int)
    return Forecasts(date, same, np.full(count, price), same, np.full(count, ""), one)


@pytest.mark.parametrize(
    ("one", "other", "price", "together"),
    [
        ((0, 70), (35, 105), 100.0, True),  # 35 of 70 are half
        ((0, 70), (36, 106), 100.0, False),
        ((0, 35), (5, 45), 100.0, True),  # 30 of 35 are more than half, and 30
        ((0, 35), (6, 45), 100.0, False),
        ((0, 40), (0, 40), 100.0, False),  # the same days need no cut
        ((0, 40), (5, 45), 100.0 * (1 + 0.5e-6), True),
        ((0, 40), (5, 45), 100.0 * (1 + 1.5e-6), False),
    ],
)
def test_parts_share_enough_with_thirty_days_and_half_of_the_shorter(one, other, price, together):
    taken, days = _overlapping([("a", forecasts(*one)), ("b", forecasts(*other, price))])
    assert taken == ["a", "b"][: 1 + together]
    assert len(days) == (one[1] - other[0] if together else one[1] - one[0])


def test_the_part_of_most_runs_comes_first_and_of_equals_the_first(tmp_path):
    fabricate(tmp_path / "1", pooling="a", first=5)
    fabricate(tmp_path / "1", pooling="b")
    late, whole = (f"sp500, 2018-01-0{n} to 2018-02-09, {w} windows" for n, w in ((6, 35), (1, 40)))
    assert find_common_days(load_runs(tmp_path))[late].parts == (late, whole)
    fabricate(tmp_path / "1", pooling="c")
    assert find_common_days(load_runs(tmp_path))[late].parts == (whole, late)
