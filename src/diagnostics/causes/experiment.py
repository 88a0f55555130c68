"""Where causes are proved: replay one batch with something changed."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..isolation import copyable, seeded
from ..symptoms.replay import LossFunction
from ..symptoms.structure import same_state
from ..symptoms.symptoms import Symptoms
from .courses import Courses
from .harm import Judge

Change = Callable[[Tensor], Tensor]
HALVINGS = 8
"""Times that a loss scale is halved, in search of one at which gradients do not overflow."""


class Outcome(NamedTuple):
    """Loss and gradients by parameter name; a parameter without one is absent."""

    loss: float
    grads: dict[str, Tensor]

    @property
    def norm(self) -> float:
        """Norm of all gradients together."""
        return sum(float(g.double().square().sum()) for g in self.grads.values()) ** 0.5


class RewrittenCalls(TorchFunctionMode):
    """Replace the calls of some functions while it is active, without touching who calls them.

    Args:
        rewrite: (name, function, args, kwargs) -> result, or NotImplemented to leave a call alone.
    """

    def __init__(self, rewrite: Callable[..., Any]) -> None:
        super().__init__()
        self.rewrite = rewrite

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the rewritten function."""
        kwargs = kwargs or {}
        result = self.rewrite(getattr(func, "__name__", "").rstrip("_"), func, args, kwargs)
        return func(*args, **kwargs) if result is NotImplemented else result


def widened(grad: Tensor) -> Tensor:
    """Return a half-precision gradient in float32, so that taking out a scale loses nothing."""
    return grad.float() if grad.element_size() < 4 else grad


class Experiment:
    """A model, its batches and its loss, to be replayed under interventions.

    Every replay draws the same random numbers, so before and after share their dropout masks.

    Args:
        model: The model as found; changed only through hooks and modes that are removed again.
        batches: A few batches.
        loss_fn: (model, batch) -> scalar loss.
        optimizers: The optimisers at work.
        symptoms: What an unchanged replay showed. A loss scale in its context is applied in every
            replay and taken out of the gradients.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Any],
        loss_fn: LossFunction,
        optimizers: Sequence[torch.optim.Optimizer],
        symptoms: Symptoms,
    ) -> None:
        self.model, self.batches, self.loss_fn = model, batches, loss_fn
        self.optimizers, self.symptoms, self.context = optimizers, symptoms, symptoms.context

    def replay(
        self,
        model: nn.Module | None = None,
        *,
        mode: AbstractContextManager[Any] | None = None,
        loss_scale: float = 1.0,
        batch: int = 0,
        given: Any = None,
    ) -> Outcome:
        """Replay one batch and return its loss and gradients.

        Args:
            model: A changed copy; the model itself if None.
            mode: A context for the forward pass, such as `RewrittenCalls`.
            loss_scale: Factor on the loss before the backward pass, taken out of the gradients.
            batch: Which batch.
            given: A changed batch in its place.
        """
        model = self.model if model is None else model
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        given = self.batches[batch] if given is None else given
        with torch.enable_grad(), seeded(batch), torch.backends.cudnn.flags(enabled=False):
            with same_state(model, self.symptoms.structure), mode or nullcontext():
                loss = self.loss_fn(model, given)
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
        return Outcome(float(loss.detach()), dense)

    @cached_property
    def courses(self) -> Courses:
        """Short trainings of copies."""
        return Courses(self)

    @cached_property
    def judge(self) -> Judge:
        """Where remedies are compared."""
        return Judge(self)

    @cached_property
    def baseline(self) -> Outcome:
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
        return copy.deepcopy(self.model, copyable(self.model))

    def copy_all(self) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Return copies of the model and its optimisers that belong together."""
        both = self.model, list(self.optimizers)
        model, optimizers = copy.deepcopy(both, copyable(self.model))
        return model, optimizers

    def step(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        batch: int = 0,
        clips: bool = True,
        clears: bool = True,
    ) -> Outcome:
        """Take one optimiser step of a copy, and return the loss and the gradients it came from.

        Under a gradient scaler no step is taken where gradients overflow at any scale.

        Args:
            model: A copy.
            optimizers: Those that hold its parameters.
            batch: Which batch.
            clips: Whether its gradients are clipped as the program does.
            clears: Whether the gradients of the step before are cleared.
        """
        outcome = self._replay_unscaled(model, batch)
        if self.context.loss_scale and not math.isfinite(outcome.norm):
            return outcome
        for name, parameter in model.named_parameters():
            grad, before = outcome.grads.get(name), None if clears else parameter.grad
            if grad is not None and before is not None:
                outcome.grads[name] = grad = grad + before
            parameter.grad = None if grad is None else grad.to(parameter.dtype, copy=True)
        if self.context.clip_norm and clips:
            nn.utils.clip_grad_norm_(model.parameters(), self.context.clip_norm)
        if self.context.clip_value and clips:
            nn.utils.clip_grad_value_(model.parameters(), self.context.clip_value)
        with seeded(batch):
            for optimizer in optimizers:
                optimizer.step()
        return outcome

    def _replay_unscaled(self, model: nn.Module, batch: int) -> Outcome:
        """Replay a batch as under a gradient scaler, which lowers its scale on an overflow."""
        outcome = self.replay(model, batch=batch)
        for halvings in range(1, HALVINGS + 1) if self.context.loss_scale else ():
            if math.isfinite(outcome.norm) or not math.isfinite(outcome.loss):
                break
            outcome = self.replay(model, loss_scale=0.5**halvings, batch=batch)
        return outcome
