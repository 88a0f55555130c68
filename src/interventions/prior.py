"""What pulls pooling weights towards the latest steps: targets, penalties, and the prior of a run.

A penalty is part of the loss and works on the weights, whatever pooling made them. What changes the
pooling's logits directly is a step of the optimisation and is carried out by callbacks, which the
prior only builds and hands out.

The arithmetic that explains most of what a run shows: through a softmax, the gradient of
KL(target || weights) by the logits is `weights - target`. Adam divides it by its own size, so
where the task pulls little, a KL weight of 0.5 moves the logits exactly as fast as one of 0.1: the
learning rate sets the pace.
"""

import math
from collections.abc import Callable, Sequence

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from src.models.pooling import Pooling
from src.models.precision import at_least_float32

# B batch, T time steps. Weights over time are (T,), shared by all samples, or (B, T), one row each.

Target = Callable[..., Tensor]
StepFactory = Callable[[Target], Callback]


def recent_target(
    context_length: int,
    recent_steps: int = 3,
    recent_mass: float = 0.6,
    device: torch.device | None = None,
) -> Tensor:
    """Return weights that share one mass over the latest steps and the rest over all others.

    Args:
        context_length: T, in steps.
        recent_steps: how many of the latest steps share `recent_mass`, at least 1 and fewer than T.
        recent_mass: their total weight, in (0, 1).
        device: where the result lives; None for the default device.

    Returns:
        Target weights (T,), float32, summing to 1.

    Raises:
        ValueError: if an option is out of its range.

    >>> recent_target(5, recent_steps=2, recent_mass=0.7)
    tensor([0.1000, 0.1000, 0.1000, 0.3500, 0.3500])
    """
    if not 1 <= recent_steps < context_length:
        raise ValueError(
            f"recent_steps must be in [1, {context_length - 1}] "
            f"for a context_length of {context_length}, got {recent_steps}"
        )
    if not 0 < recent_mass < 1:
        raise ValueError(f"recent_mass must be in (0, 1), got {recent_mass}")
    other_weight = (1 - recent_mass) / (context_length - recent_steps)
    target = torch.full((context_length,), other_weight, device=device)
    target[-recent_steps:] = recent_mass / recent_steps
    return target


def kl_to_target(weights: Tensor, target: Tensor) -> Tensor:
    """Return KL(target || weights) in nats, averaged over the batch.

    A weight of exactly 0, as a masked step has, counts as the smallest normal number: the result
    stays finite and that step gets no gradient.

    Args:
        weights: (T,) or (B, T), each row summing to 1.
        target: (T,), summing to 1.

    Returns:
        A scalar of at least 0, in float32 or wider.

    Source: Kullback & Leibler (1951), "On Information and Sufficiency", eq. 2.4.

    >>> kl_to_target(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]))
    tensor(0.1308)
    """
    return (torch.xlogy(target, target) - target * _safe_log(weights)).sum(-1).mean()


def entropy_gap(weights: Tensor) -> Tensor:
    """Return how far the weights' entropy is below that of uniform ones, averaged over the batch.

    It is log T - H(weights) = KL(weights || uniform): 0 for uniform weights, log T when one step
    has everything. Minimising it therefore works against collapse onto one step.

    Args:
        weights: (T,) or (B, T), each row summing to 1.

    Returns:
        A scalar in [0, log T], nats, in float32 or wider.

    Source: Pereyra et al. (2017), "Regularizing Neural Networks by Penalizing Confident Output
    Distributions", section 3.

    >>> entropy_gap(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))  # the mean of 0 and log 2
    tensor(0.3466)
    """
    log_ratio = _safe_log(weights) + math.log(weights.shape[-1])
    return (at_least_float32(weights) * log_ratio).sum(-1).mean()


class PoolingPrior:
    """Penalise pooling weights, and build the steps that change the pooling's logits directly.

    Args:
        recent_steps: how many of the latest steps the target favours.
        recent_mass: the total weight the target gives them, in (0, 1).
        kl_weight: factor of KL(target || weights) in the loss, at least 0.
        entropy_weight: factor of the entropy gap in the loss, at least 0; more means more uniform.
        injection: makes the callback that adds to the logits' gradient; None for none.
        update: makes the callback that moves the logits themselves; None for none.

    Raises:
        ValueError: if a weight is negative or not finite, or the target is out of its range.
    """

    def __init__(
        self,
        recent_steps: int = 3,
        recent_mass: float = 0.6,
        kl_weight: float = 0.0,
        entropy_weight: float = 0.0,
        injection: StepFactory | None = None,
        update: StepFactory | None = None,
    ) -> None:
        for name, weight in (("kl_weight", kl_weight), ("entropy_weight", entropy_weight)):
            if not 0 <= weight < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite, got {weight}")
        recent_target(recent_steps + 1, recent_steps, recent_mass)
        self.recent_steps = recent_steps
        self.recent_mass = recent_mass
        self.kl_weight = kl_weight
        self.entropy_weight = entropy_weight
        self._callbacks = [make(self.target) for make in (injection, update) if make is not None]

    def target(self, context_length: int, device: torch.device | None = None) -> Tensor:
        """Return the target weights (T,) for windows of `context_length` steps."""
        return recent_target(context_length, self.recent_steps, self.recent_mass, device)

    def loss(self, weights: Tensor | None) -> Tensor:
        """Return the penalty of pooling weights.

        Args:
            weights: (T,) or (B, T), each row summing to 1; None where the model has no pooling.

        Returns:
            A scalar, 0 if nothing is penalised.
        """
        if weights is None:
            return torch.zeros(())
        loss = at_least_float32(weights).new_zeros(())
        if self.kl_weight:
            target = self.target(weights.shape[-1], device=weights.device)
            loss = loss + self.kl_weight * kl_to_target(weights, target)
        if self.entropy_weight:
            loss = loss + self.entropy_weight * entropy_gap(weights)
        return loss

    def callbacks(self) -> Sequence[Callback]:
        """Return the callbacks that change the logits, to be placed after those that measure."""
        return tuple(self._callbacks)

    def check(self, pooling: Pooling | None) -> None:
        """Refuse a pooling that this prior can do nothing with.

        Args:
            pooling: what makes the weights; None where the model has no pooling.

        Raises:
            ValueError: naming the pooling and those that work, or an option out of range for its T.
        """
        name = "no pooling" if pooling is None else type(pooling).__name__
        logits = getattr(pooling, "logits", None)
        if self._callbacks and not (isinstance(logits, nn.Parameter) and logits.requires_grad):
            raise ValueError(
                "this pooling_prior changes trained logits over time, which the model lacks, "
                f"got {name}: choose pooling=learnable or gated"
            )
        if pooling is None or not any(p.requires_grad for p in pooling.parameters()):
            if self.kl_weight or self.entropy_weight:
                raise ValueError(
                    "this pooling_prior penalises trained weights over time, which the model "
                    f"lacks, got {name}: choose one that has, as pooling=learnable or attention"
                )
        elif self._callbacks or self.kl_weight:
            self.target(pooling.context_length)


def _safe_log(weights: Tensor) -> Tensor:
    weights = at_least_float32(weights)
    return weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
