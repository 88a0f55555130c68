"""Step 1, the symptom: replay a few batches with hooks and write down numbers, judging nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from src.diagnostics.context import TrainingContext
from src.diagnostics.isolation import seeded
from src.diagnostics.record import ParameterRecord, Record
from src.diagnostics.recorder import Recorder

LossFunction = Callable[[Any, Any], Tensor]


def measure(
    model: nn.Module, batches: Sequence[Any], loss_fn: LossFunction, record: Record
) -> None:
    """Replay batches under fixed seeds and fill a record with what was seen.

    Args:
        model: The model; frozen parameters are thawed here to see the gradient they would get.
        batches: A few batches.
        loss_fn: (model, batch) -> scalar loss.
        record: Filled in place; its parameters must be listed already.
    """
    for parameter in record.parameters.values():
        if parameter.weight.is_floating_point():
            parameter.weight.requires_grad_(True)
    recorder = Recorder(model, record)
    with recorder.watching(), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for seed, batch in enumerate(batches):
            recorder.begin(batch)
            with seeded(seed):
                loss = loss_fn(model, batch)
            recorder.observer.end()
            record.loss_values.append(float(loss.detach()))
            recorder.collect(loss)
    record.activations = list(recorder.observer.activations.values())
    record.masks = list(recorder.observer.masks.values())
    record.losses = list(recorder.observer.losses.values())
    record.routed = recorder.observer.routed
    record.uncalled = {m.name: m.kind for m in record.modules.values() if not m.calls}


def owner(parameter: str) -> str:
    """Return the module a parameter works in, also through a reparametrisation.

    >>> owner("fc.weight"), owner("fc.parametrizations.weight.original1"), owner("logits")
    ('fc', 'fc', '')
    """
    module = parameter.rpartition(".")[0]
    return f".{module}".partition(".parametrizations")[0].lstrip(".")


def list_parameters(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    context: TrainingContext | None = None,
) -> Record:
    """Start a record with the parameters of a model as they are now.

    Args:
        model: Any module; shared parameters are listed once.
        optimizers: The optimisers at work; with none, membership in a group stays unknown.
        context: What only the training loop knows; a loss scale is applied and taken out again.

    Returns:
        A record with the parameters, the gradients they hold now, and nothing else.
    """
    record = Record(context=context or TrainingContext())
    held = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        grad = parameter.grad
        if grad is not None and grad.is_sparse:
            grad = grad.to_dense()
        record.parameters[name] = ParameterRecord(
            name=name,
            module=owner(name),
            weight=parameter,
            requires_grad=parameter.requires_grad,
            optimized=id(parameter) in held if optimizers else None,
            entry=None if grad is None else grad.detach().clone(),
        )
    return record
