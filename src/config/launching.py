"""What Hydra itself may build for a multirun: the launchers and sweepers on a list."""

from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from src.config import CONFIG_DIR
from src.config.trust import RefusedError, check_interpolations

_PLUGINS = "hydra_plugins.hydra_"
_CORE = "hydra._internal.core_plugins.basic_"
TARGETS = {
    "launcher": (
        f"{_CORE}launcher.BasicLauncher",
        f"{_PLUGINS}joblib_launcher.joblib_launcher.JoblibLauncher",
        f"{_PLUGINS}submitit_launcher.submitit_launcher.LocalLauncher",
        f"{_PLUGINS}submitit_launcher.submitit_launcher.SlurmLauncher",
    ),
    "sweeper": (
        f"{_CORE}sweeper.BasicSweeper",
        f"{_PLUGINS}optuna_sweeper.optuna_sweeper.OptunaSweeper",
    ),
    "sweeper.sampler": tuple(
        f"optuna.samplers.{name}Sampler"
        for name in ("CmaEs", "Grid", "MOTPE", "NSGAII", "Random", "TPE")
    ),
}

# What Hydra calls, imports or hands to a shell on its way: as conf/train.yaml leaves it.
_FIXED: dict[str, Any] = {
    "callbacks": {},
    "hydra_logging.root": None,
    "job.env_copy": [],
    "job_logging.root": None,
    "sweeper.custom_search_space": None,
}
_SHELL = ("setup", "srun_args")
"""Options of submitit that end up in a shell: a cluster's own belong into conf/hydra/launcher/."""


def check_search_path(override: Override) -> None:
    """Refuse a search path that is no folder: `pkg://` would import what it names.

    Raises:
        RefusedError: naming the path.
    """
    if override.key_or_group != "hydra.searchpath":
        return
    paths = override.value()
    for path in paths if isinstance(paths, list) else [paths]:
        folder = str(path).removeprefix("file://")
        if not str(path).startswith("file://") or not Path(folder).is_dir():
            raise RefusedError(f"hydra.searchpath: a folder, file:///..., is expected, got {path}")


def check_hydra(config: DictConfig) -> None:
    """Refuse a config whose `hydra` node would call anything but the launchers and sweepers known.

    Args:
        config: a composed config with its `hydra` node.

    Raises:
        RefusedError: naming the key and what it says.
    """
    unresolved = OmegaConf.to_container(config.hydra, resolve=False)
    check_interpolations(unresolved, "hydra")
    for key, expected in _FIXED.items():
        found = _select(unresolved, key)
        if found != expected:
            raise RefusedError(f"hydra.{key}: {found!r} is refused: it is {expected!r} here")
    if set(_select(unresolved, "job.env_set") or {}) - {"OMP_NUM_THREADS"}:
        raise RefusedError("hydra.job.env_set: a config sets no environment variables")
    for key in _SHELL:
        found = _select(unresolved, f"launcher.{key}")
        if found is not None and found not in _in_conf(key):
            raise RefusedError(f"hydra.launcher.{key}: {found!r} belongs into conf/hydra/launcher/")
    for part in ("launcher", "sweeper"):
        node = OmegaConf.select(config, f"hydra.{part}")
        if node is None:
            raise RefusedError(f"hydra.{part}: names nothing to run")
        _check_part(OmegaConf.to_container(node, resolve=True), part)


def _check_part(node: Any, path: str) -> None:
    """Refuse other targets than the part's own, and lines that would end up in a batch script."""
    if isinstance(node, dict):
        if (target := node.get("_target_")) is not None and target not in TARGETS.get(path, ()):
            raise RefusedError(f"hydra.{path}._target_: {target!r} is not what this project runs")
        if path in TARGETS and target is None:
            raise RefusedError(f"hydra.{path}: names nothing to run")
        for key, value in node.items():
            _check_part(str(key), path)
            special = {"_args_", "_convert_", "_recursive_", "_partial_"}
            if key in special and not (key == "_partial_" and path == "sweeper.sampler"):
                raise RefusedError(f"hydra.{path}.{key}: no config of this project says it")
            _check_part(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check_part(value, f"{path}.{index}")
    elif isinstance(node, str) and len(node.splitlines()) > 1:
        raise RefusedError(f"hydra.{path}: one line is expected, got {node!r}")


def _in_conf(key: str) -> list[Any]:
    """Return what the launchers in conf/ themselves say of a key."""
    files = (CONFIG_DIR / "hydra" / "launcher").glob("*.yaml")
    return [yaml.safe_load(file.read_text()).get(key) for file in files]


def _select(node: Any, key: str) -> Any:
    """Return a value by its dotted key; None where there is none.

    Raises:
        RefusedError: something in its place leads elsewhere, as `job_logging: ${x}` does.
    """
    for part in key.split("."):
        if not isinstance(node, dict | None):
            raise RefusedError(f"hydra.{key}: a mapping is expected, got {node!r}")
        node = (node or {}).get(part)
    return node
