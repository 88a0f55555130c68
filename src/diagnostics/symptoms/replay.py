"""Step 1, the symptoms: replay a few batches with hooks and write down numbers, judging nothing."""

import inspect
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from ..isolation import same_attributes, seeded
from .module_hooks import ModuleHooks
from .structure import find_state, find_structure, same_state
from .symptoms import ParameterSymptoms, Symptoms, TrainingContext

LossFunction = Callable[[Any, Any], Tensor]
EXPECTED_LOSS = (
    "loss_fn must be a function (model, batch) -> scalar loss, such as "
    "lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1])"
)


def find_symptoms(
    model: nn.Module,
    batches: Sequence[Any],
    loss_fn: LossFunction,
    optimizers: Sequence[torch.optim.Optimizer],
    context: TrainingContext | None = None,
) -> Symptoms:
    """Replay batches under fixed seeds and return what was seen.

    Args:
        model: Any module; shared parameters are listed once. Frozen ones are thawed here to see the
            gradient they would get.
        batches: A few batches.
        loss_fn: (model, batch) -> scalar loss.
        optimizers: The optimisers at work; with none, membership in a group stays unknown.
        context: What only the training loop knows; a loss scale is applied and taken out again.
    """
    symptoms = as_found(model, optimizers, context)
    with same_attributes(model):
        find_state(symptoms.structure, model, batches, loss_fn)
    replay(symptoms, model, batches, loss_fn)
    find_structure(
        symptoms.structure, model, batches, loss_fn, optimizers, finite=_finite(symptoms)
    )
    return symptoms


def replay(
    symptoms: Symptoms, model: nn.Module, batches: Sequence[Any], loss_fn: LossFunction
) -> None:
    """Replay batches with hooks on every module and note what they show.

    Args:
        symptoms: Filled in place; its parameters have to be listed.
        model: Any module; frozen parameters are thawed.
        batches: A few batches.
        loss_fn: (model, batch) -> scalar loss.
    """
    for parameter in symptoms.parameters.values():
        if parameter.weight.is_floating_point():
            parameter.weight.requires_grad_(True)
    hooks = ModuleHooks(model, symptoms)
    with hooks.watching(), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for seed, batch in enumerate(batches):
            hooks.begin(batch)
            with seeded(seed), same_state(model, symptoms.structure):
                loss = checked_loss(loss_fn(model, batch))
            hooks.calls.end()
            symptoms.loss_values.append(float(loss.detach()))
            hooks.collect(loss)
    symptoms.activations = list(hooks.calls.activations.values())
    symptoms.masks = list(hooks.calls.masks.values())
    symptoms.losses = list(hooks.calls.losses.values())
    symptoms.routed = hooks.calls.routed
    symptoms.uncalled = {m.name: m.kind for m in symptoms.modules.values() if not m.calls}


def check_loss_function(loss_fn: LossFunction) -> None:
    """Refuse what is no function of a model and a batch, such as `nn.MSELoss()`.

    Raises:
        ValueError: With the signature that is expected.
    """
    home = str(getattr(loss_fn, "__module__", ""))
    takes_two = callable(loss_fn)
    with suppress(ValueError):  # what is written in C tells no signature
        try:
            inspect.signature(loss_fn).bind(None, None)
        except TypeError:
            takes_two = False
    if not takes_two or home.partition(".")[0] == "torch":
        shown = getattr(loss_fn, "__name__", type(loss_fn).__name__)
        raise ValueError(f"{EXPECTED_LOSS}, got {shown}")


def checked_loss(loss: Any) -> Tensor:
    """Return what a loss function returned.

    Raises:
        ValueError: It is no tensor of one number.
    """
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss
    shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else ""
    raise ValueError(f"{EXPECTED_LOSS}; it returned a {type(loss).__name__}{shape}")


def _finite(symptoms: Symptoms) -> list[bool]:
    """Return which batches gave a finite loss and finite gradients."""
    pairs = zip(symptoms.loss_values, symptoms.grad_norms, strict=True)
    return [math.isfinite(loss) and math.isfinite(norm) for loss, norm in pairs]


def as_found(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer] = (),
    context: TrainingContext | None = None,
) -> Symptoms:
    """List the parameters as they are now, with the gradients they hold."""
    symptoms = Symptoms(context=context or TrainingContext())
    held = held_by(*optimizers)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    symptoms.decays = any(group.get("weight_decay") for group in groups)
    for name, parameter in model.named_parameters():
        grad = parameter.grad
        if grad is not None and grad.is_sparse:
            grad = grad.to_dense()
        symptoms.parameters[name] = ParameterSymptoms(
            name=name,
            module=owner(name),
            weight=parameter,
            requires_grad=parameter.requires_grad,
            optimized=parameter in held if optimizers else None,
            entry=None if grad is None else grad.detach().clone(),
        )
    return symptoms


def held_by(*optimizers: torch.optim.Optimizer) -> set[Tensor]:
    """Return the parameters in any group of the given optimisers."""
    return {p for optimizer in optimizers for g in optimizer.param_groups for p in g["params"]}


def owner(parameter: str) -> str:
    """Return the module a parameter works in, also through a reparametrisation.

    >>> owner("fc.weight"), owner("fc.parametrizations.weight.original1"), owner("logits")
    ('fc', 'fc', '')
    """
    module = parameter.rpartition(".")[0]
    return f".{module}".partition(".parametrizations")[0].lstrip(".")
