"""Synthetic bars: their truth is what a regression on them finds."""

import numpy as np
import pytest
import torch

from src.data import DataError, ScenarioDataModule
from src.data.scenario import BLOCK_SIZE, SIGNAL_FEATURES, make_scenario
from src.interventions.schedule import Schedule


def ready(**settings):
    data = ScenarioDataModule(**settings)
    data.setup()
    return data


def unexplained(data, columns, bars):
    """Return the mean squared error of least squares on some columns of the latest bars."""
    dataset = data.datasets["train"]
    batch = dataset[torch.arange(len(dataset))]
    x, y = batch.x[:, -bars:, columns].flatten(1).double().numpy(), batch.y.double().numpy()
    solution = np.linalg.lstsq(x, y, rcond=None)[0]
    return float(np.square(x @ solution - y).mean())


def test_bars_look_like_real_ones():
    data = ready()
    assert (data.num_features, data.context_length) == (129, 20)
    assert {name: part.stop - part.start for name, part in data.feature_groups.items()} == {
        "market": 43,
        "indicator": 43,
        "position": 43,
    }
    x = data.datasets["train"].windows[:, -1]
    assert x[:, :43].abs().max() <= 2
    assert int((x == 0).all(0).sum()) == 5
    alive = data.feature_std[(x != 0).any(0)]
    assert ((alive > 0.8) & (alive < 1.2)).all()


def test_the_signal_leaves_exactly_the_noise_floor_and_sits_in_the_last_three_bars():
    data = ready()
    truth = data.truth()
    columns = [data.feature_names.index(name) for name in truth["signal_features"]]
    assert truth["noise_floor"] == truth["reachable_floor"] == 0.2
    assert unexplained(data, columns, bars=3) == pytest.approx(0.2, abs=0.01)
    assert unexplained(data, columns, bars=2) > 0.24
    others = [c for c in range(129) if c not in columns]
    assert unexplained(data, others, bars=1) > 0.95


def test_what_dies_takes_its_share_of_the_signal_with_it():
    schedule = Schedule({"dies": {"step": 5, "block": "indicator", "event": "dead"}})
    data = ready(changes=schedule)
    for step, floor in ((4, 0.2), (5, 0.5), (None, 0.5)):
        schedule.step = step
        assert data.truth()["reachable_floor"] == floor
    columns = [BLOCK_SIZE * block + place for block in (0, 1) for place in SIGNAL_FEATURES]
    assert unexplained(data, columns, bars=3) == pytest.approx(0.5, abs=0.02)


def test_no_bar_shows_its_own_future():
    scenario = make_scenario(2000, 3)
    returns = np.diff(np.log(scenario.table.close))
    values = scenario.features.values.astype(float)
    column = next(iter(scenario.signal_shares))
    same_bar = np.corrcoef(values[1:, column], returns)[0, 1]
    next_bar = np.corrcoef(values[:-1, column], returns)[0, 1]
    assert next_bar > 0.2
    assert abs(same_bar) < 0.1


def test_a_world_is_the_same_for_every_seed_of_a_run():
    one, two, other = ready(seed=0), ready(seed=1), ready(world_seed=1)
    assert torch.equal(one.datasets["val"].windows, two.datasets["val"].windows)
    assert not torch.equal(one.datasets["val"].windows, other.datasets["val"].windows)


def test_too_few_rows_and_bad_numbers_are_refused():
    with pytest.raises(DataError, match="100 rows of prices"):
        ready(rows=100)
    with pytest.raises(ValueError, match="world_seed must be an int of at least 0, got -1"):
        ScenarioDataModule(world_seed=-1)
