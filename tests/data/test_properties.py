"""Windows, splits, scalings and samplers against slow and obvious twins, on data of any shape."""

import math
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.data.sampler import KeyedBatchSampler
from src.data.scaling import SCALERS, fit_affine, fit_input_scaling
from src.data.split import chronological_split, rows_needed
from src.data.targets import fit_target_scaling
from src.data.windows import WindowDataset

quick = settings(max_examples=25, deadline=None, derandomize=True)
lengths = st.integers(1, 8)
prices = st.floats(1e-3, 1e6)


def closes_of(count, seed):
    return np.exp(np.random.default_rng(seed).normal(4, 0.3, count))


def dataset_of(rows, length, features, first_row, seed):
    closes = closes_of(rows, seed)
    values = torch.randn(rows, features, generator=torch.Generator().manual_seed(seed))
    return (
        closes,
        values,
        WindowDataset(values, closes, length, first_row, lambda p, last: p - last),
    )


@quick
@given(length=lengths, more=st.integers(1, 12), features=st.integers(1, 3), first=st.integers(0, 9))
def test_a_window_is_the_rows_before_the_price_it_predicts(length, more, features, first):
    closes, values, dataset = dataset_of(length + more, length, features, first, seed=more)
    batch = dataset[torch.arange(len(dataset))]
    expected = [
        (values[row - length : row], closes[row] - closes[row - 1], closes[row - 1], closes[row])
        for row in range(length, length + more)
    ]
    assert len(dataset) == more
    for number, (window, target, last, price) in enumerate(expected):
        assert torch.equal(batch.x[number], window)
        assert batch.y[number].item() == pytest.approx(target, rel=1e-5, abs=1e-4)
        assert batch.last_price[number].item() == pytest.approx(last, rel=1e-6)
        assert batch.price[number].item() == pytest.approx(price, rel=1e-6)
    assert batch.index.tolist() == list(range(first + length, first + length + more))


@quick
@given(picked=st.lists(st.integers(0, 9), min_size=1, max_size=6), length=lengths)
def test_gathering_windows_one_by_one_or_together_is_the_same(picked, length):
    _, _, dataset = dataset_of(length + 10, length, 2, 0, seed=0)
    together = dataset[torch.tensor(picked)]
    for number, one in enumerate(picked):
        alone = dataset[one]
        assert all(torch.equal(a[0], b[number]) for a, b in zip(alone, together, strict=True))


shares = st.tuples(*[st.floats(0.05, 1.0)] * 3).map(lambda s: tuple(v / sum(s) for v in s))


@quick
@given(fractions=shares, first=st.integers(0, 50), count=st.integers(0, 400))
def test_a_split_follows_time_and_loses_no_row(fractions, first, count):
    parts = chronological_split(first, first + count, fractions)
    assert list(chain(*parts.values())) == list(range(first, first + count))
    for share, part in zip(fractions, parts.values(), strict=True):
        assert abs(len(part) - share * count) <= 1


@quick
@given(fractions=shares, length=st.integers(1, 40))
def test_the_rows_needed_are_the_fewest_that_give_each_split_a_window(fractions, length):
    def suffice(rows):
        return all(len(p) > length for p in chronological_split(0, rows, fractions).values())

    needed = rows_needed(fractions, length)
    assert suffice(needed)
    assert not suffice(needed - 1)


@quick
@given(values=st.lists(prices, min_size=1, max_size=20), scaler=st.sampled_from(SCALERS))
def test_a_scaler_does_what_its_name_says_and_can_be_undone(values, scaler):
    x = np.array(values)
    offset, scale = fit_affine(x, scaler)
    scaled = (x - offset) / scale
    np.testing.assert_allclose(scaled * scale + offset, x, rtol=1e-9)
    if scaler == "minmax":
        assert scaled.min() == 0.0
        assert scaled.max() == pytest.approx(1.0 if x.max() > x.min() else 0.0)
    if scaler == "standard" and x.std() > 1e-9 * x.mean():
        assert abs(scaled.mean()) < 1e-6
        assert scaled.std() == pytest.approx(1.0)


@quick
@given(length=st.integers(2, 9), more=st.integers(1, 12), seed=st.integers(0, 99))
def test_relative_inputs_are_divided_by_their_own_size_window_by_window(length, more, seed):
    closes = closes_of(length + more, seed)
    squares = [
        math.log(closes[start + day] / closes[start + length - 1]) ** 2
        for start in range(more)
        for day in range(length)
    ]
    scaling = fit_input_scaling(closes, length, "relative", "none")
    assert scaling.scale == pytest.approx(math.sqrt(sum(squares) / len(squares)))
    window = torch.tensor(closes[:length], dtype=torch.float32)[None, :, None]
    expected = np.log(closes[:length] / closes[length - 1]) / scaling.scale
    np.testing.assert_allclose(scaling(window)[0, :, 0].numpy(), expected, rtol=1e-3, atol=1e-4)


@quick
@given(
    kind=st.sampled_from(["log_return", "residual", "price"]),
    seed=st.integers(0, 99),
    last=st.floats(1.0, 1e4),
    move=st.floats(-0.5, 0.5),
)
def test_a_scaled_target_gives_its_price_back(kind, seed, last, move):
    scaling = fit_target_scaling(closes_of(60, seed), 5, kind, "standard")
    price, before = (
        torch.tensor([[last * math.exp(move)]]).double(),
        torch.tensor([[last]]).double(),
    )
    scaled = scaling.to_scaled(price, before)
    assert scaling.to_price(scaled, before).item() == pytest.approx(price.item(), rel=1e-6)


@quick
@given(
    windows=st.integers(1, 60),
    size=st.integers(1, 9),
    ranks=st.integers(1, 4),
    epoch=st.integers(0, 3),
    shuffle=st.booleans(),
)
def test_ranks_together_visit_each_window_once_an_epoch(windows, size, ranks, epoch, shuffle):
    seen = []
    for rank in range(ranks):
        sampler = KeyedBatchSampler(windows, size, 7, shuffle, rank=rank, world_size=ranks)
        sampler.set_epoch(epoch)
        seen.append([batch.tolist() for batch in sampler])
        assert len(seen[-1]) == len(sampler) == math.ceil(windows / (size * ranks))
        assert all(1 <= len(batch) <= size for batch in seen[-1])
    visited = list(chain(*chain(*seen)))
    assert set(visited) == set(range(windows))
    assert len(visited) - windows < ranks, "twice only where a rank would be left without"


@quick
@given(windows=st.integers(8, 60), size=st.integers(1, 8), batch=st.integers(0, 4))
def test_an_epoch_that_goes_on_is_the_rest_of_the_whole(windows, size, batch):
    def sampler():
        found = KeyedBatchSampler(windows, size, 3, True)
        found.set_epoch(2)
        return found

    resumed = sampler()
    resumed.start_at(2, batch)
    whole = [one.tolist() for one in sampler()]
    assert [one.tolist() for one in resumed] == whole[batch:]
