"""A stand-in for a LightningModule on which a batch can be replayed without leaving a trace.

The stand-in is a copy of everything but the weights: it has its own buffers, metrics, counters
and lists, and parameters that share the original's values but not its gradients or autograd hooks.
It logs nowhere and steps no optimiser.
"""

import contextlib
import copy
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from ..isolation import copyable, untouched
from ..symptoms.replay import held_by

COMPILED_METHODS = ("forward", "training_step", "validation_step", "test_step", "predict_step")


class StandIn:
    """Replay training batches of a LightningModule on a stand-in.

    Args:
        trainer: the Trainer that trains the module.
        pl_module: the module; it is read and not changed.

    Attributes:
        module: the stand-in. Deep copies of it can be replayed just as well.
        optimizers: stand-ins for the optimisers, whose steps do nothing. Deep copies do step.
    """

    def __init__(self, trainer: Any, pl_module: nn.Module) -> None:
        self._trainer = trainer
        # Under a scaler a gradient may still carry its scale, and would look like a larger one.
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        self._aliases = {p: _alias(p, not scaled) for p in pl_module.parameters()}
        self._shared = _shared_with_copy(trainer, pl_module)
        memo = (
            copyable(pl_module)
            | self._shared
            | {id(p): alias for p, alias in self._aliases.items()}
        )
        self.module: Any = copy.deepcopy(pl_module, memo)
        _uncompile(self.module)
        self._pending: list[Tensor] = []
        self._losses: list[tuple[Tensor, int | None]] = []
        self.optimizers = self._silence(self.module)
        self.module.__dict__["__deepcopy__"] = self._copy

    def losses(self, module: Any, batch: Any) -> list[tuple[Tensor, int | None]]:
        """Run the training step on a batch, without a backward pass or an optimiser step.

        Args:
            module: the stand-in or a deep copy of it.
            batch: as the training step got it.

        Returns:
            The losses that the step would have run a backward pass from, each with the index of the
            optimiser that steps after it; None where that is the only one, or none steps.
        """
        self._pending, self._losses = [], []
        context = self._trainer.precision_plugin.train_step_context()
        with context, patch.object(Tensor, "backward", _recorder(self._keep)):
            if hasattr(module, "diagnosis_loss"):
                return [(module.diagnosis_loss(batch), None)]
            output = module.training_step(*_arguments(module.training_step, batch))
        if module.automatic_optimization:
            output = output["loss"] if isinstance(output, Mapping) else output
            return [(output, None)] if isinstance(output, Tensor) else []
        return self._losses + [(loss, None) for loss in self._pending]

    def stepping(self, batch: Any) -> list[int]:
        """Return the indices of the optimisers with a loss of their own; [0] if none is named."""
        with untouched(self.module):
            named = {index for _, index in self.losses(self.module, batch) if index is not None}
        return sorted(named) or [0]

    def foreign_parameters(self, index: int) -> frozenset[str]:
        """Return the names of the parameters that other optimisers hold and this one does not."""
        held = {i: held_by(optimizer) for i, optimizer in enumerate(self.optimizers)}
        others = {p for i, parameters in held.items() if i != index for p in parameters}
        foreign = others - held[index]
        return frozenset(name for name, p in self.module.named_parameters() if p in foreign)

    def loss_of(self, index: int) -> Callable[[nn.Module, Any], Tensor]:
        """Return the loss function of one optimiser, in the form that `diagnose` takes."""

        def loss_fn(module: nn.Module, batch: Any) -> Tensor:
            losses = [loss.sum() for loss, i in self.losses(module, batch) if i in (index, None)]
            if not losses:
                raise ValueError(f"the training step ran no backward pass for optimizer {index}")
            return torch.stack(losses).sum()

        return loss_fn

    def _keep(self, loss: Tensor) -> None:
        self._pending.append(loss)

    def _copy(self, memo: dict[int, Any]) -> nn.Module:
        """Copy the stand-in with parameters of its own, and keep it cut off."""
        memo |= copyable(self.module) | self._shared
        del self.module.__dict__["__deepcopy__"]
        try:
            twin = copy.deepcopy(self.module, memo)
        finally:
            self.module.__dict__["__deepcopy__"] = self._copy
        self._silence(twin)
        return twin

    def _silence(self, module: nn.Module) -> list[Any]:
        """Cut a copy's ways to loggers, optimisers and schedulers; return its optimisers."""
        originals: dict[Tensor, Tensor] = dict(zip(self._aliases, module.parameters(), strict=True))
        optimizers = [
            self._stand_in(i, optimizer, module, originals)
            for i, optimizer in enumerate(self._trainer.optimizers)
        ]
        taken = optimizers[0] if len(optimizers) == 1 else optimizers
        own: dict[str, Any] = dict.fromkeys(
            ("log", "log_dict", "print", "clip_gradients"), _nothing
        )
        own |= {
            "_trainer": _Loop(self._trainer, optimizers),
            "optimizers": lambda *_, **__: taken,
            "lr_schedulers": lambda: _Nothing(),
            "manual_backward": _recorder(self._keep),
        }
        for part in module.modules():
            if hasattr(part, "_trainer"):
                part.__dict__.update(own)
        return optimizers

    def _stand_in(
        self,
        index: int,
        original: Optimizer,
        module: Any,
        parameters: Mapping[Tensor, Tensor],
    ) -> Any:
        """Return a copy of an optimiser for a copy's parameters, whose step only takes note."""
        optimizer: Any = copy.copy(original)
        optimizer.param_groups = [
            {**group, "params": [parameters.get(p, p) for p in group["params"]]}
            for group in original.param_groups
        ]
        state = {parameters.get(p, p): value for p, value in original.state.items()}
        optimizer.state = defaultdict(dict, state)

        def step(closure: Callable[[], Any] | None = None, **_: Any) -> Any:
            result = closure() if closure is not None else None
            self._losses += [(loss, index) for loss in self._pending]
            self._pending.clear()
            return result

        @contextlib.contextmanager
        def toggle_model(sync_grad: bool = True) -> Iterator[None]:
            module.toggle_optimizer(optimizer)
            yield
            module.untoggle_optimizer(optimizer)

        optimizer.step, optimizer.zero_grad = step, _nothing
        optimizer.toggle_model, optimizer.optimizer = toggle_model, optimizer
        return optimizer


