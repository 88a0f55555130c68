"""Imports run one way: who may use whom, for every package and everything at the top of src."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests.test_cli import COMMANDS

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"

FLOOR = {"files", "importing", "terminal"}
PARTS = {"data", "models", "diagnostics", "interventions", "training", "callbacks", "board"}
MAY_USE = {
    "files": set(),
    "importing": set(),
    "terminal": {"files"},
    "data": FLOOR,
    "models": FLOOR,
    # A library of its own: it uses nothing of the house.
    "diagnostics": set(),
    "reporting": FLOOR,
    "config": FLOOR,
    "interventions": FLOOR | {"models", "diagnostics"},
    "training": FLOOR | {"models", "diagnostics", "interventions"},
    "board": FLOOR | {"models", "diagnostics"},
    "callbacks": FLOOR | {"models", "diagnostics", "interventions", "board"},
    "runs": FLOOR | PARTS | {"config", "reporting"},
    "serving": FLOOR | {"data", "runs"},
    "sweeping": FLOOR | {"config", "runs", "reporting"},
    "__init__": {"runs"},
}

MAY_USE |= {"cli": FLOOR | {"config"}, "src": set()}
MAY_USE |= {command: set(MAY_USE) for command in COMMANDS}

# What composes configs (config; sweeping, which is a sweeper and a launcher of Hydra's) and what
# builds from them. The rest of runs may read a config, not compose one.
MAY_USE_HYDRA = {"config", "sweeping", "runs/build.py"}
MAY_USE_OMEGACONF = MAY_USE_HYDRA | {"runs"}


def names_of(file: Path) -> Iterator[str]:
    """Yield the dotted names a file imports, relative ones spelt out."""
    folders = file.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folders[: len(folders) + 1 - node.level] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports() -> Iterator[tuple[str, Path, str]]:
    """Yield the room of src, the file, and a name it imports."""
    for file in sorted(SRC.rglob("*.py")):
        room = file.relative_to(SRC).parts[0].removesuffix(".py")
        yield from ((room, file, name) for name in names_of(file))


def test_every_package_and_every_file_at_the_top_has_a_row():
    rooms = {path.stem for path in SRC.iterdir() if path.name != "__pycache__"}
    assert rooms == set(MAY_USE)


def test_imports_run_one_way():
    for room, file, name in imports():
        if name.startswith("src."):
            assert name.split(".")[1] in MAY_USE[room] | {room}, f"{file}: {name}"


def test_what_may_be_used_closes_no_circle():
    order = list(TopologicalSorter(MAY_USE).static_order())
    assert order.index("data") < order.index("runs") < order.index("sweeping")


def test_configs_are_composed_and_built_in_few_places():
    for room, file, name in imports():
        places = {room, str(file.relative_to(SRC))}
        for package, may_use in {"hydra": MAY_USE_HYDRA, "omegaconf": MAY_USE_OMEGACONF}.items():
            assert name.split(".")[0] != package or places & may_use, f"{file}: {name}"


def test_reporting_never_imports_torch():
    for room, file, name in imports():
        if room == "reporting":
            assert name.split(".")[0] not in {"torch", "lightning"}, f"{file}: {name}"
