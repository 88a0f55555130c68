"""Conditions on one value of a config, each with the words that name it in a message."""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """A condition on one value.

    Args:
        expected: it in words, for the message.
        holds: says whether a value meets it.
    """

    expected: str
    holds: Callable[[Any], bool]


def whole(least: int, most: int | None = None) -> Rule:
    """Return the rule for an int between two bounds.

    >>> whole(1).holds(3), whole(1).holds(0), whole(1).holds(1.0), whole(1).holds(True)
    (True, False, False, False)
    """
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    return Rule(
        f"a whole number {bounds}",
        lambda v: type(v) is int and v >= least and (most is None or v <= most),
    )


def one_of(*values: Any) -> Rule:
    """Return the rule for one of a few values; true is not 1 here.

    >>> one_of(None, True, "warn").expected
    'null | true | warn'
    """
    return Rule(
        " | ".join(map(shown, values)),
        lambda v: any(v == known and type(v) is type(known) for known in values),
    )


def either(*rules: Rule) -> Rule:
    """Return the rule for what meets one of several."""
    return Rule(
        " or ".join(rule.expected for rule in rules),
        lambda v: any(rule.holds(v) for rule in rules),
    )


def shown(value: Any) -> str:
    """Return a value as a command line would have it, cut where it is long.

    >>> shown(None), shown("abc"), shown([1, True]), shown(float("nan"))
    ('null', 'abc', '[1, true]', 'nan')
    """
    as_typed = isinstance(value, float) or (isinstance(value, str) and value)
    text = str(value) if as_typed else json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _are_devices(value: Any) -> bool:
    numbers = isinstance(value, list) and all(type(i) is int and i >= 0 for i in value)
    return numbers and 0 < len(value) == len(set(value))


def _is_folder_name(value: Any) -> bool:
    text = str(value)
    return (
        type(value) in (str, int, float) and bool(text.strip(" .")) and not set(text) & set("/\\\0")
    )


NULL = one_of(None)
FLAG = one_of(True, False)
COUNT = whole(1)
WHOLE = Rule("a whole number", lambda v: type(v) is int)
NUMBER = Rule("a finite number", _is_number)
NOT_NEGATIVE = Rule("a finite number of at least 0", lambda v: _is_number(v) and v >= 0)
SHARE = Rule("a share above 0 and below 1", lambda v: _is_number(v) and 0 < v < 1)
PART = Rule("a share above 0 and up to 1.0", lambda v: type(v) is float and 0 < v <= 1)
DECAY = Rule("a share from 0 and below 1", lambda v: _is_number(v) and 0 <= v < 1)
DECAYS = Rule(
    "two shares from 0 and below 1",
    lambda v: isinstance(v, list) and len(v) == 2 and all(map(DECAY.holds, v)),
)
LIST = Rule("a list", lambda v: isinstance(v, list))
MAPPING = Rule("a mapping or null", lambda v: v is None or isinstance(v, dict))
DEVICES = Rule("a list of different device numbers", _are_devices)
FOLDER_NAME = Rule("the name of one folder, without a slash", _is_folder_name)
PATH = Rule("one path", lambda v: isinstance(v, str) and bool(v.strip()) and "\0" not in v)
PATHS = Rule("a list of paths", lambda v: isinstance(v, list) and all(map(PATH.holds, v)))
TEXTS = Rule(
    "a list of names",
    lambda v: isinstance(v, list) and bool(v) and all(type(t) in (str, int) for t in v),
)
TEXT = Rule("a text", lambda v: isinstance(v, str) and bool(v.strip()))
SIZE = whole(1, 1 << 16)
LAYERS = whole(1, 1000)
BATCHES = either(NULL, COUNT, PART)
BATCHES_OR_NONE = Rule("a number of batches or a share of them", NOT_NEGATIVE.holds)
ANY = Rule("anything", lambda v: True)
