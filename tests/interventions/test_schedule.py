"""What a schedule makes of features and units, by hand and inside a data module."""

import copy

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from src.data import PriceDataModule
from src.interventions.schedule import Schedule, feature_sizes

GROUPS = {"market": slice(0, 2), "position": slice(2, 5)}
ROWS = torch.tensor([[1.0, 2.0, 1.0, 4.0, 0.0]])
X = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 0.0]]])


def shown(events, step, scale=1.0, x_btf=X):
    schedule = Schedule(events, scale)
    schedule.prepare(ROWS, GROUPS)
    schedule.step = step
    return schedule(x_btf).flatten().tolist()


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
    assert shown(events, 1, x_btf=7 * X)[:2] == [1, 2]


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
        Schedule({"oops": event}).prepare(ROWS, GROUPS)


def test_a_schedule_needs_blocks_of_features_and_the_main_process():
    schedule = Schedule({"dies": {"step": 1, "block": "market", "event": "dead"}})
    with pytest.raises(ValueError, match="choose data=bars or scenario"):
        PriceDataModule(features="prices", changes=schedule)
    with pytest.raises(ValueError, match="num_workers must be 0 with a schedule, got 2"):
        PriceDataModule(features="bars", num_workers=2, changes=schedule)


def test_real_bars_follow_the_schedule_and_the_shared_windows_stay_as_they_are():
    schedule = Schedule({"dies": {"step": 100, "block": "position", "event": "dead"}})
    plain, changed = (
        PriceDataModule(features="bars", context_length=20, changes=s) for s in (None, schedule)
    )
    for data in (plain, changed):
        data.setup()
    windows = torch.arange(300, 364)
    position = plain.feature_groups["position"]
    before = plain.datasets["train"][windows].x
    assert before[..., position].any()
    schedule.step = 99
    assert torch.equal(changed.datasets["train"][windows].x, before)
    schedule.step = 100
    after = changed.datasets["train"][windows].x
    assert not after[..., position].any()
    assert torch.equal(after[..., : position.start], before[..., : position.start])
    assert torch.equal(plain.datasets["train"][windows].x, before)
    assert (changed.feature_mean[position] == 0).all()
    assert (changed.feature_std[position] == 1).all()


class Net(pl.LightningModule):
    """Two layers, which note at which step of a schedule they saw each batch."""

    def __init__(self, schedule=None):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.head = nn.Linear(4, 1)
        self.schedule, self.seen = schedule, []

    def forward(self, x):
        return self.head(self.first(x))

    def training_step(self, batch, batch_idx):
        self.seen.append(("train", self.schedule.step, self.trainer.global_step))
        return self(batch).sum()

    def validation_step(self, batch, batch_idx):
        self.seen.append(("val", self.schedule.step, self.trainer.global_step))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def dying(*deaths, layer="first"):
    return Schedule(
        {
            f"death_{step}": {"step": step, "block": layer, "event": "units_die", "share": share}
            for step, share in deaths
        }
    )


@pytest.mark.parametrize(("step", "dead"), [(9, 0), (10, 1), (19, 1), (20, 2), (None, 2)])
def test_rows_of_dead_units_get_no_gradient_from_their_step_on(step, dead):
    net, schedule = Net(), dying((10, 0.25), (20, 0.5))
    schedule.attach(net)
    schedule.step = step
    net(torch.randn(8, 3)).sum().backward()
    zero_rows = (net.first.weight.grad == 0).all(1)
    assert zero_rows.tolist() == [True] * dead + [False] * (4 - dead)


def test_the_state_dict_knows_nothing_of_units_that_die():
    net, plain = Net(), Net()
    dying((1, 0.5)).attach(net)
    assert net.state_dict().keys() == plain.state_dict().keys()


def test_a_copied_model_keeps_its_dead_units():
    net, schedule = Net(), dying((1, 0.5))
    schedule.attach(net)
    x = torch.randn(2, 3)
    assert torch.equal(copy.deepcopy(net)(x), net(x))


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="got 'second', which ends 0"):
        dying((1, 0.5), layer="second").attach(Net())


def test_the_step_is_that_of_the_trainer_in_training_and_in_validation(tmp_path):
    shown, schedule = [], dying((1, 0.5))

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            shown.append(schedule.step)
            return torch.randn(3)

    net = Net(schedule)
    trainer = pl.Trainer(
        max_epochs=2,
        val_check_interval=2,
        num_sanity_val_steps=1,
        accumulate_grad_batches=2,
        callbacks=[schedule],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(net, DataLoader(Rows()), DataLoader(Rows()))
    assert all(mine == trainers for _, mine, trainers in net.seen)
    assert [step for stage, step, _ in net.seen if stage == "train"] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert shown == [step for _, step, _ in net.seen]
    assert schedule.step == 4
