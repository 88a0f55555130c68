"""A synthetic sequence task with a known signal, learnable in sixty steps by every net.

Four latent AR(1) series drive every feature; the target is read off their mean over time.
Shapes: B batch, T context_length, F features, N samples, K latents.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

NUM_FEATURES = 129
CONTEXT_LENGTH = 16
NUM_CLASSES = 4
NUM_LATENTS = 4
PERSISTENCE = 0.9


class Batch(NamedTuple):
    """Inputs (B, T, F) or ids (B, T), targets (B, 1) or classes (B,), mask (B, T) or None."""

    x: Tensor
    y: Tensor
    mask: Tensor | None


@dataclass
class Task:
    """A fixed pool of samples, drawn epoch by epoch in shuffled batches.

    Args:
        x: inputs, (N, T, F), standard deviation between 0.5 and 2 per feature.
        y: standardised targets, (N, 1), or class ids, (N,).
        mask: (N, T), True where the step is real; None when every step is.
        batch_size: samples per batch.
        seed: of the order of the samples.
    """

    x: Tensor
    y: Tensor
    mask: Tensor | None
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.seed)
        self._order = torch.empty(0, dtype=torch.long)

    def select(self, rows: Tensor) -> Batch:
        """Gather the samples of these rows into one batch."""
        return Batch(self.x[rows], self.y[rows], None if self.mask is None else self.mask[rows])

    def draw(self) -> Batch:
        """Draw the next batch of the shuffled epoch, starting a new epoch when one is used up."""
        if len(self._order) < self.batch_size:
            self._order = torch.randperm(len(self.x), generator=self._generator)
        rows, self._order = self._order[: self.batch_size], self._order[self.batch_size :]
        return self.select(rows)


def latent_series(samples: int, steps: int, generator: torch.Generator) -> Tensor:
    """Draw unit-variance AR(1) series, (N, T, K)."""
    shocks = torch.randn(samples, steps, NUM_LATENTS, generator=generator)
    series = [shocks[:, 0]]
    for step in range(1, steps):
        series.append(PERSISTENCE * series[-1] + (1 - PERSISTENCE**2) ** 0.5 * shocks[:, step])
    return torch.stack(series, dim=1)


def real_steps(samples: int, steps: int, generator: torch.Generator) -> Tensor:
    """Draw sequence lengths between a quarter and three quarters of T as a mask, (N, T)."""
    lengths = torch.randint(steps // 4, 3 * steps // 4, (samples, 1), generator=generator)
    return torch.arange(steps) < lengths


def make_task(
    seed: int,
    *,
    classify: bool = False,
    padded: bool = False,
    steps: int = CONTEXT_LENGTH,
    samples: int = 1024,
    batch_size: int = 32,
) -> Task:
    """Build the task of one trial.

    Args:
        seed: everything random in the data depends on it alone.
        classify: class ids 0..3 as targets instead of a standardised number.
        padded: sequences of varying length, zero after their end, with a mask.
        steps: T, the context length.
        samples: N, the size of the pool.
        batch_size: B.

    Returns:
        The task; targets follow the mean latent over the real steps, with 10% noise.
    """
    generator = torch.Generator().manual_seed(seed)
    latents = latent_series(samples, steps, generator)
    mask = real_steps(samples, steps, generator) if padded else None
    weights = torch.ones(samples, steps) if mask is None else mask.float()
    summary = (latents * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
    summary = (summary - summary.mean(0)) / summary.std(0)
    if classify:
        y = 2 * (summary[:, 0] > 0).long() + (summary[:, 1] > 0).long()
    else:
        signal = 0.8 * summary[:, :1] - 0.6 * summary[:, 1:2]
        y = signal + 0.1 * torch.randn(samples, 1, generator=generator)
    loadings = torch.randn(NUM_LATENTS, NUM_FEATURES, generator=generator) / NUM_LATENTS**0.5
    noise = 0.5 * torch.randn(samples, steps, NUM_FEATURES, generator=generator)
    scale = 4 ** (torch.rand(NUM_FEATURES, generator=generator) - 0.5)
    x = (latents @ loadings + noise) * scale
    if mask is not None:
        x = x * mask[..., None]
    return Task(x, y, mask, batch_size, seed)
