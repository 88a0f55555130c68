"""Rows come back whole and in order, from one block of memory however many batches there were."""

import pytest
import torch

from src.training.rows import Rows


def test_rows_come_back_in_order_and_only_once():
    rows = Rows()
    for batch in ([[1, 2]], [[3, 4], [5, 6]], [[7, 8]]):
        rows.add(torch.tensor(batch))
    assert rows.take().tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    rows.add(torch.tensor([9.0]))
    assert rows.take().tolist() == [9.0]
    with pytest.raises(ValueError, match="no rows to take"):
        rows.take()


def test_a_thousand_batches_take_a_dozen_blocks():
    rows, blocks = Rows(), set()
    for _ in range(1000):
        rows.add(torch.ones(8))
        blocks.add(rows._block.data_ptr())
    assert len(blocks) <= 12
    assert rows.take().shape == (8000,)


def test_what_was_added_may_be_written_over():
    rows, batch = Rows(), torch.ones(3)
    rows.add(batch)
    batch.zero_()
    assert rows.take().tolist() == [1, 1, 1]
