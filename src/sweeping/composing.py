"""Every job of a multirun composed: what jobs have in common is done once, in Hydra's own way.

Hydra reads and merges some thirty files for a job, half of them its own. Here each file is read
once, each combination of options is merged once, and values are set on copies of that. A test
compares the outcome with jobs composed alone.
"""

import copy
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from src.config.compose import check_override, compose_job, own_part, refuse_empty_groups
from src.config.overrides import parse
from src.config.trust import settled
from src.config.values import check_values

_MULTIRUN = ("hydra", "sweep")


class Composer:
    """Composes jobs that agree in what their multirun is.

    Args:
        config_name: the main config's name in conf/, without ".yaml".
        common: the overrides of all jobs, Hydra's own included.
    """

    def __init__(self, config_name: str, common: Sequence[str]) -> None:
        self.config_name, self.common = config_name, list(common)
        loader: Any = GlobalHydra.instance().config_loader()
        self._loader: ConfigLoaderImpl = loader
        # With the folders of hydra.searchpath; it keeps what it has read.
        self._typed, self._files = loader._parse_overrides_and_create_caching_repo(
            config_name, self.common
        )
        self._own = [
            o for o in self._typed if _is_own(o) and not self._files.group_exists(o.key_or_group)
        ]
        self._items: dict[str, Override] = {}
        self._chosen: dict[tuple[str, ...], DictConfig | None] = {}
        self._checked: tuple[list[str], Any] | None = None

    def compose(self, job: Sequence[str]) -> DictConfig:
        """Return one job's own config, composed and checked as `compose_job` does.

        Args:
            job: `key=value` items, none with several values.

        Raises:
            ValueError: it cannot be; the line says why.
        """
        try:
            config = self._compose(self._parsed(job))
        except Exception:  # whatever it is: composed alone, the job is refused in plain words
            config = None
        if config is None:
            config = own_part(compose_job(self.config_name, [*self.common, *job]))
        return config

    def _parsed(self, job: Sequence[str]) -> list[Override]:
        """Return a job's overrides, each looked at once in the whole multirun."""
        for item in job:
            if item not in self._items:
                override = parse([item])[0]
                check_override(override)
                self._items[item] = override
        return [self._items[item] for item in job]

    def _compose(self, job: Sequence[Override]) -> DictConfig | None:
        """Return a job's own config; None where it is of a kind that has to be composed alone."""
        if not all(map(_is_plain, job)):
            return None
        options = [o for o in job if self._files.group_exists(o.key_or_group)]
        values = [o for o in [*self._own, *job] if o not in options]
        key = tuple(str(o.input_line) for o in options)
        if key not in self._chosen:
            self._chosen[key] = self._merge(options)
        chosen = self._chosen[key]
        if chosen is None:
            return None
        config = copy.deepcopy(chosen)
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        refuse_empty_groups(self.config_name, config, but="sweep")
        check_values(settled(config))
        return config

    def _merge(self, options: Sequence[Override]) -> DictConfig | None:
        """Merge the files of a combination of options; None if it says anything of the multirun."""
        chosen = create_defaults_list(
            repo=self._files,
            config_name=self.config_name,
            overrides_list=[*self._typed, *options],
            prepend_hydra=True,
            skip_missing=False,
        )
        hydras = [str(d.config_path) for d in chosen.defaults if _is_hydras(d)]
        own = [default for default in chosen.defaults if not _is_hydras(default)]
        repository: Any = _Copies(self._files)
        config = self._loader._compose_config_from_defaults_list(own, repository)
        OmegaConf.set_struct(config, True)
        about = [OmegaConf.to_container(config[key]) for key in _MULTIRUN if key in config]
        OmegaConf.set_struct(config, False)
        for key in _MULTIRUN:
            config.pop(key, None)
        OmegaConf.set_struct(config, True)
        if self._checked is None:  # what is checked of the first is the same in all others
            compose_job(self.config_name, [*self.common, *(str(o.input_line) for o in options)])
            self._checked = hydras, about
        return config if (hydras, about) == self._checked else None


def _is_hydras(default: ResultDefault) -> bool:
    return str(default.config_path).startswith("hydra/")


def _is_plain(override: Override) -> bool:
    """Say whether an override of one job chooses an option or a value of what is there anyway."""
    adds = override.is_add() or override.is_force_add() or override.is_delete()
    return not adds and _is_own(override) and not isinstance(override.value(), dict)


def _is_own(override: Override) -> bool:
    return override.key_or_group.split(".")[0].split("/")[0] not in _MULTIRUN


class _Copies:
    """Files of a repository as copies: merging writes into what it is given."""

    def __init__(self, files: CachingConfigRepository) -> None:
        self._files = files

    def load_config(self, config_path: str) -> Any:
        """Return what a file holds."""
        return copy.deepcopy(self._files.load_config(config_path))

    def get_schema_source(self) -> Any:
        """Return where Hydra looks for a schema."""
        return self._files.get_schema_source()
