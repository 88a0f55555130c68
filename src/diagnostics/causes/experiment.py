"""Where causes are proved: replay one batch with something changed, or train a copy a little."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..isolation import copyable, redraw, seeded
from ..symptoms.replay import LossFunction, held_by
from ..symptoms.structure import same_state
from ..symptoms.symptoms import Symptoms

Change = Callable[[Tensor], Tensor]
TRIAL_STEPS = 16
"""Steps of a trial training."""
LONG_TRIAL, SLOW_STEP = 60, 0.03
"""Steps of a longer one, for models of which one step takes fewer seconds of CPU time than this."""


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


def update_ratio(before: Tensor, after: Tensor) -> float:
    """Return the size of one step relative to the weight: |after - before| / |before|.

    Args:
        before: Weight before the step.
        after: The same weight after it.

    Returns:
        The ratio of norms; infinite when a zero weight moved, 0 when nothing moved. About 1e-3 is
        usual.

    >>> round(update_ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.05])), 6)
    0.01
    """
    old, new = before.detach().double(), after.detach().double()
    step, size = (float(torch.linalg.vector_norm(tensor)) for tensor in (new - old, old))
    if step == 0:
        return 0.0
    return step / size if size else float("inf")


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
        self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], batch: int = 0
    ) -> Outcome:
        """Take one clipped optimiser step of a copy, and return the replay it came from."""
        outcome = self.replay(model, batch=batch)
        for name, parameter in model.named_parameters():
            grad = outcome.grads.get(name)
            parameter.grad = None if grad is None else grad.to(parameter.dtype)
        if self.context.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), self.context.clip_norm)
        if self.context.clip_value:
            nn.utils.clip_grad_value_(model.parameters(), self.context.clip_value)
        with seeded(batch):
            for optimizer in optimizers:
                optimizer.step()
        return outcome

    @property
    def rates(self) -> list[float]:
        """Learning rate of every group, as it is once its warm-up is over."""
        return [
            max(float(g["lr"]), float(g.get("initial_lr", 0.0)), self.context.base_lr or 0.0)
            for optimizer in self.optimizers
            for g in optimizer.param_groups
        ]

    def copy_for_trial(
        self, rates: Sequence[float], fresh: bool
    ) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Copy model and optimisers, at the given rates.

        Args:
            rates: Learning rate per group, over all optimisers.
            fresh: Whether to draw all weights afresh and to forget the optimisers' state.
        """
        model, optimizers = self.copy_all()
        if fresh:
            redraw(model)
            for optimizer in optimizers:
                optimizer.state.clear()
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        return model, optimizers

    def train_copy(
        self, rates: Sequence[float], fresh: bool, steps: int = TRIAL_STEPS
    ) -> list[float]:
        """Train a copy for a few steps and return the loss before each of them."""
        return self._train(*self.copy_for_trial(rates, fresh), steps)

    def loss_after_steps(self, change: Callable[[nn.Module], None]) -> float:
        """Change a copy, train it a little, and return its mean loss at the end.

        Args:
            change: Applied to the copy.
        """
        model, optimizers = self.copy_all()
        change(model)
        optimizers = optimizers or [torch.optim.Adam(model.parameters(), 1e-3)]
        losses = self._train(model, optimizers, self.affordable_steps)
        last = losses[-max(len(losses) // 4, 1) :]
        return sum(last) / len(last)

    def _train(
        self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], steps: int
    ) -> list[float]:
        """Train for a few steps, or until the loss is not finite."""
        losses: list[float] = []
        for step in range(steps):
            losses.append(self.step(model, optimizers, batch=step % len(self.batches)).loss)
            if not math.isfinite(losses[-1]):
                return losses + [losses[-1]] * (steps - len(losses))
        return losses

    @cached_property
    def affordable_steps(self) -> int:
        """Steps of a longer trial: few where one step takes long."""
        start = time.process_time()  # other programs on the machine change no diagnosis
        self.replay()
        return LONG_TRIAL if time.process_time() - start < SLOW_STEP else TRIAL_STEPS

    @cached_property
    def first_steps(self) -> tuple[float, float]:
        """Median update-to-weight ratio of one step of a fresh copy, and of one as found."""
        return self._first_step(fresh=True), self._first_step(fresh=False)

    def _first_step(self, fresh: bool) -> float:
        """Return the median update-to-weight ratio of one step; 0 if nothing can move."""
        model, optimizers = self.copy_for_trial(self.rates, fresh)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        grads = self.step(model, optimizers).grads
        held = held_by(*optimizers)
        ratios = [
            update_ratio(before[name], parameter)
            for name, parameter in model.named_parameters()
            if parameter.dim() > 1 and parameter in held and name in grads
            if before[name].any() and bool(grads[name].any())
        ]
        finite = [ratio for ratio in ratios if math.isfinite(ratio)]
        return float(torch.tensor(finite).median()) if finite else 0.0
