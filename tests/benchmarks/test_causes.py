"""The page of the causes is made of their declarations, and of examples that do what they say."""

from pathlib import Path

import pytest

from benchmarks.causes import EXAMPLES, diagnosed, page
from src.diagnostics import CAUSES
from src.diagnostics.explain import parts

PAGE = (EXAMPLES.parent / "causes.md").read_text(encoding="utf-8")
ABOUT_TEN = 24
"""Lines of code of the longest, with imports."""


def test_each_cause_has_an_example_and_none_has_two() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.py")} == set(CAUSES)


@pytest.mark.parametrize("name", CAUSES)
def test_the_example_of_a_cause_is_named_by_it(name: str) -> None:
    first = diagnosed(CAUSES[name]).findings[0]
    assert (first.cause, first.benign) == (name, CAUSES[name].benign)


@pytest.mark.parametrize("name", CAUSES)
def test_the_page_says_what_is_declared_and_shows_the_example(name: str) -> None:
    section = PAGE.partition(f"## {name}\n")[2].partition("\n## ")[0]
    code = Path(EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert f"```python\n{code}```" in section
    assert sum(1 for line in code.splitlines() if line.strip()) <= ABOUT_TEN
    for head, text in parts(CAUSES[name]):
        assert f"- **{head[0].upper()}{head[1:]}**: {text}\n" in section


@pytest.mark.slow
def test_the_page_is_what_the_command_prints() -> None:
    assert "\n".join(page()) == PAGE
