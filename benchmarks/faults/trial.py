"""One trial: a net trained for a short while, and everything an observer of its loop could see.

A fault or a trap edits the `Trial` before it runs. Training stops where a callback's
`on_before_optimizer_step` would be called: gradients are there, unscaled and not yet clipped, the
last step is not taken. A loss that is not finite stops it early, as the callback's alarm would.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.architectures import Architecture, build_net
from benchmarks.faults.data import NUM_CLASSES, Batch, Task, make_task
from benchmarks.faults.layers import SequenceNet

LossFn = Callable[[nn.Module, Batch], Tensor]
NUM_STEPS = 60
NUM_EPOCHS = 10
BATCHES_SEEN = 4
WEIGHTS_KEPT = 4


@dataclass
class Trial:
    """How one net is trained; the defaults are a healthy run.

    Args:
        architecture: which net.
        seed: of weights, data and order.
        task: data to train on.
        model: the net, not yet trained.
        criterion: (preds, y) -> scalar loss.
        optimizer: "adam" or "sgd" (momentum 0.9).
        lr: learning rate.
        trained: name of a parameter -> does the optimiser hold it.
        steps: optimiser steps before the diagnosis; 0 diagnoses a fresh net.
        warmup: steps over which the rate rises from 0; None for a constant rate.
        accumulate: batches whose gradients one step adds up on purpose.
        clears: whether gradients are cleared after each step.
        clip_norm: largest gradient norm the clipping lets through.
        precision: "32-true" or "16-mixed".
        scaler: loss scaler of mixed precision, if any.
    """

    architecture: Architecture
    seed: int
    task: Task
    model: SequenceNet
    criterion: Callable[[Tensor, Tensor], Tensor]
    optimizer: str
    lr: float
    trained: Callable[[str], bool] = lambda name: True
    steps: int = NUM_STEPS
    warmup: int | None = None
    accumulate: int = 1
    clears: bool = True
    clip_norm: float | None = None
    precision: str = "32-true"
    scaler: torch.amp.GradScaler | None = None


@dataclass
class Observation:
    """What the loop leaves behind: the evidence every diagnoser is given.

    Args:
        trial: the facts of the loop.
        optimizer: with its state.
        loss_fn: (model, batch) -> scalar.
        batches: the batch of the pending backward pass, then fresh ones.
        grads: gradient per parameter before clipping, None where there is none.
        losses: training loss per step.
        grad_norms: gradient norm per step before clipping.
        loss_scales: scale of the scaler per step.
        first_weights: copies of the fresh parameters.
        first_grads: gradients of the first step, before clipping.
        weights: copies of the parameters before each of the last steps.
        scores: validation score per epoch: accuracy, or R^2.
        steps_done: optimiser steps taken.
    """

    trial: Trial
    optimizer: torch.optim.Optimizer
    loss_fn: LossFn
    batches: list[Batch]
    grads: dict[str, Tensor | None] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)
    loss_scales: list[float] = field(default_factory=list)
    first_weights: dict[str, Tensor] = field(default_factory=dict)
    first_grads: dict[str, Tensor | None] = field(default_factory=dict)
    weights: list[dict[str, Tensor]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    steps_done: int = 0

    @property
    def model(self) -> SequenceNet:
        """The trained net."""
        return self.trial.model


def make_trial(
    architecture: Architecture, seed: int, *, classify: bool = False, **task: Any
) -> Trial:
    """Set up a healthy trial: regression, or classification with `classify`.

    Args:
        architecture: which net.
        seed: of weights, data and order.
        classify: cross-entropy on four classes instead of a squared error.
        **task: further options of `make_task`.
    """
    return Trial(
        architecture,
        seed,
        make_task(seed, classify=classify, **task),
        build_net(architecture, NUM_CLASSES if classify else 1, seed),
        F.cross_entropy if classify else F.mse_loss,
        architecture.optimizer,
        architecture.lr,
    )


def make_loss_fn(trial: Trial) -> LossFn:
    """Build `loss_fn(model, batch)` as a LightningModule's step under the trial's precision."""

    def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast("cpu", torch.float16, enabled=trial.precision == "16-mixed"):
            return trial.criterion(model(batch.x, batch.mask), batch.y)

    return loss_fn


def make_optimizer(trial: Trial) -> torch.optim.Optimizer:
    """Build the optimiser over the parameters the trial hands it."""
    held = [p for name, p in trial.model.named_parameters() if trial.trained(name)]
    if trial.optimizer == "adam":
        return torch.optim.Adam(held, lr=trial.lr)
    return torch.optim.SGD(held, lr=trial.lr, momentum=0.9)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode without gradients, and back."""
    model.eval()
    with torch.no_grad():
        yield
    model.train()


