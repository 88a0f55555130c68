"""Faults planted into a process that has collected all tests: only the tests of a fault run anew.

To load the code and to collect the tests takes longer than most of them run. So a process does it
once for a room, and forks for every fault in the body of a function: there that function's code is
replaced. What a module computes while it is loaded is not: such faults need a process of their own.
"""

import ast
import gc
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

Swap = tuple[FunctionType, CodeType]


class Waiting:
    """A plugin of pytest that runs no tests but those it is asked for, each time in a fork.

    Args:
        asked: Gets a fault's file, its source and the ids of tests; None at the end. Gets back what
            became of it, or None where it cannot be planted here.
        run: Calls a function in a fork and returns what became of it.
    """

    def __init__(self, asked: Connection, run: Callable[[Callable[[], int]], str]) -> None:
        self._asked, self._run = asked, run

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Wait for faults."""
        items = {item.nodeid: item for item in session.items}
        while (fault := self._asked.recv()) is not None:
            file, before, after, tests = fault
            swaps = swaps_of(file, before, after)
            chosen = [items[test] for test in tests if test in items]
            fate = None if swaps is None else self._run(lambda s=swaps, c=chosen: _try(s, c))
            self._asked.send(fate)
        return True


def swaps_of(file: Path, before: str, after: str) -> list[Swap] | None:
    """Return the functions of a loaded module that a fault changes, with their new code.

    Args:
        file: Of the module.
        before: Its source.
        after: The same with a fault, as `ast.unparse` writes it.

    Returns:
        Functions and codes; none where the module is not loaded yet. None where the fault is
        outside of functions, or changes what a function takes from around it.
    """
    loaded = [m for m in list(sys.modules.values()) if getattr(m, "__file__", "") == str(file)]
    if not loaded:
        return []
    sound = compile(ast.unparse(ast.parse(before)), str(file), "exec")
    codes = _changed(sound, compile(after, str(file), "exec"))
    if codes is None:
        return None
    swaps = [
        (function, codes[function.__code__.co_qualname])
        for function in gc.get_objects()
        if isinstance(function, FunctionType) and function.__code__.co_filename == str(file)
        if function.__code__.co_qualname in codes
    ]
    fits = all(f.__code__.co_freevars == code.co_freevars for f, code in swaps)
    return swaps if swaps and fits else None


def _changed(one: CodeType, other: CodeType) -> dict[str, CodeType] | None:
    """Return the code of functions that differ, by name; None where more than functions does."""
    if one == other:
        return {}
    if one.co_flags & inspect.CO_OPTIMIZED:
        return {one.co_qualname: other}
    if one.co_code != other.co_code or one.co_names != other.co_names:
        return None
    found: dict[str, CodeType] = {}
    for a, b in zip(one.co_consts, other.co_consts, strict=True):
        if isinstance(a, CodeType) and isinstance(b, CodeType):
            inner = _changed(a, b)
            if inner is None or found.keys() & inner.keys():
                return None
            found |= inner
        elif repr(a) != repr(b):
            return None
    return found


def _try(swaps: Sequence[Swap], items: Sequence[Any]) -> int:
    """Plant a fault and run tests until one fails; return 1 if one does."""
    for function, code in swaps:
        function.__code__ = code
    following = [*items[1:], None]
    for item, after in zip(items, following, strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if item.session.testsfailed:
            return 1
    return 0


def fork(function: Callable[[], int]) -> int:
    """Call a function in a process of its own, which ends with what it returns; return its id."""
    process = os.fork()
    if process:
        return process
    os.setpgrp()
    try:
        code = function()
    except BaseException:
        code = 1
    os._exit(code)
