"""For tests: a model whose gradients are ill fails, and the message says why."""

from collections.abc import Collection, Iterable
from typing import Any

from torch import nn

from .arguments import Optimizers
from .diagnose import diagnose
from .symptoms.replay import LossFunction


def assert_healthy(
    model: nn.Module,
    batches: Iterable[Any],
    loss_fn: LossFunction,
    optimizer: Optimizers = None,
    *,
    known: Collection[str] = (),
    **options: Any,
) -> None:
    """Raise unless a model has nothing to repair.

    Args:
        model: Any module, in the mode it is to be judged in; left as found.
        batches: A few batches of any make.
        loss_fn: (model, batch) -> scalar loss.
        optimizer: The optimiser or optimisers.
        known: Identifiers (`cause@place`) of findings to put up with.
        **options: As `diagnose` takes them.

    Raises:
        AssertionError: With each finding, its place and its remedy.

    >>> import torch
    >>> x = torch.cat([torch.randn(32, 2), torch.zeros(32, 1)], dim=1)
    >>> loss_fn = lambda model, batch: nn.functional.mse_loss(model(batch), torch.randn(32, 1))
    >>> assert_healthy(nn.Linear(3, 1), [x], loss_fn, known=["dead_input@weight"])
    """
    if isinstance(known, str):
        known = [known]
    diagnosis = diagnose(model, batches, loss_fn, optimizer, **options)
    told = [f"{f.sentence}. {f.remedy} [{f.id}]" for f in diagnosis.alarms if f.id not in known]
    if told:
        raise AssertionError("\n".join(told))
