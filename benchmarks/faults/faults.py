"""The seeded faults: what each says, which causes name it, and where it sits.

The first cause is the primary one. Further causes are accepted where they are true of the injected
state as well; `why` says so. A symptom further down the line (a dead unit after a learning rate
that is too high, say) is not accepted unless listed. `modules` is None where a fault belongs to the
loop, the loss or the whole net: such faults do not enter the localisation score.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmarks.faults import injectors as inject
from benchmarks.faults.activations import dead_shares
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.trial import Trial

Modules = Callable[[Trial], tuple[str, ...]]


@dataclass(frozen=True)
class Fault:
    """One fault of the benchmark.

    Args:
        name: as given on the command line.
        says: what was done, one sentence.
        causes: accepted names of the cause, the primary one first.
        inject: edits a healthy trial.
        architectures: names of those it is seeded in.
        modules: the trial after training -> accepted modules; a name stands for all beneath it.
        why: why the further causes are accepted.
        setup: options of `make_trial`.
    """

    name: str
    says: str
    causes: tuple[str, ...]
    inject: Callable[[Trial], None]
    architectures: tuple[str, ...]
    modules: Modules | None = None
    why: str = ""
    setup: dict[str, Any] = field(default_factory=dict)


def at(place: Callable[[Any], tuple[str, ...]]) -> Modules:
    """Accept modules that depend on the architecture alone."""
    return lambda trial: place(trial.architecture)


def dead_layers(trial: Trial) -> tuple[str, ...]:
    """Locate the ReLU modules with dead units after training, and the layers that feed them.

    The empty name, the whole net, is accepted beside them: the learning rate belongs to no layer.
    """
    batches = [trial.task.select(torch.arange(256))]
    dead = {name for name, share in dead_shares(trial.model, batches).items() if share > 0.2}
    leaves = [name for name, module in trial.model.named_modules() if not list(module.children())]
    feeding = {
        name.replace("activation", "linear1")
        if name.endswith("activation")
        else leaves[leaves.index(name) - 1]
        for name in dead
    }
    return ("", *sorted(dead | feeding))


def with_place(place: str) -> tuple[str, ...]:
    """Name the architectures that have one kind of place."""
    return tuple(name for name, item in ARCHITECTURES.items() if getattr(item, place))


COMMON = ("mlp", "encoder", "gru", "tcn", "mixer", "postnorm")
OTHERS = ("mlp", "encoder", "lstm", "rescnn", "resmlp", "hybrid")
GATED = ("gru", "lstm", "stacked_rnn")
inputs = at(lambda a: a.inputs)
pair = at(lambda a: tuple(a.pair))
upstream = at(lambda a: (a.upstream,))
rectified = at(lambda a: (a.relu.shifted, a.relu.relu))
output = at(lambda a: ("output", "head"))
# The mask enters at the whole net, and is used by the pooling and by attention.
masking = at(lambda a: ("", "pool", *(("body",) if a.attention else ())))
recurrent = at(lambda a: (a.recurrent,))

_FAULTS = (
    Fault(
        "dead_features",
        "86 of 129 features are zero",
        ("dead_input", "duplicate_input"),
        inject.zero_features,
        COMMON,
        inputs,
        why="behind a layer norm over the features the dead ones become copies of one column",
    ),
    Fault(
        "constant_feature",
        "one feature holds one number",
        ("constant_input",),
        inject.constant_feature,
        OTHERS,
        inputs,
    ),
    Fault(
        "features_times_1e4",
        "13 features scaled by 1e4",
        ("misscaled_input",),
        inject.scale_features(1e4),
        COMMON,
        inputs,
    ),
    Fault(
        "features_times_1e-4",
        "13 features scaled by 1e-4",
        ("misscaled_input",),
        inject.scale_features(1e-4),
        OTHERS,
        inputs,
    ),
    Fault("nan_cell", "one NaN cell", ("nonfinite",), inject.one_nan_cell, COMMON, inputs),
    Fault(
        "dead_relu_bias",
        "a rectified layer has bias -10",
        ("dead_unit",),
        inject.shift_units(keep=0),
        ("mlp", "encoder", "gru", "tcn", "rescnn", "postnorm", "hybrid"),
        rectified,
    ),
    Fault(
        "dead_relu_rate",
        "a learning rate 100 times Adam's 2e-3 kills the ReLUs",
        ("dead_unit", "learning_rate_too_high"),
        inject.adam_at(0.2),
        ("mlp", "rescnn", "postnorm"),
        dead_layers,
        why="the rate is the cause of the dead units",
    ),
    Fault(
        "lone_unit",
        "one unit of a rectified layer carries the whole signal",
        ("dead_unit",),
        inject.shift_units(keep=1),
        ("mlp", "encoder", "gru", "postnorm", "hybrid"),
        rectified,
    ),
    Fault(
        "gates_saturated",
        "gate pre-activations x20",
        ("saturated", "large_init"),
        inject.saturate_recurrence,
        GATED,
        recurrent,
        why="the factor sits in the weights, which are twenty times too large",
    ),
    Fault(
        "tanh_saturated",
        "tanh pre-activation x20",
        ("saturated",),
        inject.saturate_tanh,
        # not in the lstm: its readout gets 0.1, twenty times that is 2, and it learns like its twin
        ("mlp", "encoder", "stacked_rnn", "mixer", "hybrid"),
        at(lambda a: ("trunk",)),
    ),
    Fault(
        "deep_sigmoid",
        "12 sigmoid layers",
        ("vanishing",),
        inject.deep_sigmoid,
        COMMON,
        at(lambda a: ("trunk",)),
    ),
    Fault(
        "rnn_500_steps",
        "an RNN over 500 steps",
        ("vanishing",),
        inject.stop_after(25),
        ("rnn", "stacked_rnn"),
        recurrent,
        setup={"steps": 500, "samples": 64, "batch_size": 8},
    ),
    Fault(
        "recurrent_gain",
        "recurrent gain 2 without clipping, over 32 steps",
        ("exploding",),
        inject.recurrent_gain,
        ("rnn", "stacked_rnn"),
        recurrent,
        setup={"steps": 32},
    ),
    Fault(
        "zero_init",
        "two consecutive layers start at zero",
        ("zero_init", "symmetric_init"),
        inject.fill_pair(0.0),
        COMMON,
        pair,
        why="zero weights are a special case of equal ones",
    ),
    Fault(
        "constant_init",
        "two consecutive layers start from one constant",
        ("symmetric_init",),
        inject.fill_pair(0.05),
        OTHERS,
        pair,
    ),
    Fault(
        "gain_10",
        "all weight matrices start ten times too large",
        ("large_init",),
        inject.gain_of_ten,
        COMMON,
    ),
    Fault(
        "rate_times_1e3",
        "learning rate x1000",
        ("learning_rate_too_high",),
        inject.scale_rate(1e3),
        OTHERS,
    ),
    Fault(
        "rate_times_1e-6",
        "learning rate x1e-6",
        ("learning_rate_too_low",),
        inject.scale_rate(1e-6),
        COMMON,
    ),
    Fault(
        "frozen_layer",
        "a layer the optimiser holds does not require gradients",
        ("frozen",),
        inject.freeze,
        OTHERS,
        upstream,
    ),
    Fault(
        "detached_branch",
        "a branch is detached",
        ("unused",),
        inject.detach,
        COMMON,
        lambda trial: (inject.detached_part(trial),),
    ),
    Fault(
        "group_missing",
        "a module is missing from the optimiser",
        ("not_optimized",),
        inject.forget_group,
        OTHERS,
        upstream,
    ),
    Fault(
        "never_called",
        "a module is never called",
        ("unused",),
        inject.never_call,
        COMMON,
        at(lambda a: ("gate",)),
    ),
    Fault(
        "fp16_underflow",
        "half precision, loss x1e-7, no scaler",
        ("underflow",),
        inject.underflow,
        ("mlp", "encoder", "gru", "rescnn", "resmlp", "hybrid"),
    ),
    Fault(
        "scaler_collapse",
        "the loss scale collapses on repeated inf",
        ("scaler_collapse", "nonfinite"),
        inject.collapse_scaler,
        COMMON,
        why="the loss that overflows is why the scale collapses",
    ),
    Fault(
        "never_cleared",
        "gradients are never cleared",
        ("accumulating",),
        inject.never_clear,
        OTHERS,
    ),
    Fault("overclipped", "clipping at 1e-6", ("overclipped",), inject.overclip, COMMON),
    Fault(
        "mask_inverted",
        "the mask is True on padding",
        ("masked",),
        inject.invert_mask,
        ("mlp", "encoder", "gru", "postnorm", "hybrid"),
        masking,
        setup={"padded": True},
    ),
    Fault(
        "sigmoid_output",
        "a sigmoid output for targets outside (0, 1)",
        ("unreachable_target", "loss_mismatch"),
        inject.add_output(nn.Sigmoid),
        COMMON,
        output,
        why="such an output does not go with a squared error on standardised targets",
    ),
    Fault(
        "relu_output",
        "a ReLU output for targets below 0",
        ("unreachable_target", "loss_mismatch"),
        inject.add_output(nn.ReLU),
        OTHERS,
        output,
        why="such an output does not go with a squared error on standardised targets",
    ),
    Fault(
        "double_softmax",
        "softmax before a loss that applies it again",
        ("loss_mismatch",),
        inject.add_output(lambda: nn.Softmax(dim=1)),
        COMMON,
        output,
        setup={"classify": True},
    ),
    Fault(
        "target_scale",
        "targets of scale 1e4 unscaled",
        ("misscaled_target",),
        inject.scale_targets,
        OTHERS,
    ),
    Fault(
        "equal_targets", "all targets equal", ("degenerate_target",), inject.equal_targets, COMMON
    ),
    Fault(
        "norm_weight_zero",
        "a layer norm's weight is 0 on the fresh net",
        ("zero_init", "dead_unit"),
        inject.zero_norm,
        with_place("norm"),
        at(lambda a: (a.norm,)),
        why="a zero outgoing weight leaves the units in front of it without a gradient",
    ),
    Fault(
        "residual_dropped",
        "residual connections are missing",
        ("vanishing",),
        inject.drop_residuals,
        ("tcn", "resmlp"),
        at(lambda a: ("body",)),
    ),
    Fault(
        "query_key_zero",
        "query and key projections are zero",
        ("zero_init", "dead_unit"),
        inject.zero_query_and_key,
        with_place("attention"),
        at(lambda a: a.attention),
        why="each is the zero outgoing weight of the other",
    ),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _FAULTS}