def validation_score(trial: Trial, batch: Batch) -> float:
    """Accuracy of a classifier, R^2 of a regressor, on one batch."""
    with evaluating(trial.model):
        preds = trial.model(batch.x, batch.mask).float()
    if batch.y.dtype == torch.long:
        return (preds.argmax(1) == batch.y).float().mean().item()
    error, spread = F.mse_loss(preds, batch.y), batch.y.var(correction=0)
    return 1 - (error / spread.clamp(min=1e-12)).item()


def gradient_norm(model: nn.Module) -> float:
    """Norm over all gradients present."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(grads).item() if grads else 0.0


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copy every parameter."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def copy_grads(model: nn.Module) -> dict[str, Tensor | None]:
    """Copy the gradient of every parameter, None where there is none."""
    return {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}


def backward(trial: Trial, seen: Observation) -> list[Batch]:
    """Accumulate the gradients of one optimiser step, unscaled, and note loss and norm.

    Returns:
        The batches that went into it.
    """
    batches = [trial.task.draw() for _ in range(trial.accumulate)]
    total = 0.0
    for batch in batches:
        loss = seen.loss_fn(trial.model, batch) / trial.accumulate
        total += loss.item()
        (loss if trial.scaler is None else trial.scaler.scale(loss)).backward()
    if trial.scaler is not None:
        trial.scaler.unscale_(seen.optimizer)
        seen.loss_scales.append(trial.scaler.get_scale())
    seen.losses.append(total)
    seen.grad_norms.append(gradient_norm(trial.model))
    return batches


def take_step(trial: Trial, seen: Observation) -> None:
    """Clip, step, clear."""
    parameters = list(trial.model.parameters())
    seen.weights.append(copy_weights(trial.model))
    del seen.weights[:-WEIGHTS_KEPT]
    if trial.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, trial.clip_norm)
    if trial.scaler is None:
        seen.optimizer.step()
    else:
        trial.scaler.step(seen.optimizer)
        trial.scaler.update()
    if trial.clears:
        seen.optimizer.zero_grad()
    seen.steps_done += 1


def run_trial(trial: Trial) -> Observation:
    """Train until just before the last step would be taken.

    Args:
        trial: mutated: its model is trained.

    Returns:
        The evidence, with the pending gradients in `.grad` as well as in `grads`.
    """
    torch.manual_seed(trial.seed)
    seen = Observation(trial, make_optimizer(trial), make_loss_fn(trial), [])
    seen.first_weights = copy_weights(trial.model)
    schedule = None
    if trial.warmup is not None:
        rise = trial.warmup
        schedule = torch.optim.lr_scheduler.LambdaLR(
            seen.optimizer, lambda step: min(1.0, step / rise)
        )
    held_out = trial.task.select(torch.arange(min(256, len(trial.task.x))))
    trial.model.train()
    epoch = max(1, trial.steps // NUM_EPOCHS)
    while True:
        batches = backward(trial, seen)
        if not seen.first_grads:
            seen.first_grads = copy_grads(trial.model)
        stopped = trial.scaler is None and not math.isfinite(seen.losses[-1])
        if stopped or seen.steps_done == trial.steps:
            break
        take_step(trial, seen)
        if schedule is not None:
            schedule.step()
        if seen.steps_done % epoch == 0:
            seen.scores.append(validation_score(trial, held_out))
    seen.grads = copy_grads(trial.model)
    seen.batches = batches + [trial.task.draw() for _ in range(BATCHES_SEEN - 1)]
    return seen
