"""Series that need memory: the target is where the task says, and nowhere else."""

import numpy as np
import pytest
import torch

from src.data import MemoryTaskDataModule


def batch_of(**settings):
    data = MemoryTaskDataModule(rows=600, batch_size=4, **settings)
    data.setup()
    dataset = data.datasets["train"]
    return data, dataset[torch.arange(len(dataset))]


def correlation(x, y):
    return float(np.corrcoef(x.double().numpy(), y.double().numpy().ravel())[0, 1])


def test_recall_asks_for_the_first_value_of_the_window():
    data, batch = batch_of(context_length=6)
    assert batch.x.shape[1:] == (6, 1)
    places = [correlation(batch.x[:, step, 0], batch.y) for step in range(6)]
    assert places[0] == pytest.approx(1.0, abs=1e-6)
    assert max(map(abs, places[1:])) < 0.2
    assert data.truth() == {
        "noise_floor": 0.0,
        "reachable_floor": 0.0,
        "signal_features": ["value"],
    }


def test_adding_asks_for_the_sum_of_the_latest_two_marked_values():
    _, batch = batch_of(task="adding", context_length=20)
    value, mark = batch.x[..., 0], batch.x[..., 1]
    sums = torch.stack([v[m > 0][-2:].sum() for v, m in zip(value, mark, strict=True)])
    assert int((mark > 0).sum(1).min()) >= 2
    assert correlation(sums, batch.y) == pytest.approx(1.0, abs=1e-6)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="task must be one of recall, adding, got 'copy'"):
        MemoryTaskDataModule(task="copy")
