"""Refuse a command line that cannot work before anything is created: one line, exit code 2.

Everything here runs without torch, so that a slip costs a fraction of a second.
"""

import difflib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.sweeping.expand import expand, is_hydra, parse

CONFIG_DIR = Path(__file__).resolve().parent.parent / "conf"

# The only classes a config may name. A config file is data: it cannot run anything else.
ALLOWED_TARGETS = frozenset(
    {
        "lightning.pytorch.Trainer",
        *(
            f"lightning.pytorch.callbacks.{name}"
            for name in (
                "EarlyStopping",
                "LearningRateMonitor",
                "ModelCheckpoint",
                "RichProgressBar",
                "TQDMProgressBar",
            )
        ),
        *(
            f"src.board.loggers.{name}"
            for name in ("CSVLogger", "MLFlowLogger", "TensorBoardLogger", "WandbLogger")
        ),
        *(f"torch.optim.{name}" for name in ("Adam", "AdamW", "SGD", "RMSprop", "NAdam", "RAdam")),
        "src.data.PriceDataModule",
        "src.data.ScenarioDataModule",
        *(
            f"src.models.{name}"
            for name in (
                "norm.BatchNorm",
                "norm.FeatureNorm",
                "norm.LayerNorm",
                "norm.Norm",
                "norm.RMSNorm",
                "norm.ReversibleNorm",
                "pooling.AttentionPooling",
                "pooling.AttentiveStatsPooling",
                "pooling.ExponentialPooling",
                "pooling.GatedPooling",
                "pooling.LastPooling",
                "pooling.LearnablePooling",
                "pooling.MaxPooling",
                "pooling.MeanPooling",
                "pooling.MultiheadPooling",
                "recurrent.RecurrentEncoder",
                "regressor.LinearRegressor",
                "regressor.NaiveRegressor",
                "transformer.TransformerEncoder",
            )
        ),
        "src.sweeping.pruning.Pruning",
        *(
            f"src.interventions.{name}"
            for name in (
                "gradient_scaling.GradientScaling",
                "logits.DirectUpdate",
                "logits.GradientInjection",
                "prior.PoolingPrior",
                "schedule.Schedule",
            )
        ),
        *(
            f"src.callbacks.{name}"
            for name in (
                "GradientHealth",
                "PoolingMonitor",
                "memory_monitor.MemoryMonitor",
                "milestones.Milestones",
            )
        ),
    }
)


def scaled(steps: int, *, _root_: DictConfig) -> int:
    """Return a number of steps times `schedule.scale`, at least 1: `${scaled:500}` in a config."""
    return max(1, round(steps * _root_.schedule.scale))


OmegaConf.register_new_resolver("scaled", scaled, replace=True)


def stop(message: str, code: int = 2) -> NoReturn:
    """Print one line and end, by default with the exit code of a command that cannot work."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


def check_command_line(config_name: str, arguments: list[str]) -> None:
    """Compose every job the command line asks for; stop with one line at the first that cannot be.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        arguments: the command line after the program's name.
    """
    parsed = get_args_parser().parse_args(arguments)
    if parsed.help or parsed.hydra_help or parsed.shell_completion or parsed.info:
        return
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        try:
            for job in _jobs(parsed.overrides, parsed.multirun):
                compose_job(config_name, job)
        except ValueError as error:
            stop(str(error))


def compose_job(config_name: str, job: list[str]) -> DictConfig:
    """Return one job's config, Hydra's part included, composed and checked.

    Raises:
        ValueError: a name does not exist, with the nearest ones that do; or a target is forbidden.
    """
    try:
        config = compose(config_name, job, return_hydra_config=True)
        check_targets(config)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ValueError(_explain(error, config_name, job)) from None
    return config


def check_targets(config: DictConfig) -> None:
    """Refuse a config that names anything to call that is not on the list.

    Raises:
        ValueError: naming the key and its target.
    """
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    for key, target in _targets(plain, ""):
        if target not in ALLOWED_TARGETS:
            raise ValueError(f"{key}: {target!r} is not a class this project builds")


def _targets(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield f"{path}_target_", node["_target_"]
        for key, value in node.items():
            yield from _targets(value, f"{path}{key}.")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, f"{path}{index}.")


def _jobs(overrides: list[str], multirun: bool) -> list[list[str]]:
    try:
        parsed = parse(overrides)
    except HydraException as error:
        raise ValueError(str(error)) from None
    sweeps = [override.key_or_group for override in parsed if override.is_sweep_override()]
    if not multirun:
        if sweeps:
            raise ValueError(f"{sweeps[0]} has several values: add -m to run one job for each")
        return [overrides]
    hydra = [o.input_line for o in parsed if is_hydra(o) and o.input_line]
    try:
        return [hydra + job for job in expand([o for o in parsed if not is_hydra(o)])]
    except HydraException as error:
        raise ValueError(str(error)) from None


def _explain(error: Exception, config_name: str, job: list[str]) -> str:
    """Say what is wrong with one job's overrides, with the nearest names that would be right."""
    for override in parse(job):
        key, value = override.key_or_group, override.value()
        options = _options(key)
        if options:
            if isinstance(value, str) and value not in options:
                plugins = (
                    "; pip install '.[sweep,search]' brings more" if is_hydra(override) else ""
                )
                return f"{key}={value}: no such option; {suggest(value, options)}{plugins}"
        elif "." not in key and key not in _keys(config_name):
            return f"{key}: no such key or group; {suggest(key, _keys(config_name))}"
        elif not override.is_add() and not is_hydra(override):
            keys = _keys(config_name, [o for o in job if _options(o.split("=")[0])])
            if key not in keys:
                return f"{key}: no such key; {suggest(key, keys)}"
    return str(error)


def _options(group: str) -> list[str]:
    """Return the options of a config group, those of installed plugins included."""
    loader = GlobalHydra.instance().config_loader()
    return sorted(loader.get_group_options(group, ObjectType.CONFIG))


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a hint for a name that does not exist: the nearest that do, or all there are."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if not near:
        # A right last part under a wrong parent: lr, for optimizer.lr.
        near = [name for name in known if name.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]]
    if near:
        return f"did you mean {' or '.join(near[:3])}?"
    return f"choose from {', '.join(sorted(name for name in known if '.' not in name))}"


def _keys(config_name: str, groups: list[str] | None = None) -> list[str]:
    """Return every dotted key of the composed config, and the names of its groups."""
    try:
        config = compose(config_name, groups or [])
    except HydraException:
        config = compose(config_name, [])
    names = [f.name for f in CONFIG_DIR.iterdir() if f.is_dir() and f.name != "hydra"]
    return sorted({*_dotted(OmegaConf.to_container(config, resolve=False), ""), *names})


def _dotted(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{path}{key}"
            yield from _dotted(value, f"{path}{key}.")
