"""The library stands alone: what it imports, what its package holds, under either of its names."""

import ast
import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "src" / "diagnostics"
FILES = sorted(LIBRARY.rglob("*.py"))


def imported(file: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield the package of every import, how far up it reaches, and whether it is at the top."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], 0, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0], node.level, node in tree.body


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(LIBRARY)))
def test_a_file_imports_torch_and_lightning_and_else_only_what_lies_beside_it(file: Path) -> None:
    depth = len(file.relative_to(LIBRARY).parts)
    callbacks = file.is_relative_to(LIBRARY / "lightning")
    for package, level, at_top in imported(file):
        if level:
            assert level <= depth, f"{file}: {'.' * level}{package} leaves the library"
        elif package in {"lightning", "pytorch_lightning"}:
            assert callbacks
        elif package == "tensorboard":
            assert callbacks
            assert not at_top
        else:
            assert package == "torch" or package in sys.stdlib_module_names, f"{file}: {package}"


def test_the_package_is_made_of_the_folders_that_hold_code() -> None:
    project = tomllib.loads((LIBRARY / "pyproject.toml").read_text())
    folders = [file.parent.relative_to(LIBRARY).parts for file in LIBRARY.rglob("__init__.py")]
    packages = project["tool"]["setuptools"]["packages"]
    assert packages == sorted(".".join(["whygrad", *parts]) for parts in folders)
    assert {file.parent.relative_to(LIBRARY).parts for file in FILES} == set(folders)
    assert (LIBRARY / "LICENSE").read_text() == (LIBRARY.parents[1] / "LICENSE").read_text()


def test_the_example_of_the_readme_prints_what_stands_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location(
        "whygrad", LIBRARY / "__init__.py", submodule_search_locations=[str(LIBRARY)]
    )
    assert spec is not None
    assert spec.loader is not None
    before = set(sys.modules)
    whygrad = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "whygrad", whygrad)
    spec.loader.exec_module(whygrad)
    section = (LIBRARY / "README.md").read_text().partition("## A plain loop")[2]
    code, printed = (block.partition("\n")[2] for block in section.split("```")[1:4:2])
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == printed
    for name in set(sys.modules) - before:
        if name.startswith("whygrad."):
            del sys.modules[name]
