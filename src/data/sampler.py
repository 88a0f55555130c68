"""The order of batches: a pure function of seed and epoch, the same on every machine and resume."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data.distributed import DistributedSampler


class KeyedBatchSampler(DistributedSampler):
    """Yield whole batches of window numbers, shuffled by (seed, epoch).

    Use it as `DataLoader(dataset, sampler=sampler, batch_size=None)`. In each step all ranks
    together visit one global batch of `world_size * batch_size` windows, each its share of it: all
    take equally many steps, and no window comes twice unless the last global batch has fewer than
    one for each rank. It is a `DistributedSampler` so that Lightning neither replaces nor wraps it
    under DDP, and calls `set_epoch`.

    Args:
        num_samples: Number of windows.
        batch_size: Windows in a batch of one rank.
        seed: Any int from 0.
        shuffle: Shuffle anew in each epoch; otherwise keep the order of time.
        drop_last: Leave out a last global batch that is not full.
        rank: This process, from 0.
        world_size: Number of processes.

    Raises:
        ValueError: If a size is below 1, the rank is not in range, or no batch is left.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        seed: int,
        shuffle: bool,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        super().__init__(
            range(num_samples),  # type: ignore[arg-type]  # only its length is used
            num_replicas=world_size,
            rank=rank,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
        )
        self.total = num_samples
        self._start = (0, 0)
        self.global_batch_size = batch_size * world_size
        if len(self) == 0:
            raise ValueError(
                f"batch_size must leave a full batch with drop_last, got {batch_size} times "
                f"{world_size} ranks for {num_samples} windows"
            )

    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same on each rank."""
        full, rest = divmod(self.total, self.global_batch_size)
        return full + int(rest > 0 and not self.drop_last)

    def start_at(self, epoch: int, batch: int) -> None:
        """Let the next iteration begin at a batch, from 0, if it is one of the given epoch."""
        self.set_epoch(epoch)
        self._start = epoch, batch

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the batches of the current epoch, int64 tensors (B,)."""
        (epoch, batch), self._start = self._start, (0, 0)
        first = batch if epoch == self.epoch else 0
        order = self._order()
        short = self.num_replicas - self.total % self.global_batch_size
        if not self.drop_last and 0 < short < self.num_replicas:
            # The last global batch has fewer windows than ranks: begin again, so that each has one.
            order = torch.cat([order, order.repeat(self.num_replicas)[:short]])
        for global_batch in order.split(self.global_batch_size)[first : len(self)]:
            yield global_batch.tensor_split(self.num_replicas)[self.rank]

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.total)
        return torch.from_numpy(
            np.random.default_rng((self.seed, self.epoch)).permutation(self.total)
        )
