"""What a config may hold: plain values, two resolvers, and the classes that conf/ names.

A config is data, whoever wrote it: a command line, somebody's folder of presets, a checkpoint. It
runs nothing else, and what is checked here is the very thing that is built.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from src.config import CONFIG_DIR

RESOLVERS = ("now", "scaled")
"""What `${name:...}` may say; every other resolver can read or build things."""

_INTERPOLATION = re.compile(rf"\$\{{(?:[\w./\[\]-]+|(?:{'|'.join(RESOLVERS)}):[^${{}}]*)\}}")
_DEEPEST = 32

# Beside the classes of conf/: what one more line on the command line asks for. Whether a class is
# only prepared (`_partial_`), and called later with what the config does not know, goes with it.
_FURTHER = {
    "optimizer": {f"torch.optim.{name}": True for name in ("NAdam", "RAdam", "RMSprop")},
    "callbacks": {
        f"lightning.pytorch.callbacks.{name}": False
        for name in ("LearningRateMonitor", "TQDMProgressBar", "RichProgressBar")
    },
}


class CheckpointError(ValueError):
    """A checkpoint, or another file of a run, that is damaged or not written by this project."""

    exit_code = 3


class RefusedError(ValueError):
    """A config says what no config may say."""


def scaled(steps: int, *, _root_: DictConfig) -> int:
    """Return a number of steps times `schedule.scale`, at least 1: `${scaled:500}` in a config."""
    return max(1, round(steps * _root_.schedule.scale))


OmegaConf.register_new_resolver("scaled", scaled, replace=True)


def forget_other_resolvers() -> None:
    """Unregister what OmegaConf itself could resolve: `${oc.env:...}` and the like.

    A defaults list is resolved while it is read, before any check can see it.
    """
    for name in ("create", "decode", "deprecated", "dict.keys", "dict.values", "env", "select"):
        OmegaConf.clear_resolver(f"oc.{name}")


@cache
def classes() -> Mapping[str, Mapping[str, bool]]:
    """Return the classes a config may name, by group, each with whether it is `_partial_`."""
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for group, node in nodes_of_conf():
        found[group][node["_target_"]] = node.get("_partial_", False)
    for group, further in _FURTHER.items():
        found[group] |= further
    return dict(found)


@cache
def nodes_of_conf() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return every mapping in conf/ that names a class, with the group it belongs to."""
    found = []
    for file in sorted(CONFIG_DIR.rglob("*.yaml")):
        text = file.read_text()
        group = file.relative_to(CONFIG_DIR).parts[0]
        for path, node in _dicts(yaml.load(text, Loader=_Loader), ()):
            if "_target_" in node:
                own = path[0] if "@package _global_" in text or group.endswith(".yaml") else group
                found.append((own, node))
    return tuple(found)


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _dicts(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from _dicts(value, (*path, str(key)))


def settled(config: DictConfig) -> DictConfig:
    """Return a composed config, or a part of one, as it is to be built: `settled_values` of it."""
    return OmegaConf.create(settled_values(config))


def settled_values(config: DictConfig) -> dict[str, Any]:
    """Return a composed config, or a part of one, as plain values.

    Args:
        config: with interpolations, Hydra's own node left out.

    Raises:
        RefusedError: it names a class or a resolver that is not on the list; the line says where.
    """
    check_interpolations(OmegaConf.to_container(config, resolve=False))
    plain: Any = OmegaConf.to_container(config, resolve=True)
    _check(plain, str(config._get_full_key(None) or ""), 0)
    return plain


def trusted(stored: Any, source: Path | str) -> dict[str, Any]:
    """Return the config that a checkpoint or a run folder holds, checked, under present names.

    Args:
        stored: what was read: plain values, as they were when the run was made.
        source: the file, for the message.

    Raises:
        CheckpointError: it is no config of this project; the line says which key and why.
    """
    try:
        if not isinstance(stored, dict):
            raise RefusedError(f"a config is a mapping, got {type(stored).__name__}")
        present = {key: _renamed(value, str(key), 0) for key, value in stored.items()}
        _check(present, "", 0)
    except RefusedError as error:
        raise CheckpointError(f"{source}: the config in it is refused: {error}") from None
    return present


def check_interpolations(node: Any, path: str = "", depth: int = 0) -> None:
    """Refuse `${...}` other than the name of a key or a resolver on the list, anywhere in values.

    Raises:
        RefusedError: naming the key and what it says.
    """
    if isinstance(node, dict):
        _check_depth(depth, path)
        for key, value in node.items():
            check_interpolations(str(key), path, depth)
            check_interpolations(value, _join(path, key), depth + 1)
    elif isinstance(node, list | tuple):
        _check_depth(depth, path)
        for index, value in enumerate(node):
            check_interpolations(value, _join(path, index), depth + 1)
    elif isinstance(node, str) and "${" in _INTERPOLATION.sub("", node):
        allowed = " and ".join(f"${{{name}:...}}" for name in RESOLVERS)
        raise RefusedError(f"{path}: {node!r} is refused: a config may use {allowed} only")


def _check(node: Any, path: str, depth: int) -> None:
    """Refuse what is not plain, or names something to call that is not on the list."""
    if isinstance(node, dict):
        _check_depth(depth, path)
        _check_class(node, path)
        for key, value in node.items():
            if not isinstance(key, str) or "${" in key:
                raise RefusedError(f"{path}: a key is a plain text, got {key!r}")
            _check(value, _join(path, key), depth + 1)
    elif isinstance(node, list):
        _check_depth(depth, path)
        for index, value in enumerate(node):
            _check(value, _join(path, index), depth + 1)
    elif isinstance(node, str):
        if "${" in node:
            raise RefusedError(f"{path}: a plain value is expected, got {node!r}")
    elif not (node is None or type(node) in (bool, int, float)):
        raise RefusedError(f"{path}: a plain value is expected, got a {type(node).__name__}")


def _check_class(node: dict, path: str) -> None:
    """Refuse a mapping whose `_target_` and `_partial_` are not those of a class on the list."""
    special = [key for key in node if isinstance(key, str) and re.fullmatch(r"_\w+_", key)]
    for key in special:
        if key not in ("_target_", "_partial_"):
            raise RefusedError(f"{_join(path, key)}: no config of this project says {key}")
    if not special:
        return
    group = path.split(".")[0]
    target, known = node.get("_target_"), classes().get(group, {})
    if not isinstance(target, str) or target not in known:
        where = f"in {group}" if group else "here"
        raise RefusedError(
            f"{_join(path, '_target_')}: {target!r} is not a class this project builds {where}"
        )
    if node.get("_partial_", False) is not known[target]:
        said = str(known[target]).lower()
        raise RefusedError(f"{_join(path, '_partial_')}: {said} is expected for {target}")


def _renamed(node: Any, path: str, depth: int) -> Any:
    """Return stored values with each class and key that has moved since under its present name."""
    _check_depth(depth, path)
    if isinstance(node, list):
        return [_renamed(value, _join(path, i), depth + 1) for i, value in enumerate(node)]
    if not isinstance(node, dict):
        return node
    values = {key: _renamed(value, _join(path, key), depth + 1) for key, value in node.items()}
    for old, role in (("date_column", "date"), ("close_column", "close")):
        if path == "data" and old in values:
            values["columns"] = {**values.get("columns", {}), role: values.pop(old)}
    if isinstance(target := values.get("_target_"), str):
        values["_target_"] = _present_name(target, path.split(".")[0])
    return values


def _present_name(target: str, group: str) -> str:
    """Return where a class of this project is today; no two of one group bear the same name.

    >>> _present_name("src.training.prior.PoolingPrior", "pooling_prior")
    'src.interventions.prior.PoolingPrior'
    """
    name = target.rpartition(".")[2]
    own = [known for known in classes().get(group, {}) if known.startswith("src.")]
    if target.startswith("src.") and target not in own:
        return next((known for known in own if known.rpartition(".")[2] == name), target)
    return target


def _check_depth(depth: int, path: str) -> None:
    if depth > _DEEPEST:
        raise RefusedError(f"{path[:60]}...: nested more than {_DEEPEST} deep")


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
