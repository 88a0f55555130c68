"""How many threads a run computes with, and what it gives back before its steps."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from src.runs.process import few_threads, keep_freed_memory


@pytest.fixture
def two_threads(monkeypatch):
    """A process with two threads, of whose number its user said nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    torch.set_num_threads(before)


def threads_inside(module):
    with few_threads(module):
        return torch.get_num_threads()


@pytest.mark.parametrize(
    ("module", "threads"),
    [
        (nn.Sequential(nn.LSTM(1, 256), nn.Linear(256, 1)), 1),
        (nn.GRU(1, 50), 1),
        (nn.LSTM(1, 257), 2),
        (nn.Sequential(nn.GRU(1, 8), nn.RNN(8, 300)), 2),
        (nn.Linear(1, 1), 2),
    ],
)
def test_small_recurrent_layers_get_one_thread_and_others_all(two_threads, module, threads):
    assert threads_inside(module) == threads
    assert torch.get_num_threads() == 2  # as before, for what comes next in the process


def test_a_number_that_was_asked_for_stays(two_threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_inside(nn.LSTM(1, 8)) == 2


def test_the_threads_come_back_when_a_run_fails(two_threads):
    with pytest.raises(ValueError, match="it failed"), few_threads(nn.LSTM(1, 8)):
        raise ValueError("it failed")
    assert torch.get_num_threads() == 2


def megabytes_held():
    return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1e3


def test_what_was_freed_before_the_steps_is_given_back():
    # Every hundredth block stays: the gaps between them are no end that glibc would give back.
    blocks = [b"x" * size for size in [20_000] * 5000]
    kept = blocks[::100]
    before = megabytes_held() if keep_freed_memory() else None
    del blocks
    if before is not None:
        keep_freed_memory()
        assert before - megabytes_held() > 90
    assert len(kept) == 50
