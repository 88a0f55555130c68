"""Which tests call which functions: a fault in one is shown to those tests, the fastest first."""

import ast
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import FrameType
from typing import Any

import pytest


@dataclass
class Calls:
    """What each test of a room calls.

    Args:
        tests: by file and first line of a function, the tests that call it.
        seconds: by test, the processor time it takes while it is watched.
    """

    tests: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def of(self, file: str, line: int, root: Path) -> list[str]:
        """Return the tests that call the function a line is in, the fastest first.

        Args:
            file: relative to the project.
            line: counted from 1.
            root: of the project.

        Returns:
            Ids of tests; of a line in no function those that call any of the file. None where no
            test was seen to call it.
        """
        tree = ast.parse((root / file).read_text())
        first, last = function_at(tree, line)
        if not last:
            last = max((getattr(node, "end_lineno", 0) for node in tree.body), default=0)
        found = {
            test for at in range(first, last + 1) for test in self.tests.get(f"{file}:{at}", ())
        }
        return self._fastest(found)

    def beside(self, tests: Sequence[str]) -> list[str]:
        """Return the other tests of the files that tests are in, the fastest first.

        What a fixture shared by a file does counts as done by the first test that asks for it.
        """
        files = set(map(_file_of, tests))
        others = (test for test in self.seconds if _file_of(test) in files)
        return self._fastest(set(others) - set(tests))

    def deepest(self, file: str, tests: Sequence[str]) -> list[str]:
        """Return tests in another order: first those that call the most functions of a file.

        Each diagnosis asks for every cause; who has the cause goes on to its other functions.
        """
        counts = Counter(
            test
            for place, callers in self.tests.items()
            if place.rpartition(":")[0] == file
            for test in callers
        )
        return sorted(tests, key=lambda test: -counts[test])

    def within(self, tests: Sequence[str], seconds: float) -> list[str]:
        """Return the first of some tests that take so long together, file by file; one at least."""
        spent = accumulate(self.seconds.get(test, 0.0) for test in tests)
        first = [
            t for n, (t, s) in enumerate(zip(tests, spent, strict=True)) if s <= seconds or not n
        ]
        files = list(dict.fromkeys(map(_file_of, first)))
        return sorted(first, key=lambda test: files.index(_file_of(test)))

    def _fastest(self, tests: Iterable[str]) -> list[str]:
        return sorted(tests, key=lambda test: (self.seconds.get(test, 0.0), test))

    @classmethod
    def read(cls, file: Path) -> "Calls":
        """Return what a recorder wrote."""
        return cls(**json.loads(file.read_text()))


def function_at(tree: ast.Module, line: int) -> tuple[int, int]:
    """Return the first and last line of the outermost function that holds a line.

    >>> function_at(ast.parse("A = 1\\ndef f():\\n    def g(): ...\\n    return g"), 3)
    (2, 4)
    >>> function_at(ast.parse("A = 1"), 1)
    (1, 0)
    """
    places = [node for node in tree.body if not isinstance(node, ast.ClassDef)]
    for node in tree.body:
        places += node.body if isinstance(node, ast.ClassDef) else []
    for node in places:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first <= line <= (node.end_lineno or 0):
                return first, node.end_lineno or 0
    return 1, 0


class Recorder:
    """A plugin of pytest that writes down which functions below a folder each test calls.

    Args:
        root: of the project.
        folder: below it.
        file: gets what was found.
    """

    def __init__(self, root: Path, folder: str, file: Path) -> None:
        self._root, self._below, self._file = f"{root}/", f"{root}/{folder}/", file
        self._found: set[tuple[str, int, str]] = set()
        self._seconds: dict[str, float] = {}
        self._test = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Watch one test, with all that it sets up."""
        self._test, began = item.nodeid, _spent()
        threading.settrace(self._see)
        sys.settrace(self._see)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            self._seconds[item.nodeid] = _spent() - began

    def pytest_sessionfinish(self) -> None:
        """Write what was found."""
        tests: dict[str, list[str]] = {}
        for file, line, test in sorted(self._found):
            tests.setdefault(f"{file.removeprefix(self._root)}:{line}", []).append(test)
        self._file.write_text(json.dumps({"tests": tests, "seconds": self._seconds}))

    def _see(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self._below):
            self._found.add((code.co_filename, code.co_firstlineno, self._test))


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def _spent() -> float:
    """Return the processor time of this process and of those it waited for, in seconds."""
    return sum(os.times()[:4])
