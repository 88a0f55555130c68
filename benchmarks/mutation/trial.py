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
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.mutation.mutants import Mutant

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
PATIENCE = 10
"""Seconds to wait for a second of processor time."""
# Slow to import and never mutated: loaded once, so that each fault's process starts with them.
_WARM = ("pytest", "torch", "lightning.pytorch", "pandas", "scipy.stats", "hydra", "torchmetrics")


class Trials:
    """Tries faults one after another.

    Args:
        root: The project.
        seconds: Processor time of a fault's tests: one that takes longer runs for ever, and is
            noticed. On a busy machine it may take many times as long.
    """

    def __init__(self, root: Path, seconds: float) -> None:
        self._root, self._seconds = root, seconds

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
        shutil.rmtree(self._copy, ignore_errors=True)

    def check(self, room: Path) -> None:
        """Run a room's tests on the code as it is.

        Raises:
            RuntimeError: a test fails, or they take too long: every fault would seem noticed.
        """
        tests = str(self._copy / "tests" / room.name)
        if (fate := self._run([tests], 10 * self._seconds)) != SURVIVED:
            raise RuntimeError(f"tests/{room.name} without a fault: {fate}")

    def fate(self, mutant: Mutant) -> str:
        """Return what becomes of a fault."""
        file = self._copy / mutant.file
        sound = file.read_text()
        file.write_text(mutant.source)
        try:
            return self._run(tests_of(mutant.file, self._copy), self._seconds)
        finally:
            file.write_text(sound)

    def _run(self, tests: list[str], seconds: float) -> str:
        process = os.fork()
        if not process:
            _test(self._copy, tests, seconds)
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


def _test(copy: Path, tests: list[str], seconds: float) -> None:
    """Run tests in this process and end it: 0 if nothing failed."""
    os.setpgrp()
    spent = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (spent + math.ceil(seconds),) * 2)
    os.chdir(copy)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.path[:] = [str(copy), *(path for path in sys.path if path not in ("", str(Path.cwd())))]
    for name in [n for n in sys.modules if n.partition(".")[0] in ("src", "tests", "benchmarks")]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    import pytest

    try:
        code = int(pytest.main(["-x", "-m", "not slow", "-p", "no:cacheprovider", *tests]))
    except BaseException:
        code = 1
    os._exit(code)
