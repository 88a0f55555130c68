"""What only the training loop knows, handed to `diagnose` as plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """Facts about the loop around the model; every one of them may be unknown (None).

    Args:
        clip_norm: Largest gradient norm the clipping lets through (same unit as the gradient).
        clip_value: Largest gradient entry the clipping lets through.
        precision: As the Trainer spells it: `32-true`, `16-mixed`, `bf16-mixed`, ...
        loss_scale: Current scale of the gradient scaler.
        loss_scales: Scales of the last steps, oldest first.
        losses: Training losses of the last steps, oldest first.
        grad_norms: Gradient norms of the last steps before clipping, oldest first.
        accumulate_grad_batches: Batches whose gradients one step adds up on purpose.
        step: Optimiser steps taken so far.
        base_lr: The rate a schedule works towards, when the current one is part of a warm-up.
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    precision: str | None = None
    loss_scale: float | None = None
    loss_scales: Sequence[float] | None = None
    losses: Sequence[float] | None = None
    grad_norms: Sequence[float] | None = None
    accumulate_grad_batches: int | None = None
    step: int | None = None
    base_lr: float | None = None
