"""What the values of a config have to be, checked before anything is read, built or written.

Three sources say it: what is written beside a value in conf/ (where it is a number, a number has to
stand), the tables below for what is not any number, and the metrics a validation ends with. What
depends on the data or the machine is refused where that is known, in `src/runs/build.py`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from src.config.rules import (
    ANY,
    BATCHES,
    BATCHES_OR_NONE,
    COUNT,
    DECAY,
    DECAYS,
    DEVICES,
    FLAG,
    FOLDER_NAME,
    LAYERS,
    LIST,
    MAPPING,
    NOT_NEGATIVE,
    NULL,
    NUMBER,
    PART,
    PATH,
    PATHS,
    SHARE,
    SIZE,
    TEXT,
    TEXTS,
    WHOLE,
    Rule,
    either,
    one_of,
    shown,
    whole,
)
from src.config.trust import nodes_of_conf

SCORES = {
    "val/loss": "min",
    "val/rmse": "min",
    "val/mae": "min",
    "val/mape": "min",
    "val/skill": "max",
    "val/directional_accuracy": "max",
    "val/qlike": "min",
    "val/log_mse": "min",
    "val/accuracy": "max",
    "val/brier": "min",
    "val/log_loss": "min",
}
"""What a validation ends with, by the target, and which way is better."""


SET_BY_RUN = (
    *("callbacks", "logger", "plugins", "default_root_dir"),
    *("enable_progress_bar", "enable_checkpointing"),
)
"""What a Trainer is given by the run, whatever its config says."""

RULES: dict[str, dict[str, Rule]] = {
    # Top-level keys, of whichever command.
    "": {
        "seed": whole(0, 2**32 - 1),
        "compile": FLAG,
        "name": either(NULL, FOLDER_NAME),
        "log_dir": PATH,
        "ckpt_path": either(NULL, PATH),
        "resume": either(NULL, PATH),
        "runs": either(NULL, PATHS),
        "out": either(NULL, PATH),
        "dir": either(NULL, PATH),
        "host": TEXT,
        "batches": COUNT,
        "level": SHARE,
        "ticker": either(NULL, TEXT),
        "port": whole(0, 65535),
        "json": FLAG,
        "plot": FLAG,
    },
    # A group, whatever class is chosen in it.
    "data": {
        "path": either(NULL, PATH, PATHS),
        "tickers": either(NULL, one_of("all"), TEXTS),
        "extra": either(NULL, TEXTS),
        "seed": whole(0),
    },
    "data.columns": dict.fromkeys(
        ("date", "time", "open", "high", "low", "close", "volume", "ticker"),
        either(NULL, COUNT, TEXT),
    ),
    # Larger ones are no model but a slip, or a checkpoint that is to keep somebody's machine busy.
    "model": {
        **{"hidden_size": SIZE, "num_heads": SIZE, "feedforward_size": SIZE, "num_layers": LAYERS},
    },
    "dropout": {"input": DECAY, "projection": DECAY, "encoder": DECAY},
    "optimizer": {
        "lr": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
        "momentum": NOT_NEGATIVE,
        "eps": NOT_NEGATIVE,
        "alpha": DECAY,
        "betas": DECAYS,
        "fused": either(NULL, FLAG),
        "foreach": either(NULL, FLAG),
    },
    "trainer": {
        "accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps"),
        "devices": either(COUNT, one_of("auto", -1), DEVICES),
        "num_nodes": COUNT,
        "max_epochs": either(NULL, one_of(-1), COUNT),
        "max_steps": either(one_of(-1), COUNT),
        "min_epochs": either(NULL, whole(0)),
        "min_steps": either(NULL, whole(0)),
        # Layers in half precision round the weights' updates and the prices themselves away.
        "precision": one_of("32-true", "bf16-mixed", "16-mixed", "64-true"),
        "val_check_interval": either(COUNT, PART),
        "check_val_every_n_epoch": either(NULL, COUNT),
        "limit_train_batches": BATCHES,
        "limit_val_batches": BATCHES,
        "limit_test_batches": BATCHES,
        "overfit_batches": BATCHES_OR_NONE,
        "gradient_clip_val": either(NULL, NOT_NEGATIVE),
        "gradient_clip_algorithm": one_of(None, "norm", "value"),
        "accumulate_grad_batches": COUNT,
        "log_every_n_steps": COUNT,
        "num_sanity_val_steps": either(one_of(-1), whole(0)),
        "deterministic": one_of(True, False, "warn"),
        "benchmark": either(NULL, FLAG),
        **dict.fromkeys(SET_BY_RUN, Rule("nothing, a run says it itself", lambda v: False)),
        "detect_anomaly": FLAG,
        "inference_mode": FLAG,
        "sync_batchnorm": FLAG,
    },
    "hydra.launcher": {
        "n_jobs": either(one_of(-1), COUNT),
        **dict.fromkeys(("timeout_min", "cpus_per_task", "mem_gb"), either(NULL, COUNT)),
    },
    "hydra.sweeper": {"n_jobs": COUNT, "n_trials": COUNT, "max_batch_size": either(NULL, COUNT)},
    "sweep": {
        "resume": either(FLAG, PATH),
        "zip": either(FLAG, LIST),
        "fail_fast": FLAG,
        "compare": FLAG,
        "job": either(NULL, whole(0)),
    },
    # A class, wherever it stands.
    "ModelCheckpoint": {
        "monitor": one_of(*SCORES),
        "mode": one_of("min", "max"),
        "filename": one_of("best"),
    },
    "EarlyStopping": {
        "monitor": one_of(*SCORES),
        "mode": one_of("min", "max"),
        "patience": whole(0),
        "min_delta": NOT_NEGATIVE,
    },
    "RichProgressBar": {"refresh_rate": whole(0)},
    "TQDMProgressBar": {"refresh_rate": whole(0)},
    "GradientScaling": {"features": ANY},
}  # fmt: skip
"""What is known of a value beyond the kind of its default; the constructors know the rest."""


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse a value that no run could use.

    Args:
        values: a composed and settled config as plain values, Hydra's own node left out.

    Raises:
        ValueError: naming the key, what was expected, and the value.
    """
    for path, node in _nodes(values, ""):
        for key, rule in _rules(path, str(node.get("_target_", ""))).items():
            if key in node and not rule.holds(node[key]):
                where = f"{path}.{key}" if path else key
                raise ValueError(f"{where}: expected {rule.expected}, got {shown(node[key])}")
        if node.get("monitor") in SCORES:
            _check_direction(node, path)


