"""What a callback remembers, as plain values and tensors for a checkpoint, and back again.

A checkpoint is read without running code, so it can hold no objects. An object is written as the
name of its class and what it holds; only the classes below are made again.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from ..findings import Check, Diagnosis, Finding
from ..measuring.counts import GradientStats, Measurement
from ..measuring.details import DetailMeasurement, GradientDetails
from ..measuring.liveness import Alive, Sightings
from ..measuring.suspicion import KOutOfM, Suspicion, SuspicionWindows
from .callback import History
from .first_steps import FirstSteps

CLASSES = {
    kind.__name__: kind
    for kind in (
        *(Alive, Check, DetailMeasurement, Diagnosis, Finding, FirstSteps, GradientDetails),
        *(GradientStats, History, KOutOfM, Measurement, Sightings, Suspicion, SuspicionWindows),
    )
}
_SEQUENCES: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_TYPE = "type"


def to_state(value: Any) -> Any:
    """Return a value as plain values and tensors.

    Args:
        value: None, numbers, texts, tensors, containers of such, and objects of `CLASSES`.

    Raises:
        TypeError: it holds something else.

    >>> to_state({("a", 1): {2}})
    {'type': 'dict', 'items': [[{'type': 'tuple', 'items': ['a', 1]}, {'type': 'set', 'items': [2]}]]}
    """  # noqa: E501
    kind = type(value).__name__
    if value is None or isinstance(value, bool | int | float | str | Tensor):
        return value
    if isinstance(value, list | deque) and value and isinstance(value[0], Measurement):
        return {_TYPE: kind, "most": getattr(value, "maxlen", None), "table": _tables(value)}
    if isinstance(value, list):
        return [to_state(item) for item in value]
    if isinstance(value, deque):
        return {_TYPE: kind, "most": value.maxlen, "items": [to_state(item) for item in value]}
    if kind in _SEQUENCES:
        return {_TYPE: kind, "items": [to_state(item) for item in value]}
    if isinstance(value, Mapping):
        return {_TYPE: "dict", "items": [[to_state(k), to_state(v)] for k, v in value.items()]}
    if CLASSES.get(kind) is not type(value):
        raise TypeError(f"a checkpoint cannot hold a {kind}")
    if isinstance(value, tuple):
        held: Mapping[str, Any] = value._asdict()
    elif is_dataclass(value):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
    else:
        held = vars(value)
    return {_TYPE: kind, "holds": [[name, to_state(item)] for name, item in held.items()]}


def from_state(state: Any) -> Any:
    """Return the value that `to_state` wrote.

    >>> from_state(to_state({("a", 1): {2}}))
    {('a', 1): {2}}
    """
    if isinstance(state, list):
        return [from_state(item) for item in state]
    if not isinstance(state, Mapping):
        return state
    kind = state[_TYPE]
    if "table" in state:
        measurements = _measurements(state["table"])
        return deque(measurements, state["most"]) if kind == "deque" else measurements
    if kind == "deque":
        return deque(map(from_state, state["items"]), state["most"])
    if kind == "dict":
        return {from_state(key): from_state(item) for key, item in state["items"]}
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](map(from_state, state["items"]))
    held = {name: from_state(item) for name, item in state["holds"]}
    if issubclass(CLASSES[kind], tuple):
        return CLASSES[kind](**held)
    made: Any = object.__new__(CLASSES[kind])
    made.__dict__.update(held)
    return made


def _tables(measurements: Iterable[Measurement]) -> list[dict[str, Any]]:
    """Return measurements of the same parameters as one table: hundreds of them would be slow."""
    groups: dict[Any, list[tuple[int, Measurement]]] = {}
    for place, measurement in enumerate(measurements):
        same = tuple(measurement.parameters), measurement.missing
        groups.setdefault(same, []).append((place, measurement))
    return [
        {
            "places": [place for place, _ in members],
            "steps": [one.step for _, one in members],
            "scales": [one.loss_scale for _, one in members],
            "names": list(names),
            "missing": list(missing),
            "numbers": torch.tensor(
                [[_numbers(stats) for stats in one.parameters.values()] for _, one in members],
                dtype=torch.float64,
            ),
        }
        for (names, missing), members in groups.items()
    ]


def _measurements(tables: Iterable[Mapping[str, Any]]) -> list[Measurement]:
    placed = []
    for table in tables:
        rows = zip(
            table["places"], table["steps"], table["scales"], table["numbers"].tolist(), strict=True
        )
        for place, step, scale, numbers in rows:
            stats = dict(zip(table["names"], map(_stats, numbers), strict=True))
            placed.append((place, Measurement(step, stats, tuple(table["missing"]), scale)))
    return [measurement for _, measurement in sorted(placed, key=lambda pair: pair[0])]


def _numbers(stats: GradientStats) -> tuple[float, ...]:
    return tuple(-1 if number is None else number for number in stats)


def _stats(numbers: Sequence[float]) -> GradientStats:
    entries, nonzero, nonfinite, norm, max_abs, touched = numbers
    rows = None if touched < 0 else int(touched)
    return GradientStats(int(entries), int(nonzero), int(nonfinite), norm, max_abs, rows)
