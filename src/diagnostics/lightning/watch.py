"""Which parameters are measured with which optimiser, and at which of its steps."""

from typing import Any

import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer


class OptimizerWatch:
    """One optimiser's steps so far, and the parameters measured with it.

    Args:
        is_first: whether it is the first one seen; parameters in no optimiser are measured with it.
    """

    def __init__(self, is_first: bool) -> None:
        self.is_first = is_first
        self._steps = 0
        self._last_key: int | None = None
        self._size = -1
        self._parameters: list[tuple[str, nn.Parameter]] = []

    def count(self, key: int) -> int | None:
        """Count a step.

        Args:
            key: differs from one step of this optimiser to its next.

        Returns:
            This optimiser's steps before; None for a closure evaluated again within one step.
        """
        if key == self._last_key:
            return None
        self._last_key = key
        self._steps += 1
        return self._steps - 1

    def parameters(
        self, trainer: Any, pl_module: nn.Module, optimizer: Optimizer
    ) -> list[tuple[str, nn.Parameter]]:
        """Return the named parameters to measure, found anew when the optimiser gets others."""
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        if size != self._size:
            own, held = _held(optimizer), set[int]().union(*map(_held, trainer.optimizers))
            self._size = size
            self._parameters = [
                (name.replace("_orig_mod.", ""), parameter)
                for name, parameter in pl_module.named_parameters()
                if id(parameter) in own or (self.is_first and id(parameter) not in held)
            ]
        return self._parameters


def _held(optimizer: Optimizer) -> set[int]:
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def flat_shard_group(trainer: Any) -> Any:
    """Return the ranks over which FSDP cuts every parameter into flat shards, None without it."""
    if type(trainer.strategy).__name__ != "FSDPStrategy":
        return None
    groups = [getattr(m, "process_group", None) for m in trainer.strategy.model.modules()]
    return next((group for group in groups if group is not None), dist.group.WORLD)
