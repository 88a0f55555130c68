import numpy as np
import pytest

from src.reporting.days import daily_losses, read_forecasts, step_of
from src.reporting.losses import METRICS
from tests.reporting.fabricate import DAYS, fabricate, write_forecasts

PREDICTED, LAST, ACTUAL = np.array([[103.0, 99.0, 100.0], [100.0, 100.0, 100.0], [105.0, 102, 100]])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("test/rmse", [4.0, 9.0, 0.0]),
        ("test/mae", [2.0, 3.0, 0.0]),
        ("test/mape", [100 * 2 / 105, 100 * 3 / 102, 0.0]),
        ("test/directional_accuracy", [0.0, 1.0, np.nan]),
    ],
)
def test_daily_losses_by_hand(metric, expected):
    np.testing.assert_allclose(METRICS[metric].daily(PREDICTED, LAST, ACTUAL), expected)


def test_daily_losses_average_to_the_metric(tmp_path):
    rows = []
    for seed, error in enumerate((1.0, 3.0)):
        rows.append(
            {"group": "a", "seed": seed, "path": fabricate(tmp_path, seed=seed, error=error)}
        )
    losses = daily_losses(rows, METRICS["test/rmse"])
    assert losses.groups["a"] == pytest.approx(np.full(DAYS, (1 + 9) / 2))


def test_runs_of_other_days_or_without_forecasts_are_left_out(tmp_path):
    first, short, broken, none = (fabricate(tmp_path, seed=seed) for seed in range(4))
    write_forecasts(short, 1.0, days=10)
    (broken / "forecasts.csv").write_text("date,price\n2018-01-01,1\n")
    (none / "forecasts.csv").unlink()
    rows = [
        {"group": "a", "seed": n, "path": folder}
        for n, folder in enumerate((first, short, broken, none))
    ]
    losses = daily_losses(rows, METRICS["test/rmse"])
    assert losses.left_out == (str(short), str(broken), str(none))
    assert len(losses.date) == DAYS


def test_forecasts_that_are_not_finite_are_no_forecasts(tmp_path):
    folder = fabricate(tmp_path, error=np.where(np.arange(DAYS) == 3, np.nan, 1.0))
    assert read_forecasts(folder) is None


def test_days_without_a_move_have_no_direction(tmp_path):
    folder = fabricate(tmp_path)
    text = "date,last_price,price,predicted_price\n2018-01-01,1,1,2\n2018-01-02,1,2,3\n"
    (folder / "forecasts.csv").write_text(text)
    metric = METRICS["test/directional_accuracy"]
    losses = daily_losses([{"group": "a", "seed": 0, "path": folder}], metric)
    assert losses.groups["a"].tolist() == [0.0]
    assert losses.baseline.tolist() == [0.0]


def test_several_steps_of_a_day_are_one_day_that_loses_their_mean(tmp_path):
    lines = ["date,step,last_price,price,predicted_price"]
    for date in ("2018-01-01", "2018-01-02"):
        lines += [f"{date},{step},10,{10 + step},10" for step in (1, 2)]
    (tmp_path / "forecasts.csv").write_text("\n".join(lines) + "\n")
    runs = [{"group": "a", "seed": 0, "path": tmp_path}]
    losses = daily_losses(runs, METRICS["test/mae"], horizon=2)
    assert losses.date.tolist() == ["2018-01-01", "2018-01-02"]
    assert losses.groups["a"].tolist() == [1.5, 1.5]
    assert losses.horizon == 2


def test_losses_of_variances_and_directions_by_hand():
    two, one = np.array([2.0]), np.array([1.0])
    assert METRICS["test/qlike"].daily(one, one, two) == pytest.approx(1 - np.log(2))
    assert METRICS["test/log_mse"].daily(one, one, two) == pytest.approx(np.log(2) ** 2)
    rose = np.array([1.0, 0.0])
    shares = np.array([0.75, 0.75])
    np.testing.assert_allclose(METRICS["test/brier"].daily(shares, shares, rose), [1 / 16, 9 / 16])
    log_losses = METRICS["test/log_loss"].daily(shares, shares, rose)
    np.testing.assert_allclose(log_losses, [-np.log(0.75), -np.log(0.25)])
    assert METRICS["test/accuracy"].daily(shares, shares, rose).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        (59, "bar"),
        (60, "minute"),
        (61, "bar"),
        (3600, "hour"),
        (3601, "bar"),
        (69_120, "day"),
        (69_119, "bar"),
        (4 * 86_400, "day"),
        (4 * 86_400 + 1, "bar"),
        (5 * 86_400, "week"),
        (5 * 86_400 - 1, "bar"),
        (9 * 86_400, "week"),
        (26 * 86_400, "month"),
        (33 * 86_400, "month"),
        (33 * 86_400 + 1, "bar"),
    ],
)
def test_a_step_is_named_by_the_usual_distance_between_days(seconds, name):
    steps = np.array([0, seconds, 2 * seconds, 9 * seconds], dtype="timedelta64[s]")
    assert step_of(np.datetime64("2020-01-01", "s") + steps) == name


def test_one_day_has_no_distance_and_is_called_a_day():
    assert step_of(np.array(["2020-01-01"], dtype="datetime64[s]")) == "day"


@pytest.mark.parametrize(
    ("seconds", "name"), [(9 * 86_400 + 1, "bar"), (26 * 86_400 - 1, "bar"), (7 * 86_400, "week")]
)
def test_between_a_week_and_a_month_there_is_no_name(seconds, name):
    times = np.datetime64("2020-01-01", "s") + np.array([0, seconds, 2 * seconds])
    assert step_of(times) == name


def test_what_is_no_date_is_called_a_bar():
    assert step_of(np.array(["first", "second"])) == "bar"


def write(folder, rows, columns="date,ticker,step,last_price,price,predicted_price"):
    folder.mkdir(exist_ok=True)
    (folder / "forecasts.csv").write_text("\n".join([columns, *rows]) + "\n")
    return {"group": folder.name, "seed": 0, "path": folder}


BOTH = ["2020-01-01,A,1,10,12,11", "2020-01-01,B,1,10,14,11", "2020-01-02,A,1,10,11,11"]


def test_several_series_are_told_each_by_itself_and_their_days_once(tmp_path):
    losses = daily_losses([write(tmp_path / "a", BOTH)], METRICS["test/mae"])
    assert losses.series == {
        "A": {"tomorrow = today": 1.5, "a": 0.5},
        "B": {"tomorrow = today": 4.0, "a": 3.0},
    }
    assert losses.date.tolist() == ["2020-01-01", "2020-01-02"]
    assert losses.groups["a"].tolist() == [2.0, 0.0]
    assert losses.baseline.tolist() == [3.0, 1.0]
    assert losses.horizon == 1


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("2020-01-02", "2020-01-03", False),
        (",B,", ",C,", False),
        ("B,1", "B,2", False),
        (",14,", f",{14 * (1 + 1.5e-6)!r},", False),
        (",14,", f",{14 * (1 + 0.5e-6)!r},", True),
    ],
)
def test_runs_of_other_dates_series_steps_or_prices_are_left_out(tmp_path, old, new, same):
    other = [row.replace(old, new) for row in BOTH]
    runs = [write(tmp_path / "a", BOTH), write(tmp_path / "b", other)]
    losses = daily_losses(runs, METRICS["test/mae"])
    assert (losses.left_out == ()) == same
    assert list(losses.groups) == ["a", "b"][: 1 + same]
