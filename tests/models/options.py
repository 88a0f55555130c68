"""The options of a config group, so that a test covers each, a new one too."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parents[2] / "conf"


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def load(group: str, option: str) -> DictConfig:
    node = OmegaConf.load(CONF / group / f"{option}.yaml")
    parents = [load(group, parent) for parent in node.pop("defaults", [])]
    return OmegaConf.merge(*parents, node)
