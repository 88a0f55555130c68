"""What a cause means, how it is found and how it is proved, told from its declaration."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from .causes import CAUSES, Cause
from .causes.cause import find_nothing


def explain(name: str) -> str:
    """Return what there is to know about a cause, as text of a few lines.

    Args:
        name: One of `CAUSES`.

    Raises:
        ValueError: There is no such cause.

    >>> print(explain("frozen").splitlines()[0])
    frozen: a parameter that does not require a gradient
    """
    if name not in CAUSES:
        raise ValueError(f"a cause is one of {', '.join(CAUSES)}; got {name!r}")
    cause = CAUSES[name]
    told = "\n".join(f"{head}: {text}" for head, text in parts(cause))
    return f"{name}: {cause.meaning}\n{told}"


def parts(cause: Cause) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of a cause, each with a word for what it tells."""
    by_trial = cause.find is find_nothing
    yield "found", _summary(cause.find_by_trial if by_trial else cause.find)
    if cause.prove is not None:
        yield "proved", _summary(cause.prove)
    elif by_trial:
        yield "proved", "The trial that finds it is the proof."
    if not by_trial and cause.find_by_trial is not find_nothing:
        yield "at a low dose", _summary(cause.find_by_trial)
    if cause.needs:
        yield "needs", " ".join(_summary(need) for need in cause.needs)
    yield "confused with", cause.confused_with
    if cause.explains:
        yield "brings about", ", ".join(_brought_about(cause))
    if cause.benign:
        yield "alarm", "Never: there is nothing to repair."


def _brought_about(cause: Cause) -> list[str]:
    return [
        other.name for other in CAUSES.values() if other is not cause if _explains(cause, other)
    ]


def _explains(cause: Cause, other: Cause) -> bool:
    return any(cause.brings_about(form) for form in (other, *other.variants))


def _summary(function: Callable[..., Any]) -> str:
    """Return the first paragraph of a docstring in one line."""
    text = inspect.getdoc(function) or ""
    return " ".join(text.partition("\n\n")[0].split())
