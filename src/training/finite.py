"""Stop a training at the first gradient that is no number, before its step spoils the weights."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from src.diagnostics.measuring.async_copy import Inbox, Pending


class FiniteGradients:
    """Look at the gradients of every step, without making a GPU wait for it.

    On a CPU a step with a gradient that is not finite is refused before it is made. A GPU works
    through a queue, and whoever asks for a result waits until the queue is empty. There the answer
    about one step is read at the next, and the weights are put back to what they were before it.

    Args:
        module: whose parameters are named.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._inbox = Inbox()
        self._before: list[Tensor] = []

    def check(self, parameters: Iterable[nn.Parameter], step: int) -> None:
        """Look at the gradients of a step that is about to be made.

        Args:
            parameters: those of the optimiser.
            step: optimiser steps done.

        Raises:
            FloatingPointError: naming parameter and step.
        """
        self.settle()
        measured = [p for p in parameters if p.grad is not None]
        grads = [p.grad for p in measured if p.grad is not None]
        if not grads:
            return
        if grads[0].is_cuda:
            self._check_later(measured, grads, step)
        elif not bool(torch.stack(torch._foreach_norm(grads)).isfinite().all()):
            # or a norm too large for float32
            for parameter, grad in zip(measured, grads, strict=True):
                if not bool(grad.isfinite().all()):
                    raise self._error(parameter, step, "stopped before the weights were changed")

    def settle(self) -> None:
        """Wait for the answer about the last step: before its weights are scored or written.

        Raises:
            FloatingPointError: naming parameter and step; the weights are those before the step.
        """
        self._inbox.drain()

    def _check_later(self, measured: list[nn.Parameter], grads: list[Tensor], step: int) -> None:
        """Send the gradients' largest entries to the host, and keep the weights until then."""
        if [p.shape for p in self._before] != [p.shape for p in measured]:
            self._before = [torch.empty_like(p) for p in measured]
        with torch.no_grad():
            torch._foreach_copy_(self._before, [*measured])
        largest = torch.stack(torch._foreach_norm(grads, torch.inf))
        none = torch.zeros(0, dtype=torch.int64, device=largest.device)
        answer = Pending(none, largest, lambda _, floats: floats.isfinite().tolist())
        self._inbox.put(answer, partial(self._receive, measured, step))

    def _receive(self, measured: Sequence[nn.Parameter], step: int, finite: list[bool]) -> None:
        if all(finite):
            return
        with torch.no_grad():
            torch._foreach_copy_(list(measured), self._before)
        what = "stopped one step later, with the weights as they were before"
        raise self._error(measured[finite.index(False)], step, what)

    def _error(self, parameter: nn.Parameter, step: int, what: str) -> FloatingPointError:
        names = (name for name, own in self._module.named_parameters() if own is parameter)
        name = next(names, "a parameter that the module does not have")
        return FloatingPointError(f"the gradient of {name} is not finite at step {step}: {what}")
