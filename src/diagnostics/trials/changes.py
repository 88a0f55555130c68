"""What repairs do to a program: each changes the copy that it is given, never the user's objects.

A change raises `NotApplicableError` where there is nothing of its kind to be changed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..causes.experiment import RewrittenCalls
from ..isolation import redraw
from ..symptoms.replay import held_by
from .pairs import Activation, Pair
from .program import NotApplicableError, Program
from .program_facts import standardised

ROBUST_RATE, CLIP_NORM, LEAK = 1e-3, 1.0, 0.1
RECTIFIERS = frozenset({"relu", "relu6", "threshold", "clamp_min"})
STEPPED = frozenset({"round", "floor", "ceil", "trunc", "sign", "heaviside"})


def clip(program: Program) -> None:
    """Clip gradients at norm 1."""
    program.clip_norm = CLIP_NORM


def scale_rate(factor: float) -> Callable[[Program], None]:
    """Return a repair that multiplies the learning rate of every group."""

    def apply(program: Program) -> None:
        for optimizer in program.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * factor

    return apply


def drop_decay(program: Program) -> None:
    """Let no weight decay pull the weights to zero."""
    groups = [group for o in program.optimizers for group in o.param_groups]
    if not any(group.get("weight_decay") for group in groups):
        raise NotApplicableError("there is no weight decay")
    for group in groups:
        group["weight_decay"] = 0.0


def use_adam(program: Program) -> None:
    """Train what the optimisers hold with Adam at 1e-3 and nothing else."""
    held = [p for p in held_by(*program.optimizers) if p.requires_grad]
    if not held:
        raise NotApplicableError("no parameter is trained")
    order = {id(p): i for i, p in enumerate(program.model.parameters())}
    held.sort(key=lambda p: order.get(id(p), len(order)))
    program.optimizers = [torch.optim.Adam(held, ROBUST_RATE)]


def train_everything(program: Program) -> None:
    """Hand the optimiser every trainable tensor that it lacks, thawed, listed or not."""
    for parameter in program.model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    held, reached = held_by(*program.optimizers), program.leaves()
    lacking = [t for t in [*program.model.parameters(), *reached] if t.is_floating_point()]
    lacking = list({id(t): t for t in lacking if t not in held}.values())
    if not lacking:
        raise NotApplicableError("the optimiser holds every tensor")
    rate = max((g["lr"] for o in program.optimizers for g in o.param_groups), default=ROBUST_RATE)
    if program.optimizers:
        program.optimizers[0].add_param_group({"params": lacking, "lr": rate})
    else:
        program.optimizers = [torch.optim.Adam(lacking, rate)]


def standardise_inputs(program: Program) -> None:
    """Give every input feature mean 0 and spread 1, and fill what is not finite."""
    inputs = program.facts.inputs
    if not inputs:
        raise NotApplicableError("no input is a tensor of numbers")
    program.change_batch.append(lambda batch: standardised(batch, inputs))


def standardise_targets(program: Program) -> None:
    """Give targets that are numbers mean 0 and spread 1, as they enter the loss."""
    losses = program.facts.losses
    if not any(facts.classes == 0 for facts in losses):
        raise NotApplicableError("no target is a number")

    def retarget(number: int, pair: Pair) -> Tensor:
        facts = losses[min(number, len(losses) - 1)]
        return pair.target if facts.classes else (pair.target - facts.mean) / facts.std

    program.retarget = retarget


def use_natural_loss(program: Program) -> None:
    """Compare logits with targets, entry by entry, by the loss that goes with the targets."""
    losses = program.facts.losses
    if not losses:
        raise NotApplicableError("no predictions and targets were seen in the loss")
    program.natural = True
    program.skipped = frozenset(f.activation for f in losses if f.activation is not None)
    for facts in losses:
        if facts.classes > 1 and facts.columns == 1:
            _widen_head(program, facts.classes)


def _widen_head(program: Program, classes: int) -> None:
    """Replace the last layer of one output by one with an output for each class."""
    heads = [
        (name, module)
        for name, module in program.model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == 1
    ]
    if not heads:
        raise NotApplicableError(f"no last layer that could have {classes} outputs was found")
    name, old = heads[-1]
    new = nn.Linear(old.in_features, classes, old.bias is not None).to(old.weight)
    parent, _, child = name.rpartition(".")
    setattr(program.model.get_submodule(parent), child, new)

    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        program.logits = output

    new.register_forward_hook(keep)
    _exchange(program.optimizers, dict(zip(old.parameters(), new.parameters(), strict=True)))


def _exchange(
    optimizers: list[torch.optim.Optimizer], new: Mapping[nn.Parameter, nn.Parameter]
) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [new.get(p, p) for p in group["params"]]
        for old in new:
            optimizer.state.pop(old, None)


def soften_units(program: Program) -> None:
    """Let rectifiers leak, and let gradients pass rounding and its like unchanged."""
    outputs = {f.activation for f in program.facts.losses}

    def maker(_: nn.Module) -> AbstractContextManager[Any]:
        counts: dict[str, int] = {}

        def rewrite(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
            name = name.strip("_")
            if name in STEPPED and args and isinstance(args[0], Tensor) and args[0].requires_grad:
                return func(*args, **kwargs).detach() + args[0] - args[0].detach()
            if name not in RECTIFIERS:
                return NotImplemented
            call = Activation(name, counts.get(name, 0))
            counts[name] = call.ordinal + 1
            if program.skipped and call in outputs:
                return NotImplemented  # it is left out in any case
            return nn.functional.leaky_relu(args[0] if args else kwargs["input"], LEAK)

        return RewrittenCalls(rewrite)

    program.around.append(maker)


def draw_afresh(program: Program) -> None:
    """Draw all weights afresh and forget what the optimisers remember."""
    redraw(program.model)
    for optimizer in program.optimizers:
        optimizer.state.clear()


def keep_no_state(program: Program) -> None:
    """Play every batch from the state that the model was found with."""
    program.around.append(_state_put_back)


@contextmanager
def _state_put_back(model: nn.Module) -> Iterator[None]:
    """Put attributes back that are neither weights nor buffers nor modules."""
    own = ("_parameters", "_buffers", "_modules", "training")
    held = [(vars(m), {k: v for k, v in vars(m).items() if k not in own}) for m in model.modules()]
    try:
        yield
    finally:
        for attributes, values in held:
            attributes.update(values)
