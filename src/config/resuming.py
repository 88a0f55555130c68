"""What a command line may change of a run that goes on, and what it may not."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from src.config import CONFIG_DIR
from src.config.compose import own_part
from src.config.overrides import parse
from src.config.trust import settled

HOW = ("trainer", "callbacks", "logger")
"""Parts of a config that a run may go on with another of: how it is trained and watched."""
_KEEPS_ANOTHER_STATE = (".amsgrad", ".centered", ".momentum")
"""Ends of keys that make an optimiser another one, whose state a checkpoint does not have."""
WHERE = ("resume", "name", "log_dir")
"""Keys that say which run is meant, or where it lies."""
_ADDED: Mapping[str, Any] = {
    "compile": False,
    "data.horizon": 1,
    "data.volatility_estimator": "garman_klass",
    "evaluation": {},
    "model.forget_bias": 0.0,
    "output._target_": "src.models.output.PointOutput",
}
"""Keys that a run of an earlier version does not have, each with what it did all the same."""


def asked_for(config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Return every value that a command line asks for, by dotted key.

    Args:
        config: what was composed of the line, resolved.
        overrides: its `key=value` items; of a group all values count, of a preset those in which it
            differs from no preset.

    Returns:
        Values; of a group named on the line that tells how a run is trained, the whole of it.
    """
    parsed = parse(overrides)
    keys = [override.key_or_group for override in parsed]
    keys += [group for override in parsed for group in _groups_of_preset(override)]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        default = dict(leaves(settled(own_part(compose("train")))))
    values = dict(leaves(config))
    asked = {k: v for k, v in values.items() if k not in default or default[k] != v}
    for key in keys:
        asked |= {k: v for k, v in values.items() if k == key or k.startswith(f"{key}.")}
    asked |= {o.key_or_group: None for o in parsed if o.is_delete()}
    whole = {k: plain(config.get(k) or OmegaConf.create()) for k in keys if k in HOW}
    parts = {k: v for k, v in asked.items() if k.split(".")[0] not in (*WHERE, *whole)}
    return whole | parts


def _groups_of_preset(override: Override) -> list[str]:
    """Return the groups that `experiment=<preset>` chooses an option of, but for `HOW`."""
    file = CONFIG_DIR / override.key_or_group / f"{override.value()}.yaml"
    if override.key_or_group != "experiment" or not file.is_file():
        return []
    entries = yaml.safe_load(file.read_text()).get("defaults", ())
    groups = [key.split("/")[-1] for entry in entries if isinstance(entry, dict) for key in entry]
    return [group for group in groups if group not in HOW]


def going_on(
    stored: Mapping[str, Any], asked: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the config with which a run goes on, and what of it is new, a line each.

    Args:
        stored: the run's own config.
        asked: values by dotted key, as of `asked_for`.

    Raises:
        ValueError: a value differs that makes it another run.

    >>> going_on({"trainer": {"max_epochs": 20}, "seed": 0}, {"trainer.max_epochs": 40, "seed": 0})
    ({'trainer': {'max_epochs': 40}, 'seed': 0}, ['trainer.max_epochs: 20 -> 40'])
    """
    now: dict[str, Any] = copy.deepcopy(dict(stored))
    before = dict(leaves(stored))
    for key, value in asked.items():
        if key not in before and key in _ADDED and _ADDED[key] == value:
            continue
        *parents, last = key.split(".")
        node = now
        for parent in parents:
            inner = node.get(parent)
            child = dict(inner) if isinstance(inner, Mapping) else {}
            node[parent] = child
            node = child
        node[last] = value
    changes = difference(stored, now)
    for change in changes:
        key = change.partition(":")[0]
        is_option = key.startswith("optimizer.") and not key.endswith(("_", *_KEEPS_ANOTHER_STATE))
        if key.split(".")[0] not in HOW and not is_option:
            raise ValueError(
                f"resume: {change} makes it another run; what may change is {', '.join(HOW)} and "
                "the optimizer's rates"
            )
    return now, changes


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say which keys of two configs differ, with their values.

    >>> difference({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b: 1 -> 3']
    """
    old, new = dict(leaves(before)), dict(leaves(now))
    old = {key: value for key, value in _ADDED.items() if key in new} | old
    keys = dict.fromkeys([*old, *new])
    return [f"{k}: {old.get(k)} -> {new.get(k)}" for k in keys if old.get(k) != new.get(k)]


def is_same_run(stored: Mapping[str, Any], config: DictConfig) -> bool:
    """Say whether a run's config is what a command line asks for, but for how it is trained."""
    parts = (*HOW, *WHERE, "ckpt_path")
    before, now = ({k: v for k, v in c.items() if k not in parts} for c in (stored, plain(config)))
    return not difference(before, now)


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a config as plain values, resolved."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested mappings by its dotted key; an empty mapping is a value.

    >>> list(leaves({"a": {"b": [1, 2]}, "c": {}}))
    [('a.b', [1, 2]), ('c', {})]
    """
    values: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, values
