"""What a class does by itself is what its config says: who builds it in Python gets the same."""

import inspect
from collections import defaultdict
from typing import Any

import pytest
import yaml
from hydra.utils import get_object

from src.config import CONFIG_DIR

# By class and argument: what differs on purpose. A replay of eight batches is for runs, whose
# rare features are known to be rare; a scenario is a tenth as long as the published one.
OTHERWISE = {("GradientHealth", "num_batches"): 3, ("Schedule", "scale"): 1.0}


def nodes(value: Any) -> list[dict[str, Any]]:
    """Return every mapping below a value that names a class."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    own = [value] if isinstance(value, dict) and "_target_" in value else []
    return own + [node for one in below for node in nodes(one)]


def written() -> dict[tuple[str, str], list[Any]]:
    """Return what the configs say, by class and argument, without what is computed from others."""
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for file in CONFIG_DIR.rglob("*.yaml"):
        for node in nodes(yaml.safe_load(file.read_text())):
            for key, value in node.items():
                if node["_target_"].startswith("src.") and "${" not in str(value):
                    found[node["_target_"], key].append(value)
    return found


def defaults(target: str) -> dict[str, Any]:
    """Return the plain defaults of a class: numbers, words and sequences of them."""
    plain = {
        name: list(one.default) if isinstance(one.default, tuple) else one.default
        for name, one in inspect.signature(get_object(target)).parameters.items()
    }
    return {k: v for k, v in plain.items() if isinstance(v, bool | int | float | str | list)}


CASES = [
    (target, key, values)
    for (target, key), values in sorted(written().items())
    if key in defaults(target)
]


@pytest.mark.parametrize(
    ("target", "key", "values"), CASES, ids=[f"{t.rpartition('.')[2]}-{k}" for t, k, _ in CASES]
)
def test_a_default_of_a_class_is_what_one_of_its_configs_says(target, key, values):
    own = defaults(target)[key]
    is_off = own in (0, False)  # weights of what a config turns on
    assert is_off or own in [*values, OTHERWISE.get((target.rpartition(".")[2], key))]


def test_most_arguments_in_the_configs_have_defaults():
    assert len(CASES) > 60