def _rules(path: str, target: str) -> dict[str, Rule]:
    """Return the rules for the keys of one mapping: of its class in conf/, its group, its class."""
    own = RULES.get(target.rpartition(".")[2], {}) if target else {}
    return {**_kinds().get(target, {}), **RULES.get(path, {}), **own}


def _check_direction(node: Mapping[str, Any], path: str) -> None:
    """Refuse to keep the worst weights: Lightning takes the smallest score if not told."""
    best, mode = SCORES[node["monitor"]], node.get("mode", "min")
    if mode != best:
        raise ValueError(f"{path}.mode: expected {best} for {node['monitor']}, got {mode}")


def _nodes(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every mapping in a config with its dotted key."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from _nodes(value, f"{path}.{key}" if path else str(key))


@cache
def _kinds() -> Mapping[str, Mapping[str, Rule]]:
    """Return what a key's value in conf/ says of any other value of it, by class and key."""
    seen: dict[str, dict[str, set[type]]] = defaultdict(lambda: defaultdict(set))
    for _, node in nodes_of_conf():
        for key, value in node.items():
            if not key.startswith("_"):
                seen[node["_target_"]][key].add(type(value))
    return {
        target: {key: rule for key, types in keys.items() if (rule := _rule_for(types))}
        for target, keys in seen.items()
    }


def _rule_for(types: set[type]) -> Rule | None:
    """Return the rule for a key with defaults of these types; None where any value may stand.

    Texts are left to the constructors, which choose among them or read more than one kind.
    """
    rules = {bool: FLAG, int: WHOLE, float: NUMBER, list: LIST, dict: MAPPING}
    kinds = types - {str}
    if float in kinds:
        kinds.discard(int)
    if not kinds or type(None) in kinds:
        return None
    return either(*(rules[kind] for kind in sorted(kinds, key=lambda kind: kind.__name__)))
