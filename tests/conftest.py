"""Composed configs and tiny runs, shared by the tests of the entry points."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict, read_write

from src.config import CONFIG_DIR

TINY = ["debug=fast", "trainer=cpu", "callbacks=basic"]


@pytest.fixture
def composed(tmp_path: Path) -> Callable[..., tuple[DictConfig, dict[str, Any]]]:
    """Compose conf/train.yaml as a job sees it; runs go to a temporary folder."""

    def _compose(*overrides: str) -> tuple[DictConfig, dict[str, Any]]:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose("train", list(overrides), return_hydra_config=True)
        choices = dict(config.hydra.runtime.choices)
        with read_write(config), open_dict(config):
            del config["hydra"]
        config.log_dir = str(tmp_path / "lightning_logs")
        return config, choices

    return _compose


@pytest.fixture
def tiny_run(composed: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Run two batches of everything and return the run folder."""

    def _run(*overrides: str) -> Path:
        from src.runs.run import run

        config, choices = composed(*TINY, *overrides)
        before = set((tmp_path / "lightning_logs").glob("*/*"))
        run(config, choices, list(overrides))
        (folder,) = set((tmp_path / "lightning_logs").glob("*/*")) - before
        return folder

    return _run


@pytest.fixture(scope="session")
def kept_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Run two batches of everything once a session; tests may read the folder, not change it."""

    @cache
    def _run(*overrides: str) -> Path:
        from src.runs.run import run

        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose("train", [*TINY, *overrides], return_hydra_config=True)
        choices = dict(config.hydra.runtime.choices)
        with read_write(config), open_dict(config):
            del config["hydra"]
        config.log_dir = str(tmp_path_factory.mktemp("kept"))
        run(config, choices, [])
        (folder,) = Path(config.log_dir).glob("*/*")
        return folder

    return _run


def report_of(folder: Path) -> dict[str, Any]:
    """Return a run's report."""
    return json.loads((folder / "report.json").read_text())
