"""Windows show the right rows, predict the right row, and copy nothing until gathered."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from src.data.sampler import KeyedBatchSampler
from src.data.windows import WindowDataset


def residual(price, last_price):
    return price - last_price


@pytest.fixture
def integers():
    closes = np.arange(1, 13, dtype=np.float64)
    rows = torch.stack([torch.arange(1.0, 13.0), torch.arange(101.0, 113.0)], dim=1)
    return WindowDataset(rows, closes, context_length=4, first_row=30, to_scaled=residual)


def test_increasing_integers_show_no_off_by_one(integers):
    batch = integers[torch.tensor([0, 7])]
    assert len(integers) == 8
    assert batch.x[:, :, 0].tolist() == [[1, 2, 3, 4], [8, 9, 10, 11]]
    assert batch.x[:, :, 1].tolist() == [[101, 102, 103, 104], [108, 109, 110, 111]]
    assert batch.last_price.tolist() == [[4], [11]]
    assert batch.price.tolist() == [[5], [12]]
    assert batch.y.tolist() == [[1], [1]]
    assert batch.index.tolist() == [34, 41]


def test_a_gathered_batch_equals_a_loop_over_slices():
    rows, closes = torch.randn(50, 3), np.exp(np.random.default_rng(0).normal(size=50))
    dataset = WindowDataset(rows, closes, 7, first_row=0, to_scaled=residual)
    wanted = torch.randperm(len(dataset))[:16]
    batch = dataset[wanted]
    slow = torch.stack([rows[w : w + 7] for w in wanted.tolist()])
    assert torch.equal(batch.x, slow)
    assert torch.allclose(batch.price[:, 0].double(), torch.tensor(closes)[wanted + 7])


def test_windows_share_memory_and_batches_do_not(integers):
    assert integers.windows.untyped_storage().nbytes() == 12 * 2 * 4
    batch = integers[torch.tensor([3, 1])]
    assert all(field.is_contiguous() for field in batch)
    batch.x.zero_()
    assert integers[torch.tensor([3])].x.min() > 0


def test_a_longer_context_takes_no_memory_and_a_window_only_what_is_told_of_it():
    rows, closes = torch.zeros(10_000, 8), np.ones(10_000)
    sizes = []
    for context_length in (4, 400):
        dataset = WindowDataset(rows, closes, context_length, first_row=0, to_scaled=residual)
        assert dataset.windows.data_ptr() == dataset.rows.data_ptr() == rows.data_ptr()
        tensors = [value for value in vars(dataset).values() if isinstance(value, torch.Tensor)]
        held = {part.untyped_storage().data_ptr(): part.untyped_storage() for part in tensors}
        sizes.append(sum(storage.nbytes() for storage in held.values()) - rows.nbytes)
    # Its row in 8 bytes; target, last price and price in 4 each; the number of the only series.
    assert sizes == [20 * (10_000 - 4) + 8, 20 * (10_000 - 400) + 8]


def test_an_int_gives_a_batch_of_one(integers):
    assert integers[2].x.shape == (1, 4, 2)


def test_a_transform_sees_the_gathered_windows():
    rows = torch.arange(6.0)[:, None]
    dataset = WindowDataset(rows, np.arange(1.0, 7.0), 2, 0, residual, transform=lambda x: x * 10)
    assert dataset[torch.tensor([1])].x.flatten().tolist() == [10, 20]


def test_a_loader_yields_whole_batches_in_the_order_of_the_sampler(integers):
    sampler = KeyedBatchSampler(len(integers), batch_size=3, seed=0, shuffle=False)
    loader = DataLoader(integers, sampler=sampler, batch_size=None)
    assert len(loader) == 3
    assert [batch.index.tolist() for batch in loader] == [[34, 35, 36], [37, 38, 39], [40, 41]]


def test_workers_yield_the_same_batches_as_the_main_process(integers):
    sampler = KeyedBatchSampler(len(integers), batch_size=3, seed=0, shuffle=True)
    loaders = [
        DataLoader(integers, sampler=sampler, batch_size=None, num_workers=workers)
        for workers in (0, 1)
    ]
    first, second = ([batch.index.tolist() for batch in loader] for loader in loaders)
    assert first == second
