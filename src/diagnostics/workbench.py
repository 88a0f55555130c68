"""The bench on which causes are proved: replay one batch with something changed."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from src.diagnostics.context import TrainingContext
from src.diagnostics.isolation import seeded
from src.diagnostics.replay import LossFunction

Change = Callable[[Tensor], Tensor]


class Replay(NamedTuple):
    """Loss and gradients by parameter name; a parameter without one is absent."""

    loss: float
    grads: dict[str, Tensor]

    @property
    def norm(self) -> float:
        """Norm of all gradients together."""
        return sum(float(g.double().square().sum()) for g in self.grads.values()) ** 0.5


def widened(grad: Tensor) -> Tensor:
    """Return a half-precision gradient in float32, so that taking out a scale loses nothing."""
    return grad.float() if grad.element_size() < 4 else grad


class Workbench:
    """A model, its batches and its loss, to be replayed under interventions.

    Every replay draws the same random numbers, so before and after share their dropout masks.

    Args:
        model: The model as found; changed only through hooks and modes that are removed again.
        batches: A few batches.
        loss_fn: (model, batch) -> scalar loss.
        optimizers: The optimisers at work.
        context: A loss scale is applied in every replay and taken out of its gradients.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Any],
        loss_fn: LossFunction,
        optimizers: Sequence[torch.optim.Optimizer] = (),
        context: TrainingContext | None = None,
    ) -> None:
        self.model, self.batches, self.loss_fn = model, batches, loss_fn
        self.optimizers, self.context = optimizers, context or TrainingContext()

    def replay(
        self,
        model: nn.Module | None = None,
        *,
        mode: AbstractContextManager[Any] | None = None,
        loss_scale: float = 1.0,
        batch: int = 0,
    ) -> Replay:
        """Replay one batch and return its loss and gradients.

        Args:
            model: A changed copy; the model itself if None.
            mode: A context for the forward pass, such as a function mode.
            loss_scale: Factor on the loss before the backward pass, taken out of the gradients.
            batch: Which batch.
        """
        model = self.model if model is None else model
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        with torch.enable_grad(), seeded(batch), torch.backends.cudnn.flags(enabled=False):
            with mode or nullcontext():
                loss = self.loss_fn(model, self.batches[batch])
            grads: Sequence[Tensor | None] = [None] * len(named)
            scale = loss_scale * (self.context.loss_scale or 1.0)
            if loss.requires_grad and named:
                wanted = [p for _, p in named]
                grads = torch.autograd.grad(loss * scale, wanted, allow_unused=True)
        dense = {
            name: widened(grad.to_dense() if grad.is_sparse else grad).detach() / scale
            for (name, _), grad in zip(named, grads, strict=True)
            if grad is not None
        }
        return Replay(float(loss.detach()), dense)

    @cached_property
    def baseline(self) -> Replay:
        """The first batch replayed with nothing changed."""
        return self.replay()

    def loss(self, model: nn.Module) -> float:
        """Return the loss of a changed copy on the first batch, without gradients."""
        with torch.no_grad(), seeded(0):
            return float(self.loss_fn(model, self.batches[0]))

    @contextmanager
    def input_changed(self, module: str, change: Change) -> Iterator[None]:
        """Apply a function to the first tensor that enters a module."""

        def hook(_: nn.Module, args: Any, kwargs: Any) -> Any:
            if args and isinstance(args[0], Tensor):
                return (change(args[0]), *args[1:]), kwargs
            for key, value in kwargs.items():
                if isinstance(value, Tensor):
                    return args, {**kwargs, key: change(value)}
            return None

        target = self.model.get_submodule(module)
        handle = target.register_forward_pre_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def output_changed(self, module: str, change: Change) -> Iterator[None]:
        """Apply a function to the tensor that leaves a module."""

        def hook(_: nn.Module, args: Any, output: Any) -> Any:
            return change(output) if isinstance(output, Tensor) else output

        handle = self.model.get_submodule(module).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def copy(self) -> nn.Module:
        """Return a deep copy of the model, to be changed at will."""
        return copy.deepcopy(self.model, self._memo())

    def copy_all(self) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Return copies of the model and its optimisers that belong together."""
        model, optimizers = copy.deepcopy((self.model, list(self.optimizers)), self._memo())
        return model, optimizers

    def step(
        self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], batch: int = 0
    ) -> Replay:
        """Take one clipped optimiser step of a copy, and return the replay it came from."""
        replay = self.replay(model, batch=batch)
        for name, parameter in model.named_parameters():
            grad = replay.grads.get(name)
            parameter.grad = None if grad is None else grad.to(parameter.dtype)
        if self.context.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), self.context.clip_norm)
        if self.context.clip_value:
            nn.utils.clip_grad_value_(model.parameters(), self.context.clip_value)
        with seeded(batch):
            for optimizer in optimizers:
                optimizer.step()
        return replay

    def _memo(self) -> dict[int, Any]:
        """Copy the results that modules keep: a tensor with a graph has no deep copy."""
        attributes = [v for module in self.model.modules() for v in module.__dict__.values()]
        kept = [v for v in attributes if isinstance(v, Tensor) and not v.is_leaf]
        return {id(tensor): tensor.detach().clone() for tensor in kept}
