"""The order of batches depends on seed and epoch alone, and ranks share it evenly."""

from itertools import chain

import pytest
import torch
from torch.utils.data.distributed import DistributedSampler

from src.data.sampler import KeyedBatchSampler


def batches(*args, epoch=0, **kwargs):
    sampler = KeyedBatchSampler(*args, **kwargs)
    sampler.set_epoch(epoch)
    found = [batch.tolist() for batch in sampler]
    assert len(found) == len(sampler)
    return found


def test_without_shuffling_batches_follow_time():
    assert batches(7, 3, 0, False) == [[0, 1, 2], [3, 4, 5], [6]]
    assert batches(7, 3, 0, False, drop_last=True) == [[0, 1, 2], [3, 4, 5]]
    assert batches(6, 3, 0, False) == [[0, 1, 2], [3, 4, 5]]


def test_an_epoch_visits_every_window_once():
    assert sorted(chain(*batches(101, 8, 3, True, epoch=5))) == list(range(101))


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {
        (seed, epoch): batches(50, 8, seed, True, epoch=epoch)
        for seed in range(4)
        for epoch in range(4)
    }
    for (seed, epoch), order in orders.items():
        assert batches(50, 8, seed, True, epoch=epoch) == order
    assert len({str(order) for order in orders.values()}) == 16  # seed 1, epoch 0 is not 0 and 1


def test_the_order_ignores_global_random_state():
    torch.manual_seed(0)
    first = batches(50, 8, 0, True)
    torch.manual_seed(1)
    assert batches(50, 8, 0, True) == first


@pytest.mark.parametrize("num_samples", [5, 6, 16, 17, 19, 24])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_take_equally_many_batches_and_miss_nothing(num_samples, world_size):
    ranks = [
        batches(num_samples, 4, 0, True, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(rank) for rank in ranks}) == 1
    assert all(batch for rank in ranks for batch in rank)
    visited = [window for rank in ranks for batch in rank for window in batch]
    assert set(visited) == set(range(num_samples))
    assert len(visited) - num_samples < world_size  # repeats only what fills a last step


def test_ranks_together_visit_the_global_batches_of_one_process():
    together = batches(40, 8, 1, True)
    first, second = (batches(40, 4, 1, True, rank=rank, world_size=2) for rank in range(2))
    assert [a + b for a, b in zip(first, second, strict=True)] == together


def test_more_ranks_than_windows_repeat_windows():
    assert [batches(2, 4, 0, False, rank=rank, world_size=5)[0] for rank in range(5)] == [
        *([0], [1], [0], [1], [0]),
    ]


def test_lightning_takes_it_for_a_distributed_sampler():
    assert isinstance(KeyedBatchSampler(4, 2, 0, True), DistributedSampler)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((0, 1, 0, True), "num_samples must be at least 1, got 0"),
        ((5, 0, 0, True), "batch_size must be at least 1, got 0"),
        ((5, 2, -1, True), "seed must be at least 0, got -1"),
        ((5, 9, 0, True, True), "batch_size must leave a full batch with drop_last, got 9"),
        ((5, 2, 0, True, False, 2, 2), "Invalid rank 2"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_value(args, message):
    with pytest.raises(ValueError, match=message):
        KeyedBatchSampler(*args)


def test_an_epoch_may_begin_at_a_later_batch_and_the_next_one_at_its_first():
    whole = KeyedBatchSampler(10, 3, seed=0, shuffle=True)
    whole.set_epoch(4)
    expected = [batch.tolist() for batch in whole]
    sampler = KeyedBatchSampler(10, 3, seed=0, shuffle=True)
    sampler.start_at(4, 2)
    assert [batch.tolist() for batch in sampler] == expected[2:]
    assert [batch.tolist() for batch in sampler] == expected
    assert len(sampler) == 4
    sampler.start_at(3, 2)  # of which no batch is ever asked for
    sampler.set_epoch(4)
    assert [batch.tolist() for batch in sampler] == expected
