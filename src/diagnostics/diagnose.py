"""Name the cause of dead gradients: symptom, cause, proof."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn

from src.diagnostics.context import TrainingContext
from src.diagnostics.findings import Diagnosis, Finding
from src.diagnostics.isolation import untouched
from src.diagnostics.proofs import prove
from src.diagnostics.record import Record
from src.diagnostics.relate import relate
from src.diagnostics.replay import LossFunction, list_parameters, measure
from src.diagnostics.rules import RULES
from src.diagnostics.trial import judge_learning_rate
from src.diagnostics.workbench import Workbench

Optimizers = torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None


def diagnose(
    model: nn.Module,
    batches: Iterable[Any],
    loss_fn: LossFunction,
    optimizer: Optimizers = None,
    *,
    feature_names: Sequence[str] | None = None,
    context: TrainingContext | None = None,
    max_batches: int = 8,
) -> Diagnosis:
    """Find out why gradients are dead, and prove it on the replayed batches.

    The model, its gradients, the optimiser and every random generator are left exactly as found,
    also when `loss_fn` raises.

    Args:
        model: Any module, in the mode it is to be judged in.
        batches: A few batches of any make; a finding must hold over all of them.
        loss_fn: (model, batch) -> scalar loss.
        optimizer: The optimiser or optimisers; without one nothing is said about groups and rates.
        feature_names: Names of the input features, used wherever their number fits.
        context: What only the training loop knows.
        max_batches: Batches to take at most.

    Returns:
        The findings, root cause first; a healthy model has none that is not benign.

    Raises:
        ValueError: If there is no batch.

    >>> from torch import nn
    >>> x = torch.cat([torch.randn(32, 2), torch.zeros(32, 1)], dim=1)
    >>> loss_fn = lambda model, batch: nn.functional.mse_loss(model(batch), torch.randn(32, 1))
    >>> worst = diagnose(nn.Linear(3, 1), [x], loss_fn, feature_names=("a", "b", "c")).worst
    >>> worst.cause, worst.indices, worst.confirmed
    ('dead_input', ('c',), True)
    """
    taken = list(islice(batches, max_batches))
    if not taken:
        raise ValueError(f"batches must hold at least one batch, got {batches!r}")
    optimizers = _as_list(optimizer)
    with untouched(model):
        record = find_symptoms(model, taken, loss_fn, optimizers, context)
    record.feature_names = tuple(feature_names) if feature_names is not None else None
    candidates = find_causes(record)
    with untouched(model):
        bench = Workbench(model, taken, loss_fn, optimizers, record.context)
        proved = [prove(bench, record, finding) for finding in candidates]
        proved += judge_learning_rate(bench, record)
    loss = sum(record.loss_values) / len(record.loss_values)
    return Diagnosis(findings=relate(proved), loss=loss, num_batches=len(taken))


def find_symptoms(
    model: nn.Module,
    batches: Sequence[Any],
    loss_fn: LossFunction,
    optimizers: Sequence[torch.optim.Optimizer],
    context: TrainingContext | None = None,
) -> Record:
    """Step 1: replay the batches with hooks and return plain numbers."""
    record = list_parameters(model, optimizers, context)
    measure(model, batches, loss_fn, record)
    return record


def find_causes(record: Record) -> list[Finding]:
    """Step 2: apply every rule to the numbers and return the candidates."""
    return [finding for rule in RULES for finding in rule(record)]


def _as_list(optimizer: Optimizers) -> list[torch.optim.Optimizer]:
    if optimizer is None:
        return []
    return [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else list(optimizer)
