"""Parts that lead nowhere: an end that the last of several blocks has to spare, by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from src.diagnostics.causes.membership import _spare_end

BLOCKS = [f"blocks.{n}.{part}" for n in range(3) for part in ("body", "back", "ahead")]


def spare(name: str, missing: list[str], owners: list[str] = BLOCKS, **more: Any) -> bool:
    parameters = {f"{owner}.weight": SimpleNamespace(module=owner) for owner in owners}
    symptoms = SimpleNamespace(parameters=parameters, uncalled=more.get("uncalled", ()))
    return _spare_end(symptoms, name, dict.fromkeys(missing))  # type: ignore[arg-type]


def test_the_end_of_the_last_block_is_spare_where_the_others_use_theirs() -> None:
    assert spare("blocks.2.back", ["blocks.2.back"])


@pytest.mark.parametrize(
    ("name", "missing", "owners"),
    [
        ("blocks.1.back", ["blocks.1.back"], BLOCKS),  # a block after it uses its own
        ("blocks.2.back", [n for n in BLOCKS if "back" in n], BLOCKS),  # nobody uses any
        ("blocks.2.back", [n for n in BLOCKS if ".2." in n], BLOCKS),  # the block is not used
        ("head", ["head"], [*BLOCKS, "head"]),  # no block at all
        ("blocks.2.extra", ["blocks.2.extra"], [*BLOCKS, "blocks.2.extra"]),  # no other has it
        ("blocks.2.back", ["blocks.2.back"], ["blocks.2.back", "blocks.2.body"]),
    ],
)
def test_other_parts_without_a_gradient_are_not(
    name: str, missing: list[str], owners: list[str]
) -> None:
    assert not spare(name, missing, owners)


def test_a_part_that_is_never_called_is_no_spare_end() -> None:
    assert not spare("blocks.2.back", ["blocks.2.back"], uncalled={"blocks.2.back"})
