"""The operators as they are published: what each touches, why it is wrong, at which doses."""

from typing import Any, NamedTuple


class Operator(NamedTuple):
    """One operator.

    Args:
        category: the component of a transformer that it touches.
        root_cause: the published name of what is wrong.
        does: in our words, on our models.
        doses: of its parameter; one `None` where it has none.
        accepted: our findings that say the root cause.
        scope: `encoder`, `decoder` or `both`.
    """

    category: str
    root_cause: str
    does: str
    doses: tuple[Any, ...] = (None,)
    accepted: tuple[str, ...] = ()
    scope: str = "both"


HALF = (0.1, 0.3, 0.5)
FACTORS = (0.5, 2.0, 5.0)
MASKS = ("masked", "padding_leak", "future_leak", "fully_masked", "padding_read")
SILENT = ("dead_unit", "zero_init", "symmetric_init", "zero_gradient", "vanishing")
SCALED = ("large_init", "exploding", "saturated", "misscaled_target")

OPERATORS: dict[str, Operator] = {
    "MZM": Operator(
        "masking", "mask_application", "the padding mask hides nothing", accepted=MASKS
    ),
    "MIM": Operator("masking", "mask_application", "the padding mask is inverted", accepted=MASKS),
    "MRM": Operator(
        "masking",
        "mask_generation",
        "the padding mask is turned along an axis that happens to fit",
        ("batch", "head"),
        (*MASKS, "mixed_samples"),
    ),
    "MCB": Operator(
        "masking", "dynamic_mask", "a share of the future is visible", HALF, MASKS, "decoder"
    ),
    "QZQ": Operator(
        "qkv", "parameter_initialization", "query weights are zero", accepted=(*SILENT, "unused")
    ),
    "QZK": Operator(
        "qkv", "parameter_initialization", "key weights are zero", accepted=(*SILENT, "unused")
    ),
    "QZV": Operator(
        "qkv", "parameter_initialization", "value weights are zero", accepted=(*SILENT, "unused")
    ),
    "QSW": Operator("qkv", "head_interaction", "query and key weights change places"),
    "QTH": Operator(
        "qkv",
        "head_interaction",
        "heads share the weights of the first",
        ("first_half", "alternating", "all"),
        ("symmetric_init", "duplicate_input"),
    ),
    "QFG": Operator(
        "qkv",
        "dynamic_parameter_registration",
        "query, key and value weights are frozen",
        accepted=("frozen", "not_optimized", "unused", "stale_optimizer"),
    ),
    "QHD": Operator(
        "qkv",
        "dimension",
        "the width is cut into other heads",
        ("half_heads", "double_heads", "single_head"),
    ),
    "SDS": Operator(
        "score", "normalization", "scores are not divided by sqrt(d)", accepted=("saturated",)
    ),
    "SPD": Operator(
        "score", "implementation", "dropout before the softmax", HALF, ("active_dropout",)
    ),
    "SUC": Operator(
        "score",
        "precision_handling",
        "scores in half precision",
        accepted=("underflow", "nonfinite"),
    ),
    "POE": Operator(
        "positional",
        "indexing",
        "positions are left out",
        accepted=("ignored_input", "unused", "dead_input"),
    ),
    "PSI": Operator("positional", "relative_position", "positions are shifted", (1, 2, 4)),
    "PTL": Operator("positional", "interpolation", "positions end before the sequence", (4, 6, 8)),
    "KSB": Operator("kernel", "silent_fallback", "another, slower kernel"),
    "KMD": Operator(
        "kernel", "feature_constraints", "dropout in the kernel alone", HALF, ("active_dropout",)
    ),
    "KFT": Operator(
        "kernel",
        "hardware_incompatibility",
        "double precision, or a layout that is no longer contiguous",
        ("dtype", "layout"),
    ),
    "KRP": Operator(
        "kernel",
        "numerical_precision",
        "the kernel rounds to half precision",
        ("fp16", "bf16"),
        ("underflow", "nonfinite"),
    ),
    "KMC": Operator("kernel", "kernel_memory", "keys are taken in chunks"),
    "VSH": Operator(
        "variant",
        "variant_configuration",
        "all heads but one give zeros",
        accepted=("dead_unit", "zero_gradient", "dead_input"),
    ),
    "VEC": Operator(
        "variant",
        "dynamic_dispatch",
        "an encoder with a causal mask",
        accepted=("future_leak", "masked", "ignored_input"),
        scope="encoder",
    ),
    "CST": Operator(
        "kv_cache",
        "cache_invalidation",
        "the cache misses its latest step",
        ("first", "last", "all"),
        ("carried_state", "ignored_input"),
        "decoder",
    ),
    "CDU": Operator(
        "kv_cache",
        "update_synchronization",
        "the current step's key and value are withheld",
        accepted=("carried_state", "ignored_input"),
        scope="decoder",
    ),
    "COB": Operator(
        "kv_cache",
        "cache_position",
        "the cache is read one step off",
        (-1, 1),
        ("carried_state", "ignored_input", "future_leak"),
        "decoder",
    ),
    "CTR": Operator(
        "kv_cache",
        "memory_layout",
        "the cache keeps its last steps only",
        (2, 4, 6),
        ("carried_state", "ignored_input"),
        "decoder",
    ),
    "CLK": Operator(
        "kv_cache",
        "distributed_synchronization",
        "the cache of the request before is used",
        accepted=("carried_state", "mixed_samples"),
        scope="decoder",
    ),
    "ETZ": Operator(
        "embedding",
        "input_initialization",
        "embeddings of some inputs are zero",
        HALF,
        ("zero_init", "dead_input", "constant_input", "symmetric_init"),
    ),
    "ESW": Operator("embedding", "input_type", "embeddings of some inputs change places", HALF),
    "ESS": Operator(
        "embedding",
        "input_type",
        "embeddings of the type are scaled",
        FACTORS,
        ("large_init", "misscaled_input"),
    ),
    "EZD": Operator(
        "embedding",
        "input_dimension",
        "a block of the embeddings' dimensions is zero",
        HALF,
        ("zero_init", "dead_unit", "dead_input"),
    ),
    "FSW": Operator(
        "ffn", "weight_scaling", "weights are scaled", FACTORS, ("large_init", "exploding")
    ),
    "FDN": Operator(
        "ffn",
        "neuron_dropout",
        "some units are silent for good",
        HALF,
        ("dead_unit", "zero_gradient", "dead_input"),
    ),
    "FCA": Operator(
        "ffn",
        "activation_function",
        "another activation",
        ("ReLU", "GELU", "Tanh", "Sigmoid"),
        ("saturated", "dead_unit", "vanishing"),
    ),
    "FRG": Operator("ffn", "regularization", "another weight decay", (0.0, 1e-2, 1e-1)),
    "FWI": Operator(
        "ffn",
        "weight_initialization",
        "weights start at zero, uniform or at one",
        ("zeros", "uniform", "constant_one"),
        (*SILENT, *SCALED, "constant_output"),
    ),
    "NSG": Operator("layernorm", "scale_parameter", "gains are scaled", FACTORS, SCALED),
    "NZG": Operator(
        "layernorm",
        "scale_parameter",
        "gains are zero",
        accepted=(*SILENT, "constant_output", "collapsed_input", "dead_input", "constant_input"),
    ),
    "NSB": Operator(
        "layernorm", "bias_parameter", "biases are shifted", (0.5, 1.0, 2.0), ("saturated",)
    ),
    "NCE": Operator("layernorm", "stability_parameter", "another epsilon", (1e-4, 1e-2, 1e0)),
    "NWD": Operator("layernorm", "regularization", "gains and biases decay", (1e-2, 1e-1, 1.0)),
    "RRS": Operator(
        "residual",
        "skip_connection",
        "the residual path is left out",
        accepted=("vanishing", "dead_input", "ignored_input", "constant_output"),
    ),
    "RSR": Operator("residual", "residual_scaling", "the residual path is scaled", FACTORS, SCALED),
    "RIN": Operator("residual", "residual_path", "noise on the residual path", (0.01, 0.1, 1.0)),
    "RGC": Operator(
        "residual",
        "gradient_clipping",
        "another threshold of clipping",
        (0.1, 1.0, 10.0),
        ("overclipped", "exploding"),
    ),
    "RDR": Operator("residual", "dropout_rate", "another dropout", HALF),
    "OSL": Operator(
        "output",
        "output_scaling",
        "the output is scaled",
        FACTORS,
        ("large_init", "misscaled_target", "loss_mismatch"),
    ),
    "OZR": Operator(
        "output",
        "output_dimension",
        "rows of the output's weight are zero",
        ("rare", "balanced", "all"),
        ("zero_init", "dead_unit", "constant_output", "zero_gradient"),
    ),
    "ORI": Operator(
        "output",
        "output_type",
        "the output's weight is drawn anew",
        ("zeros", "xavier", "kaiming"),
        ("zero_init", "constant_output", "zero_gradient"),
    ),
    "OOD": Operator(
        "output",
        "output_dimension",
        "the output is turned by some places",
        (-1, 1, 2),
        ("mixed_samples", "loss_mismatch", "unreachable_target", "broadcast"),
    ),
}


def operators(scope: str) -> dict[str, Operator]:
    """Return those that apply to an `encoder` or a `decoder`."""
    return {name: op for name, op in OPERATORS.items() if op.scope in (scope, "both")}
