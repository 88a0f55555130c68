"""What a program is: two twins, how they are trained, and what a right answer says.

Shapes: N samples, B batch, T steps, F features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SAMPLES, BATCH = 512, 32


class Setup(NamedTuple):
    """One twin, ready to train."""

    model: nn.Module
    batches: list[Any]
    loss_fn: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer
    scheduler: Any = None


@dataclass(frozen=True)
class Program:
    """One posted program.

    Args:
        name: as given on the command line.
        says: what a right answer says.
        causes: accepted names, the primary one first.
        build: faulty? -> a fresh twin.
        half: whether thresholds may be tuned on it: `tune` or `report`.
        epochs: passes over the batches that repair it.
    """

    name: str
    says: str
    causes: tuple[str, ...]
    build: Callable[[bool], Setup]
    half: str
    epochs: int = 10


PROGRAMS: dict[str, Program] = {}


def posted(*causes: str, epochs: int = 10) -> Callable[..., Any]:
    """Register a `build(faulty)`, whose docstring says what is wrong; every other may be tuned on.

    Args:
        *causes: accepted names, the primary one first.
        epochs: passes over the batches that repair it.
    """

    def register(build: Callable[[bool], Setup]) -> Callable[[bool], Setup]:
        half = "report" if len(PROGRAMS) % 2 else "tune"
        says = " ".join(str(build.__doc__).split())
        PROGRAMS[build.__name__] = Program(build.__name__, says, causes, build, half, epochs)
        return build

    return register


def batched(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Cut tensors into batches along their first axis."""
    return list(zip(*(tensor.split(BATCH) for tensor in tensors), strict=True))


def start(program: Program, faulty: bool) -> Setup:
    """Build one twin."""
    torch.manual_seed(0)
    return program.build(faulty)


def train(program: Program, faulty: bool) -> Setup:
    """Train one twin as its author would."""
    setup = start(program, faulty)
    model, batches, loss_fn, optimizer, scheduler = setup
    for _ in range(program.epochs):
        for batch in batches:
            optimizer.zero_grad()
            loss = loss_fn(model, batch)
            try:
                loss.backward()
            except RuntimeError:  # the program crashes here: that is what was posted
                return setup
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
    return setup


def mean_loss(setup: Setup) -> float:
    """Mean loss over the batches in evaluation mode."""
    setup.model.eval()
    losses = [float(setup.loss_fn(setup.model, batch).detach()) for batch in setup.batches]
    setup.model.train()
    return sum(losses) / len(losses)