class _Loop:
    """The Trainer as the stand-in sees it: without loggers, and with optimisers that do nothing."""

    def __init__(self, trainer: Any, optimizers: list[Any]) -> None:
        self._trainer = trainer
        self.optimizers = optimizers
        self.logger = _Nothing()
        self.loggers = [_Nothing() for _ in trainer.loggers]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)


class _Nothing:
    """Takes every call and gives nothing."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def __getitem__(self, key: Any) -> Any:
        return self


def _recorder(keep: Callable[[Tensor], None]) -> Callable[..., None]:
    """Return what stands in for a backward pass: it keeps the loss.

    A plain function, which deep copies share and which becomes a method when put on a class.
    """

    def backward(loss: Tensor, *_: Any, **__: Any) -> None:
        keep(loss)

    return backward


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _alias(parameter: nn.Parameter, with_grad: bool) -> nn.Parameter:
    """Return a parameter that shares the values, and neither gradient nor hooks."""
    alias = nn.Parameter(parameter.data, requires_grad=parameter.requires_grad)
    if with_grad and parameter.grad is not None:
        alias.grad = parameter.grad.detach()
    return alias


def _shared_with_copy(trainer: Any, pl_module: nn.Module) -> dict[int, Any]:
    """Return what a copy of the module shares with it, by identity: the training loop and the data.

    Outputs kept with their graph cannot be copied and are shared, too.
    """
    shared = [trainer, trainer.strategy, *trainer.callbacks, *trainer.loggers]
    shared += [*trainer.optimizers, getattr(trainer, "datamodule", None)]
    for module in pl_module.modules():
        for value in vars(module).values():
            if isinstance(value, Dataset | DataLoader) or _has_graph(value):
                shared.append(value)
    return {id(value): value for value in shared if value is not None}


def _has_graph(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_leaf


def _uncompile(module: Any) -> None:
    """Let a copied module run eagerly, so that it can be looked into."""
    if getattr(module, "_compiler_ctx", None) is not None:
        for name in COMPILED_METHODS:
            module.__dict__.pop(name, None)
        module._compiler_ctx = None
    for parent in list(module.modules()):
        parent.__dict__.pop("_compiled_call_impl", None)
        for name, child in list(parent.named_children()):
            if hasattr(child, "_orig_mod"):
                setattr(parent, name, child._orig_mod)


def _arguments(training_step: Callable[..., Any], batch: Any) -> tuple[Any, ...]:
    """Return the training step's arguments: the batch, and an index where it takes one."""
    taken = inspect.signature(training_step).parameters
    return (batch, 0) if len(taken) > 1 else (batch,)
