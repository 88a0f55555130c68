"""One fault, its tests, its fate: in a copy of the project and a process of its own."""

import importlib
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from benchmarks.mutation.calls import Calls, Recorder
from benchmarks.mutation.inside import Waiting, fork
from benchmarks.mutation.mutants import Mutant

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
SAID = "said.txt"
"""What the tests printed last, in the copy of the project."""
PATIENCE = 10
"""Seconds to wait for a second of processor time."""
COMMANDS = {
    "diagnostics": ("test_diagnose.py",),
    "reporting": ("test_report.py",),
    "serving": (
        *("test_export.py", "test_predict.py", "test_serve.py"),
        *("test_several_series.py", "test_targets.py"),
    ),
    "sweeping": ("test_sweep.py",),
}
"""Tests of the commands that a room is there for, and of what they are given."""
ENOUGH = 15.0
"""Seconds of processor time that the tests of a round take together: all those of a function that
every diagnosis calls would take minutes. What only others notice counts as unnoticed."""
DEFAULTS = "tests/config/test_defaults.py"
"""Holds the defaults of every class against its config, and calls none."""
# Slow to import and never mutated: loaded once, so that each fault's process starts with them.
_WARM = (
    *("pytest", "_hypothesis_pytestplugin", "hypothesis.extra._array_helpers", "xdist.plugin"),
    *("anyio.pytest_plugin", "trio", "torch", "lightning.pytorch", "pytorch_lightning"),
    *("torchmetrics", "hydra", "pandas", "scipy.stats", "statsmodels.api", "fastapi", "uvicorn"),
    "tensorboard.backend.event_processing.event_accumulator",
)


class Trials:
    """Tries faults one after another.

    Args:
        root: The project.
        seconds: Processor time of a fault's tests: one that takes longer runs for ever, and is
            noticed. On a busy machine it may take many times as long.
    """

    def __init__(self, root: Path, seconds: float) -> None:
        self._root, self._seconds, self._calls = root, seconds, Calls()
        self._waiting = 0

    def __enter__(self) -> Self:
        """Copy what git knows of the project, and load what is never mutated."""
        self._copy = Path(tempfile.mkdtemp(prefix="mutation-"))
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=self._root, check=True, capture_output=True, text=True)
        for name in names.stdout.splitlines():
            if (self._root / name).is_file():
                (self._copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._root / name, self._copy / name)
        for module in _WARM:
            importlib.import_module(module)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the copy."""
        self._end_waiting()
        shutil.rmtree(self._copy, ignore_errors=True)

    def check(self, room: Path) -> None:
        """Run a room's tests on the code as it is, and see which functions each of them calls.

        Raises:
            RuntimeError: a test fails, or they take too long: every fault would seem noticed.
        """
        tests = [self._copy / "tests" / name for name in (room.name, *COMMANDS.get(room.name, ()))]
        tests.append(self._copy / "src" / room.name)  # what its docstrings promise
        seen = self._copy / "calls.json"
        recorder = Recorder(self._copy, f"src/{room.name}", seen)
        if (fate := self._run([*map(str, tests)], 10 * self._seconds, recorder)) != SURVIVED:
            said = (self._copy / SAID).read_text(errors="replace").splitlines()
            raise RuntimeError(
                "\n".join([f"tests/{room.name} without a fault: {fate}", *said[-20:]])
            )
        self._calls = Calls.read(seen)
        self._wait_with([*map(str, tests)])

    def fate(self, mutant: Mutant) -> str:
        """Return what becomes of a fault."""
        calling = self._calls.of(mutant.file, mutant.line, self._copy)
        deepest = self._calls.deepest(mutant.file, calling)
        rounds = [calling, deepest, self._calls.beside(calling)]
        rounds = [self._calls.within(tests, ENOUGH) for tests in rounds if tests]
        file = self._copy / mutant.file
        sound = file.read_text()
        file.write_text(mutant.source)
        try:
            fate = self._inside(file, sound, mutant.source, rounds) if rounds else None
            if fate is None:
                rounds = rounds or [[*tests_of(mutant.file, self._copy)]]
                fates = (self._run(tests, self._seconds) for tests in rounds)
                fate = next((fate for fate in fates if fate != SURVIVED), SURVIVED)
            if fate == SURVIVED and (self._copy / DEFAULTS).exists():
                fate = self._run([DEFAULTS], self._seconds)
            return fate
        finally:
            file.write_text(sound)

    def _inside(self, file: Path, before: str, after: str, rounds: list[list[str]]) -> str | None:
        """Plant a fault in the process that waits; None where it cannot be planted there."""
        self._asked.send((file, before, after, list(dict.fromkeys(chain(*rounds)))))
        return self._asked.recv()

    def _wait_with(self, tests: list[str]) -> None:
        """Have a process collect a room's tests, and wait for faults."""
        self._end_waiting()
        self._asked, there = Pipe()
        waiting = Waiting(there, lambda trial: self._forked(trial, self._seconds))
        self._waiting = fork(lambda: _test(self._copy, tests, waiting))
        there.close()

    def _end_waiting(self) -> None:
        if self._waiting:
            self._asked.send(None)
            os.waitpid(self._waiting, 0)
            self._waiting = 0

    def _run(self, tests: list[str], seconds: float, plugin: object = None) -> str:
        return self._forked(lambda: _test(self._copy, tests, plugin), seconds)

    def _forked(self, trial: Callable[[], int], seconds: float) -> str:
        def limited() -> int:
            _limit(seconds)
            return trial()

        return fate_of(fork(limited), seconds)


def fate_of(process: int, seconds: float) -> str:
    """Wait for a process of tests, which may take so many seconds of processor time."""
    ends = time.monotonic() + PATIENCE * seconds
    while time.monotonic() < ends:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            fates = {0: SURVIVED, -signal.SIGXCPU: TIMED_OUT, -signal.SIGKILL: TIMED_OUT}
            return fates.get(code, KILLED)
        time.sleep(0.05)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return TIMED_OUT


def tests_of(file: str, root: Path) -> list[str]:
    """Return the tests of a file: those that bear its name, then the folder that mirrors its own.

    Args:
        file: below src, relative to the project.
        root: of the project.
    """
    inside = Path(file).relative_to("src")
    folder = root / "tests" / inside.parent
    while not any(folder.rglob("test_*.py")):
        folder = folder.parent
    own = sorted(folder.rglob(f"test_*{inside.stem}*.py"))
    return [*map(str, own), str(folder)]


def _limit(seconds: float) -> None:
    """Have this process ended once it has taken so many more seconds of processor time."""
    ends = math.ceil(time.process_time()) + math.ceil(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (ends, ends))


def _test(copy: Path, tests: list[str], plugin: object) -> int:
    """Run tests in this process; return 0 if nothing failed."""
    os.chdir(copy)
    said = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.path[:] = [str(copy), *(path for path in sys.path if path not in ("", str(Path.cwd())))]
    for name in [n for n in sys.modules if n.partition(".")[0] in ("src", "tests", "benchmarks")]:
        del sys.modules[name]
    sys.dont_write_bytecode = plugin is None  # the code as it is alone is compiled to stay
    options = ["-x", "-m", "not slow", "-p", "no:cacheprovider", f"--rootdir={copy}"]
    code = pytest.main([*options, *tests], plugins=[plugin] if plugin else None)
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code)
