"""Of which kinds the values of stored records are: what somebody sent is judged before its use."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from src.files import harmless

_DEEPEST = 32
_LARGEST = 10**300
_ESCAPED = re.compile(r"\\[ubfr]")


class Each(NamedTuple):
    """The shape of a mapping whose keys are names: of every one of its values."""

    shape: Any


# A shape is a kind, a mapping of keys to shapes, a list of one shape, or `Each`. What is not there,
# or null, is of every shape; keys that nobody reads are of any.
TEXT, NUMBER, WHOLE, FLAG, PLAIN = "a text", "a number", "a whole number", "true or false", "plain"
_PART = {"first": TEXT, "last": TEXT, "windows": WHOLE}
_INTERVAL = {"coverage": NUMBER, "by_year": Each(NUMBER)}
REPORT: Mapping[str, Any] = {
    **dict.fromkeys(("status", "reason", "experiment", "run", "ended_by", "warning"), TEXT),
    **{"seed": WHOLE, "parameters": WHOLE, "duration_s": NUMBER},
    "choices": Each(TEXT),
    "config": Each(PLAIN),
    "data": {"data": TEXT, "warnings": [TEXT], "sha256": TEXT, "test": _PART},
    "test": {"model": Each(NUMBER), "baseline": Each(NUMBER), "ratio": Each(NUMBER)},
    "intervals": {
        "conformal": Each(_INTERVAL),
        "own": {"crps": NUMBER, "pinball": NUMBER, "intervals": Each(_INTERVAL)},
    },
    "best": {"val_loss": NUMBER, "steps_trained": WHOLE, "epochs_trained": WHOLE},
    "environment": {"started": TEXT, "commit": TEXT},
    "diagnosis": {"findings": [{"cause": TEXT, "benign": FLAG}]},
    "zero_grad_fraction": Each(NUMBER),
    "alerts": [PLAIN],
    "resumed": [PLAIN],
}
"""Of report.json, what is read again: by comparisons, and by a run that goes on."""
_JOB = {
    **dict.fromkeys(("name", "status", "reason", "folder", "fingerprint"), TEXT),
    **{"index": WHOLE, "attempts": WHOLE, "pid": WHOLE, "varied": [TEXT], "overrides": [TEXT]},
    **dict.fromkeys(("objective", "duration_s", "started"), NUMBER),
}
MANIFEST: Mapping[str, Any] = {
    **{"command": [TEXT], "asked": [TEXT], "fingerprint": TEXT, "config": Each(PLAIN)},
    **{"total": WHOLE, "jobs": [_JOB]},
}
"""Of sweep.json, all of it."""


def read_record(file: Path, shape: Mapping[str, Any]) -> dict[str, Any]:
    """Read a JSON file of a run or a sweep; its texts cannot steer a terminal.

    Args:
        file: report.json or sweep.json.
        shape: REPORT or MANIFEST.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such record; the line says what of it.
    """
    try:
        text = file.read_text()
        record = json.loads(text)
        if not text.isascii() or _ESCAPED.search(text):
            record = _harmless(record)
        if not isinstance(record, dict):
            raise ValueError(f"a mapping is expected, got {_shown(record)}")
        if fault := next(_faults(record, shape, "", 0), None):
            raise ValueError(fault)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return record


def _harmless(node: Any) -> Any:
    if isinstance(node, dict):
        return {harmless(key): _harmless(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_harmless(value) for value in node]
    return harmless(node) if isinstance(node, str) else node


def _faults(value: Any, shape: Any, path: str, depth: int) -> Iterator[str]:
    """Yield what of a value is not of a shape, with its dotted key."""
    if depth > _DEEPEST:
        yield f"{path[:60]}...: nested more than {_DEEPEST} deep"
    elif value is None:
        return
    elif isinstance(shape, Mapping | Each):
        if not isinstance(value, dict):
            yield f"{path}: a mapping is expected, got {_shown(value)}"
            return
        for key, inner in value.items():
            own = shape.shape if isinstance(shape, Each) else shape.get(key)
            if own is not None:
                yield from _faults(inner, own, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{path}: a list is expected, got {_shown(value)}"
            return
        for index, inner in enumerate(value):
            if inner is None and shape[0] != PLAIN:
                yield f"{path}.{index}: nothing is there"
            yield from _faults(inner, shape[0], f"{path}.{index}", depth + 1)
    elif shape == PLAIN:
        inner_shape = Each(PLAIN) if isinstance(value, dict) else [PLAIN]
        if isinstance(value, dict | list):
            yield from _faults(value, inner_shape, path, depth)
        elif type(value) is int and abs(value) > _LARGEST:
            yield f"{path}: a number of so many digits is none of a run's"
    elif not _is(value, shape):
        yield f"{path}: {shape} is expected, got {_shown(value)}"


def _is(value: Any, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == FLAG:
        return isinstance(value, bool)
    is_number = type(value) is int and abs(value) <= _LARGEST
    return is_number or (kind == NUMBER and isinstance(value, float))


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
