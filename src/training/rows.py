"""Rows that come a batch at a time, kept in one block of memory."""

from __future__ import annotations

from torch import Tensor


class Rows:
    """Collect rows of numbers batch by batch, and give them back as one tensor.

    A small tensor kept from each batch would lie between the large buffers of the steps: once these
    are freed the next ones fit into none of the gaps, and a test of 150,000 windows held two
    gigabytes of gaps. One block that doubles when it is full leaves none.
    """

    def __init__(self) -> None:
        self._block: Tensor | None = None
        self._count = 0

    def add(self, rows: Tensor) -> None:
        """Add rows (B, ...), all of one width, type and device, by copying them."""
        end = self._count + len(rows)
        if self._block is None or end > len(self._block):
            grown = rows.new_empty((2 * end, *rows.shape[1:]))
            if self._block is not None:
                grown[: self._count] = self._block[: self._count]
            self._block = grown
        self._block[self._count : end] = rows
        self._count = end

    def take(self) -> Tensor:
        """Return all rows in the order in which they came, and begin anew.

        Raises:
            ValueError: if there is none.

        >>> import torch
        >>> rows = Rows()
        >>> rows.add(torch.tensor([1, 2]))
        >>> rows.add(torch.tensor([3]))
        >>> rows.take()
        tensor([1, 2, 3])
        """
        if self._block is None:
            raise ValueError("no rows to take: none was added")
        block, count = self._block, self._count
        self._block, self._count = None, 0
        return block[:count]
