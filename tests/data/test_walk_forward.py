import pytest

from src.data.walk_forward import WalkForward

T = 10


def folds(walk_options, last=1000, horizon=1):
    count = WalkForward(**walk_options).count(0, last, horizon)
    return [
        WalkForward(**walk_options, fold=fold).rows(0, last, T, horizon) for fold in range(count)
    ]


def targets(part, horizon):
    """Return the first bar that each window of a part forecasts."""
    return range(part.start + T, part.stop - horizon + 1)


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("refit_every", [50, 70, 500])
def test_every_bar_of_the_test_part_is_forecast_once_and_in_order(horizon, refit_every):
    parts = folds({"test": 0.5, "refit_every": refit_every}, horizon=horizon)
    forecast = [bar for fold in parts for bar in targets(fold["test"], horizon)]
    assert forecast == list(range(500, 1000 - horizon + 1))


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("embargo", [0, 7])
def test_no_target_of_a_part_is_one_of_the_next(horizon, embargo):
    for fold in folds({"refit_every": 100, "embargo": embargo}, horizon=horizon):
        for before, after in (("train", "val"), ("val", "test")):
            seen_last = fold[before].stop - 1
            assert targets(fold[after], horizon).start - seen_last == 1 + embargo


def test_an_expanding_window_begins_with_the_first_bar_and_grows_by_a_block():
    parts = folds({"refit_every": 100, "validation": 0.2})
    assert all(fold["train"].start == 0 for fold in parts)
    assert [fold["train"].stop for fold in parts] == [400, 480, 560, 640, 720]
    assert [fold["val"] for fold in parts[:2]] == [range(390, 500), range(470, 600)]


def test_a_rolling_window_keeps_its_length():
    parts = folds({"window": "rolling", "length": 300, "refit_every": 100, "validation": 0.2})
    assert [(f["train"].start, f["train"].stop) for f in parts[:2]] == [(200, 440), (300, 540)]


def test_a_larger_purge_leaves_out_more_and_a_smaller_one_is_refused():
    wide = WalkForward(purge=9, fold=0).rows(0, 1000, T, horizon=5)
    exact = WalkForward(fold=0).rows(0, 1000, T, horizon=5)
    assert exact["val"].stop - wide["val"].stop == 5
    with pytest.raises(ValueError, match=r"evaluation\.purge must be at least 4.*got 3"):
        WalkForward(purge=3, fold=0).rows(0, 1000, T, horizon=5)


def test_a_fold_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"evaluation\.fold must be from 0 to 4, got 5"):
        WalkForward(refit_every=100, fold=5).rows(0, 1000, T)


def test_a_fold_with_too_little_before_it_is_refused():
    with pytest.raises(ValueError, match="fold 0 has 8 windows in its val part, which takes 20"):
        WalkForward(test=0.95, fold=0).rows(0, 1000, T)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": "sliding"}, "window must be one of expanding, rolling"),
        ({"window": "rolling"}, "length is for window=rolling, which needs it"),
        ({"length": 100}, "length is for window=rolling"),
        ({"test": 1.0}, "test must be above 0 and below 1"),
        ({"validation": 0.0}, "validation must be above 0"),
        ({"refit_every": 0}, "refit_every must be a whole number from 1"),
        ({"embargo": -1}, "embargo must be a whole number from 0"),
        ({"fold": True}, "fold must be a whole number from 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WalkForward(**options)
