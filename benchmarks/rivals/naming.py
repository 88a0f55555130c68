"""Which of our causes a reader of a rival's alarm could conclude: generously, and first of all.

Whatever a rule's message or documentation says, and whatever a reader of it would look at next, is
in. A rule that only says that something does not work (a crash, a batch that cannot be learnt by
heart) names nothing.
"""

_NAN = ("nonfinite", "nonfinite_gradient", "fully_masked")
_NO_FLOW = (
    "zero_gradient",
    "degenerate_norm",
    "unused",
    "dead_unit",
    "detached_loss",
    "zero_init",
    "vanishing",
    "underflow",
    "masked",
    "saturated",
    "collapsed_input",
)
_NOT_TRAINED = ("not_optimized", "stale_optimizer", "unregistered", "frozen")
_LARGE = ("exploding", "misscaled_target", "misscaled_input", "large_init")

NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "torchtest2": {
        "output_finite": _NAN,
        "output_varies": ("constant_output", "collapsed_input", "dead_unit", "zero_init"),
        "eval_determinism": ("carried_state",),
        "loss": ("detached_loss", *_NAN),
        "initial_loss": ("loss_mismatch", "large_init"),
        "optimizer_coverage": _NOT_TRAINED,
        "gradient_flow": _NO_FLOW,
        "gradient_magnitude": (*_LARGE, *_NAN),
        "params_change": (*_NOT_TRAINED, *_NO_FLOW, "learning_rate_too_low"),
        "frozen_params": _NOT_TRAINED,
        "input_dependency": ("ignored_input", "degenerate_norm", "padding_read"),
        "batch_independence": ("mixed_samples", "carried_state"),
    },
    "torch-audit": {
        "TA100": _NAN,
        "TA102": _LARGE,
        "TA103": _NO_FLOW,
        "TA104": ("detached_loss", *_NO_FLOW),
        "TA105": ("dead_unit", "saturated"),
        "TA301": ("misscaled_input",),
        "TA302": ("dead_input", "constant_input"),
        "TA305": _NAN,
        "TA500": ("unused", "unregistered"),
        "TA501": ("mixed_samples", "carried_state"),
    },
    "torchdiag": {
        "step: loss not finite": _NAN,
        "step: nothing changed": (*_NO_FLOW, *_NOT_TRAINED, "learning_rate_too_low"),
        "gradient: no_grad": ("unused", "detached_loss", *_NOT_TRAINED),
        "gradient: VANISH": (*_NO_FLOW, "dead_input"),
        "gradient: EXPLODE": (*_LARGE, "learning_rate_too_high"),
        "dead neurons": ("dead_unit", "zero_init"),
    },
    "preflight-ml": {
        "nan_inf_detection": _NAN,
        "normalisation_sanity": ("misscaled_input",),
        "gradient_check": (*_NO_FLOW, *_LARGE, *_NOT_TRAINED),
        "class_imbalance": ("degenerate_target",),
    },
    "traintools": {
        "non-finite values": _NAN,
        "non-finite gradients": _NAN,
        "vanished": _NO_FLOW,
        "very large": _LARGE,
        "is high": ("learning_rate_too_high", *_LARGE),
        "is tiny": ("learning_rate_too_low", *_NO_FLOW),
        "no gradients": ("detached_loss", "unused"),
        "nearly constant": ("dead_input", "constant_input", "degenerate_target"),
        "abs max": ("misscaled_input", "misscaled_target"),
        "dominant class": ("degenerate_target",),
    },
}


def causes_of(package: str, rule: str) -> tuple[str, ...]:
    """Return the causes that a rule stands for; ours names them itself."""
    names = NAMES.get(package)
    return (rule,) if names is None else names.get(rule, ())
