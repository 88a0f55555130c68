"""What a schedule of events makes of features, by hand and inside a data module."""

import pytest
import torch

from src.data import PriceDataModule, Schedule
from src.data.schedule import FeatureStates, feature_sizes

GROUPS = {"market": slice(0, 2), "position": slice(2, 5)}
SIZES = torch.tensor([1.0, 2.0, 1.0, 4.0, 0.0])
X = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 0.0]]])


def shown(events, step, scale=1.0):
    states = FeatureStates(Schedule(events, scale), GROUPS, SIZES)
    return states(X, step).flatten().tolist()


def test_a_block_goes_dead_at_its_step_and_stays_dead():
    events = {"dies": {"step": 10, "block": "position", "event": "dead"}}
    assert shown(events, 9) == [1, 2, 3, 4, 0]
    assert shown(events, 10) == shown(events, 99) == [1, 2, 0, 0, 0]


def test_without_a_step_everything_has_happened():
    events = {"dies": {"step": 10, "block": "market", "event": "dead", "features": 1}}
    assert shown(events, None) == [0, 2, 3, 4, 0]


def test_the_scale_multiplies_all_steps():
    events = {"dies": {"step": 5000, "block": "market", "event": "dead"}}
    assert shown(events, 499, scale=0.1)[:2] == [1, 2]
    assert shown(events, 500, scale=0.1)[:2] == [0, 0]


def test_a_block_switches_on_at_sizes_spread_evenly_in_the_logarithm():
    events = {
        "off": {"step": 0, "block": "position", "event": "dead"},
        "on": {"step": 10, "block": "position", "event": "on", "size": [10, 1000]},
    }
    assert shown(events, 0) == [1, 2, 0, 0, 0]
    # Sizes 10, 100, 1000 instead of 1, 4 and the 0 of a feature that never lives.
    assert shown(events, 10) == pytest.approx([1, 2, 30, 100, 0])


def test_on_without_a_size_gives_the_features_back_as_they_are():
    events = {
        "off": {"step": 0, "block": "position", "event": "dead"},
        "on": {"step": 10, "block": "position", "event": "on"},
    }
    assert shown(events, 10) == [1, 2, 3, 4, 0]


def test_a_frozen_feature_keeps_one_value():
    events = {"stuck": {"step": 1, "block": "market", "event": "freeze"}}
    assert shown(events, 1) == [1, 2, 3, 4, 0]
    assert FeatureStates(Schedule(events), GROUPS, SIZES)(7 * X, 1).flatten().tolist()[:2] == [1, 2]


def test_sizes_are_root_mean_squares_of_what_is_not_zero():
    rows = torch.tensor([[3.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    assert feature_sizes(rows).tolist() == pytest.approx([12.5**0.5, 0.0])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"step": 1, "block": "market", "event": "gone"}, "must be one of dead, on"),
        ({"step": -1, "block": "market", "event": "dead"}, "step must be an int of at least 0"),
        ({"step": 1, "block": "market", "event": "on", "size": [5, 1]}, "in order, got"),
        ({"step": 1, "block": "market", "event": "on", "size": [1, 2, 3]}, "one number or two"),
        ({"step": 1, "block": "fc", "event": "units_die"}, "share belongs to units_die"),
        (
            {"step": 1, "block": "fc", "event": "units_die", "share": 2},
            r"share must be in \(0, 1\]",
        ),
        ({"step": 1, "block": "market"}, "missing 1 required"),
    ],
)
def test_an_event_that_cannot_be_names_itself(event, message):
    with pytest.raises(ValueError, match=f"schedule.events.oops: .*{message}"):
        Schedule({"oops": event})


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"step": 1, "block": "news", "event": "dead"}, "one of market, position, got 'news'"),
        ({"step": 1, "block": "market", "event": "dead", "features": 3}, "market has 2 features"),
    ],
)
def test_an_event_that_does_not_fit_the_data_is_refused(event, message):
    with pytest.raises(ValueError, match=message):
        FeatureStates(Schedule({"oops": event}), GROUPS, SIZES)


def test_a_schedule_needs_blocks_of_features_and_the_main_process():
    schedule = Schedule({"dies": {"step": 1, "block": "market", "event": "dead"}})
    with pytest.raises(ValueError, match="choose data=bars or scenario"):
        PriceDataModule(features="prices", schedule=schedule)
    with pytest.raises(ValueError, match="num_workers must be 0 with a schedule, got 2"):
        PriceDataModule(features="bars", num_workers=2, schedule=schedule)


def test_real_bars_follow_the_schedule_and_the_shared_windows_stay_as_they_are():
    schedule = Schedule({"dies": {"step": 100, "block": "position", "event": "dead"}})
    plain, changed = (
        PriceDataModule(features="bars", context_length=20, schedule=s) for s in (None, schedule)
    )
    for data in (plain, changed):
        data.setup()
    windows = torch.arange(300, 364)
    position = plain.feature_groups["position"]
    before = plain.datasets["train"][windows].x
    assert before[..., position].any()
    changed.step = 99
    assert torch.equal(changed.datasets["train"][windows].x, before)
    changed.step = 100
    after = changed.datasets["train"][windows].x
    assert not after[..., position].any()
    assert torch.equal(after[..., : position.start], before[..., : position.start])
    assert torch.equal(plain.datasets["train"][windows].x, before)
    assert (changed.feature_mean[position] == 0).all()
    assert (changed.feature_std[position] == 1).all()
