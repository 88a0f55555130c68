"""What our callbacks are built of: their base class, when they act, what they remember.

`lightning.pytorch` and `pytorch_lightning` hold the same code under two names and do not know each
other's classes. A class that derives from the Callback of each that is installed is at home in both
Trainers.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from ..symptoms.replay import held_by

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:
    _packages = [name for name in ("lightning", "pytorch_lightning") if find_spec(name)]
    if not _packages:
        raise ImportError("callbacks need Lightning: pip install lightning")
    _modules = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}
    Callback = type(
        "Callback", tuple(import_module(_modules[name]).Callback for name in _packages), {}
    )


class History:
    """Keep records at even distances; when there are too many, go on with every second one.

    Args:
        most: records kept at most, at least 2.

    Attributes:
        records: what was kept, oldest first.

    >>> history = History(most=3)
    >>> for step in range(6):
    ...     history.add({"step": step})
    >>> [record["step"] for record in history.records]
    [0, 2, 4]
    """

    def __init__(self, most: int = 256) -> None:
        self.most = most
        self.records: list[dict[str, Any]] = []
        self._stride, self._offered = 1, 0

    def add(self, record: dict[str, Any]) -> None:
        """Offer a record."""
        is_kept = self._offered % self._stride == 0
        self._offered += 1
        if is_kept:
            self.records.append(record)
        if len(self.records) > self.most:
            del self.records[1::2]
            self._stride *= 2


class OptimizerSteps:
    """One optimiser's steps so far, and the parameters measured with it.

    Args:
        is_first: whether it is the first one seen; parameters in no optimiser are measured with it.
        before: steps it made before this fit, which goes on from a checkpoint.

    Attributes:
        before: steps made so far.
    """

    def __init__(self, is_first: bool, before: int = 0) -> None:
        self.is_first = is_first
        self.before = before
        self._last_key: int | None = None
        self._size = -1
        self._parameters: list[tuple[str, nn.Parameter]] = []

    def is_due(self, key: int, every: int) -> bool:
        """Count a step, and return whether it is the first or an n-th after it.

        Args:
            key: differs from one step of this optimiser to its next; a closure that is evaluated
                again within one step is neither counted nor due.
            every: n.
        """
        if key == self._last_key:
            return False
        self._last_key = key
        self.before += 1
        return (self.before - 1) % every == 0

    def parameters(
        self, trainer: Any, pl_module: nn.Module, optimizer: Optimizer
    ) -> list[tuple[str, nn.Parameter]]:
        """Return the named parameters to measure, found anew when the optimiser gets others."""
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        if size != self._size:
            own, held = held_by(optimizer), held_by(*trainer.optimizers)
            self._size = size
            self._parameters = [
                (name.replace("_orig_mod.", ""), parameter)
                for name, parameter in pl_module.named_parameters()
                if parameter in own or (self.is_first and parameter not in held)
            ]
        return self._parameters


def flat_shard_group(trainer: Any) -> Any:
    """Return the ranks over which FSDP cuts every parameter into flat shards, None without it."""
    if type(trainer.strategy).__name__ != "FSDPStrategy":
        return None
    groups = [getattr(m, "process_group", None) for m in trainer.strategy.model.modules()]
    return next((group for group in groups if group is not None), dist.group.WORLD)
