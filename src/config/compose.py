"""One job's config from a command line: composed by Hydra, checked, explained where it cannot."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from src.config import CONFIG_DIR
from src.config.keys import command_keys
from src.config.launching import check_hydra, check_search_path
from src.config.overrides import is_hydra, parse, refuse_several_values
from src.config.trust import (
    RefusedError,
    check_interpolations,
    forget_other_resolvers,
    settled,
    settled_values,
)
from src.config.values import check_values

_OPEN = ("hydra.sweeper.params.", "hydra.sweeper.search_space.", "hydra.launcher.additional_")
"""What Hydra's own configs leave open, by how the keys begin."""


def compose_line(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Return the config of a command line that asks for one job, Hydra's part included.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        overrides: `key=value` items.

    Raises:
        ValueError: as `compose_job`; or the line is one of a multirun.
    """
    with initialize_config_dir(str(CONFIG_DIR), job_name=config_name, version_base="1.3"):
        refuse_several_values(overrides)
        config = compose_job(config_name, overrides)
    for override in parse(overrides):
        key = override.key_or_group
        if key != "hydra.searchpath" and re.split("[/.]", key)[0] in ("hydra", "sweep"):
            raise ValueError(f"{override.input_line} is for a multirun: python -m src.train -m ...")
    return config


def config_text(config_name: str, overrides: Sequence[str], resolve: bool) -> str:
    """Return the config of a command line as YAML; where `resolve`, as plain values."""
    config = own_part(compose_line(config_name, overrides))
    return OmegaConf.to_yaml(settled(config) if resolve else config)


def compose_job(config_name: str, job: Sequence[str]) -> DictConfig:
    """Return one job's config, Hydra's part included, composed and checked.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        job: `key=value` items, none with several values.

    Raises:
        ValueError: a name does not exist, with the nearest ones that do.
        RefusedError: the config says what no config may say.
    """
    forget_other_resolvers()
    try:
        for override in parse(job):
            check_override(override)
            refuse_unknown(override, config_name)
        config = compose(config_name, list(job), return_hydra_config=True)
        refuse_empty_groups(config_name, config)
        if "sweep" in config:  # nothing else is ever handed to Hydra
            check_hydra(config)
        values = settled_values(own_part(config))
    except RefusedError:
        raise
    except RecursionError:
        raise ValueError("the config contains itself") from None
    except Exception as error:  # whatever Hydra trips over in a file that somebody else wrote
        raise ValueError(_explain(error, config_name, job)) from None
    check_values(values)
    if "sweep" in config:
        check_values(_about_the_multirun(config))
    return config


def refuse_empty_groups(config_name: str, config: DictConfig, but: str | None = None) -> None:
    """Refuse a composed config that has nothing where something has to be chosen.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        config: one job's.
        but: a group that is not looked at.

    Raises:
        RefusedError: naming the group.
    """
    for group in command_keys(config_name).groups:
        if group.default != "null" and group.name != but and config.get(group.name) is None:
            raise RefusedError(f"{group.name}: nothing is chosen")


def check_override(override: Override) -> None:
    """Refuse an item of a command line for what it says, before Hydra acts on it.

    Raises:
        RefusedError: one of its values holds a `${...}` that is none of ours, or it would import
            a module.
    """
    check_search_path(override)
    value = override.value()
    if isinstance(value, ChoiceSweep):
        value = [Override._convert_value(choice) for choice in value.list]
    check_interpolations(value, override.key_or_group)


def refuse_unknown(override: Override, config_name: str) -> None:
    """Refuse to add a key that nobody reads: one at the top, or to what a file of conf/ ends.

    Raises:
        RefusedError: naming the key, with the nearest that there are.
    """
    key = override.key_or_group
    if not (override.is_add() or override.is_force_add()) or _options(key):
        return
    top, _, rest = key.partition(".")
    keys = command_keys(config_name)
    groups = {group.name for group in keys.groups}
    has_multirun = "sweep" in groups
    if top not in {*groups, *keys.values, *(("hydra",) if has_multirun else ())}:
        raise RefusedError(f"{key}: no such key or group; {suggest(key, _keys(config_name))}")
    is_open = top in groups - {"sweep"} or key.startswith(_OPEN)
    if rest and not is_open and key != "hydra.searchpath":
        raise RefusedError(f"{key}: no such key; {top} takes no further ones")


def _about_the_multirun(config: DictConfig) -> dict[str, Any]:
    """Return what a config says of Hydra's launcher and sweeper, and of the sweep."""
    hydra = {k: OmegaConf.to_container(config.hydra[k]) for k in ("launcher", "sweeper")}
    return {"hydra": hydra, "sweep": OmegaConf.to_container(config.sweep)}


def own_part(config: DictConfig) -> DictConfig:
    """Return a composed config without what is about the multirun: `hydra` and `sweep`."""
    own = [str(key) for key in config if key not in ("hydra", "sweep")]
    return OmegaConf.masked_copy(config, own) if len(own) < len(config) else config


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


def _explain(error: Exception, config_name: str, job: Sequence[str]) -> str:
    """Say what is wrong with one job's overrides, with the nearest names that would be right."""
    try:
        overrides = parse(job)
    except HydraException:
        return str(error)
    for override in overrides:
        key, value = override.key_or_group, override.value()
        options = _options(key)
        if options:
            is_ours = not is_hydra(override) and not override.is_add()
            if is_ours and key not in _groups(config_name):
                return f"{key}: {config_name} has no such group; see --help"
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
    cause = str(error.__cause__ or "").splitlines()
    return ": ".join(filter(None, [str(error) or type(error).__name__, *cause[:1]]))


def _options(group: str) -> list[str]:
    """Return the options of a config group, those of installed plugins included."""
    loader = GlobalHydra.instance().config_loader()
    return sorted(loader.get_group_options(group, ObjectType.CONFIG))


def _keys(config_name: str, groups: list[str] | None = None) -> list[str]:
    """Return every dotted key of the composed config, and the names of its groups."""
    try:
        config = compose(config_name, groups or [])
    except HydraException:
        config = compose(config_name, [])
    plain = OmegaConf.to_container(config, resolve=False)
    return sorted({*_dotted(plain, ""), *_groups(config_name)})


def _groups(config_name: str) -> list[str]:
    """Return the names of the groups that a command's config is made of."""
    return [group.name for group in command_keys(config_name).groups]


def _dotted(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{path}{key}"
            yield from _dotted(value, f"{path}{key}.")
