"""The repairs that are tried: one declaration each, from small changes to large ones.

To add one, write what it does to a `Program` in changes.py and declare a `Repair` in `REPAIRS`.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from .changes import (
    clip,
    draw_afresh,
    drop_decay,
    keep_no_state,
    scale_rate,
    soften_units,
    standardise_inputs,
    standardise_targets,
    train_everything,
    use_adam,
    use_natural_loss,
)
from .program import NotApplicableError, Program

ALL_AT_ONCE = "all repairs at once"


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
NO_DECAY = Repair(
    name="no weight decay",
    family="optimizer",
    apply=drop_decay,
    causes=(),
    do="Set weight_decay to 0, or to 0.01 at most: it pulls every weight to zero.",
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
    NO_DECAY,
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
