"""The repairs that are tried: one declaration each, from small changes to large ones.

To add one, write what it does to a `Program` and declare a `Repair` in `REPAIRS`. It may change the
copy it is given in any way; it raises `NotApplicableError` where there is nothing to change.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..causes.experiment import RewrittenCalls
from ..isolation import redraw
from ..symptoms.replay import held_by
from .facts import standardised
from .pairs import Activation, Pair
from .program import NotApplicableError, Program

ALL_AT_ONCE = "all repairs at once"
ROBUST_RATE, CLIP_NORM, LEAK = 1e-3, 1.0, 0.1
RECTIFIERS = frozenset({"relu", "relu6", "threshold", "clamp_min"})
STEPPED = frozenset({"round", "floor", "ceil", "trunc", "sign", "heaviside"})


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One change that makes many a program learn.

    Args:
        name: What is changed.
        family: What it is about; repairs of one family are not combined.
        apply: Makes the change.
        causes: Causes that it answers: a finding of one of them has it tried first.
        do: What to do, in one sentence.
        standard: Whether it is one of those that are tried all at once.
    """

    name: str
    family: str
    apply: Callable[[Program], None]
    causes: Collection[str]
    do: str
    standard: bool = True


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


CLIPPING = Repair(
    name="gradients clipped at norm 1",
    family="clipping",
    apply=clip,
    causes=("exploding", "nonfinite"),
    do="Clip the gradient norm, for example torch.nn.utils.clip_grad_norm_(parameters, 1.0).",
)
LOWER_RATE = Repair(
    name="a tenth of the learning rate",
    family="optimizer",
    apply=scale_rate(0.1),
    causes=("learning_rate_too_high",),
    do="Lower the learning rate to a tenth.",
    standard=False,
)
HIGHER_RATE = Repair(
    name="ten times the learning rate",
    family="optimizer",
    apply=scale_rate(10.0),
    causes=("learning_rate_too_low",),
    do="Raise the learning rate ten times.",
    standard=False,
)
ADAM = Repair(
    name="Adam at 1e-3",
    family="optimizer",
    apply=use_adam,
    causes=("learning_rate_too_high", "learning_rate_too_low", "overclipped", "vanishing"),
    do="Train with torch.optim.Adam(model.parameters(), 1e-3).",
)
ALL_TENSORS = Repair(
    name="every tensor in the optimiser",
    family="membership",
    apply=train_everything,
    causes=("unregistered", "stale_optimizer", "not_optimized", "frozen"),
    do="Hand the optimiser every trainable tensor: layers in an nn.ModuleList, no group left out,"
    " nothing frozen that has to learn.",
    standard=False,
)
STATE = Repair(
    name="no state from batch to batch",
    family="state",
    apply=keep_no_state,
    causes=("carried_state",),
    do="Start every batch from the same state: reset in forward what it keeps.",
    standard=False,
)
TARGETS = Repair(
    name="targets standardised",
    family="targets",
    apply=standardise_targets,
    causes=("misscaled_target", "unreachable_target"),
    do="Subtract the training targets' mean and divide by their spread; undo it in forecasts.",
)
INPUTS = Repair(
    name="inputs standardised",
    family="inputs",
    apply=standardise_inputs,
    causes=("misscaled_input", "nonfinite", "saturated"),
    do="Subtract each feature's training mean and divide by its spread; fill what is not finite.",
)
LOSS = Repair(
    name="natural loss on logits",
    family="loss",
    apply=use_natural_loss,
    causes=(
        "loss_mismatch",
        "broadcast",
        "unreachable_target",
        "nonfinite_gradient",
        "zero_gradient",
        "dead_unit",
    ),
    do="Give the loss that goes with the targets raw outputs of the targets' shape: mean squared"
    " error of numbers, cross entropy of classes with an output for each.",
)
UNITS = Repair(
    name="leaky units",
    family="units",
    apply=soften_units,
    causes=("dead_unit", "zero_gradient"),
    do="Use leaky_relu (softplus at the output), and no rounding before the loss.",
)
FRESH = Repair(
    name="fresh weights",
    family="weights",
    apply=draw_afresh,
    causes=(
        "large_init",
        "zero_init",
        "symmetric_init",
        "dead_unit",
        "saturated",
        "exploding",
        "vanishing",
        "nonfinite",
        "zero_gradient",
        "constant_output",
        "collapsed_input",
    ),
    do="Start again from weights as their modules draw them.",
)

REPAIRS = (
    CLIPPING,
    LOWER_RATE,
    HIGHER_RATE,
    ADAM,
    ALL_TENSORS,
    STATE,
    TARGETS,
    INPUTS,
    LOSS,
    UNITS,
    FRESH,
)
"""All of them, the smallest change first."""
ANSWERED = frozenset(cause for repair in REPAIRS for cause in repair.causes)
BY_HAND = frozenset(
    [
        "detached_loss",
        "fully_masked",
        "degenerate_norm",
        "mixed_samples",
        "future_leak",
        "padding_leak",
        "masked",
        "padding_read",
        "degenerate_target",
        "ignored_input",
    ]
)
"""Causes in a program's structure that no repair here answers: their finding is the answer."""


def standard_repairs(suggested: Collection[Repair]) -> Repair:
    """Return all standard repairs, and those that findings suggest, as one.

    Args:
        suggested: Taken in where their family has no standard one.
    """
    chosen = {repair.family: repair for repair in (*suggested, *REPAIRS) if repair.standard}
    for repair in suggested:
        chosen.setdefault(repair.family, repair)
    # Weights are drawn before layers are exchanged and optimisers made.
    order = sorted(chosen.values(), key=lambda r: (r is not FRESH, r.family == "optimizer"))

    def apply(program: Program) -> None:
        for repair in order:
            with suppress(NotApplicableError):
                repair.apply(program)

    return Repair(
        name=ALL_AT_ONCE,
        family="all",
        apply=apply,
        causes=(),
        do="",
    )


def both(one: Repair, other: Repair) -> Repair:
    """Return two repairs of different families as one."""
    first, second = sorted((one, other), key=lambda r: (r is not FRESH, r.family == "optimizer"))

    def apply(program: Program) -> None:
        first.apply(program)
        second.apply(program)

    return Repair(
        name=f"{first.name} + {second.name}",
        family=f"{first.family} + {second.family}",
        apply=apply,
        causes=tuple(dict.fromkeys([*first.causes, *second.causes])),
        do=f"{first.do} {second.do}",
    )
