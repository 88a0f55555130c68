"""One frame for all commands: read the line, check it, run, print tables or JSON, or one error.

    python -m src.<command> [run] key=value ... [--key value] [--json] [--help]

`--key value` is `key=value` for every key of the command's own file in conf/, `--key` alone is
`key=true`. A bare word is the run, or the runs, that the command is about. Exit codes: 0; 1 if a
result is not what it has to be; 2 for what cannot work, said in one line before anything is
written; 3 for a checkpoint that is damaged or foreign; 130 after Ctrl-C.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from src.config.keys import Keys, command_keys, help_text, quoted
from src.files import harmless
from src.importing import importing

_LONGEST_LINE = 1000


@dataclass(frozen=True)
class Job:
    """What a command is to do.

    Args:
        config: the composed config, checked and resolved: plain values that may be built.
        choices: config groups and the option chosen in each.
        overrides: the `key=value` items as typed.
    """

    config: Any
    choices: dict[str, Any]
    overrides: list[str]


def stop(message: str, code: int = 2) -> NoReturn:
    """Print one line and end, by default with the exit code of a command that cannot work.

    What it quotes may come from anybody: it is shortened, and cannot steer the terminal.
    """
    line = " ".join(message.split())
    shown = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ..."
    print(f"error: {harmless(shown)}", file=sys.stderr)
    raise SystemExit(code)


class Command:
    """One command of the project, called without arguments by `python -m`.

    Args:
        name: the command's, and that of its file in conf/.
        text: what it does and how it is called, for `--help`.
        work: does it, and returns what is to be printed, as plain values; None for nothing.
        show: turns that result into what Rich prints; without it nothing is printed but JSON.
        word: the key that a bare word on the command line gives a value to.
        needs: modules of an extra, and the extra's name last.
        sweep: runs one job for each combination of values, for a command that has `-m`.
        code: the exit code of a result; 0 without it.
        hidden: groups that the command does not use, though its file includes them.
    """

    def __init__(
        self,
        name: str,
        text: str | None,
        work: Callable[[Job], Any],
        show: Callable[[Any, Job], Iterable[Any]] | None = None,
        *,
        word: str | None = "ckpt_path",
        needs: Sequence[str] = (),
        sweep: Callable[[Sequence[str]], int] | None = None,
        code: Callable[[Any, Job], int] | None = None,
        hidden: Sequence[str] = (),
    ) -> None:
        self.name, self.text, self.word = name, text or "", word
        self.work, self.show, self.sweep = work, show, sweep
        self.needs, self.code, self.hidden = needs, code, hidden

    def __call__(self, arguments: Sequence[str] | None = None) -> None:
        """Run a command line, by default the process's own."""
        # Before torch is loaded: threads that spin while they wait take eight times as long as
        # threads that sleep, when somebody else uses the cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        try:
            self._run(sys.argv[1:] if arguments is None else list(arguments))
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except FloatingPointError as error:
            stop(str(error), 1)
        except (ValueError, OSError) as error:
            stop(str(error), getattr(error, "exit_code", 2))
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    def _run(self, arguments: list[str]) -> None:
        keys = command_keys(self.name, self.hidden)
        sweeps = self.sweep is not None
        line = _Parser(self.name, keys, sweeps).parse_intermixed_args(arguments)
        if line.help:
            return print(help_text(self.name, self.text, keys, sweeps))
        if line.shell_completion:
            from src.config.completion import complete

            return print(complete(self.name, line.shell_completion, keys))
        overrides = _overrides(line, keys, self.word)
        if line.multirun:
            assert self.sweep is not None
            raise SystemExit(self.sweep(overrides))
        if line.cfg:
            from src.config.compose import config_text

            return print(config_text(self.name, overrides, line.resolve), end="")
        self._work(_composed(self.name, overrides))

    def _work(self, job: Job) -> None:
        self._check(job)
        as_json = bool(job.config.get("json"))
        if not sys.stdout.isatty():  # a file or a pipe is as wide as what goes into it
            os.environ.setdefault("COLUMNS", "1000")
        with ExitStack() as stack:
            if as_json:  # nothing else goes to standard output, whoever prints
                stack.enter_context(redirect_stdout(sys.stderr))
            result = self.work(job)
        if as_json:
            from src.files import to_plain

            print(json.dumps(to_plain(result), allow_nan=False))
        elif self.show is not None:
            from src.terminal import Terminal

            console = Terminal()
            for item in self.show(result, job):
                if isinstance(item, str):
                    console.print(item, soft_wrap=True, highlight=False, markup=False)
                else:
                    console.print(item)
        if self.code is not None and (code := self.code(result, job)):
            raise SystemExit(code)

    def _check(self, job: Job) -> None:
        """Refuse a line that leaves out what the command is about, or a missing extra."""
        for key, default in command_keys(self.name).values.items():
            if default in ("???", []) and job.config.get(key) in (None, "???", []):
                word = "<run folder>" if key == self.word else f"{key}=..."
                raise ValueError(f"{key} is missing: python -m src.{self.name} {word}")
        if self.needs:
            from importlib.util import find_spec

            *modules, extra = self.needs
            if missing := [name for name in modules if find_spec(name) is None]:
                needed = ", ".join(missing)
                raise ValueError(f"{self.name} needs {needed}: pip install -e '.[{extra}]'")


class _Parser(argparse.ArgumentParser):
    """The options of a command: the frame's own, and one for each of its keys."""

    def __init__(self, name: str, keys: Keys, sweeps: bool) -> None:
        super().__init__(prog=f"python -m src.{name}", add_help=False, allow_abbrev=False)
        self.add_argument("words", nargs="*")
        self.add_argument("--help", "-h", action="store_true")
        self.add_argument("--cfg", "-c", choices=("job",))
        self.add_argument("--resolve", action="store_true")
        self.add_argument("--shell-completion", "-sc")
        self.set_defaults(config_dir=None, multirun=False)
        if keys.groups:
            self.add_argument("--config-dir", "-cd")
        if sweeps:
            self.add_argument("--multirun", "-m", action="store_true")
        for key, default in keys.values.items():
            action: Any = {"action": "store_true"} if isinstance(default, bool) else {}
            self.add_argument(f"--{key}", dest=f"key {key}", default=None, **action)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        raise ValueError(f"{message}; see {self.prog} --help")


def _overrides(line: argparse.Namespace, keys: Keys, word: str | None) -> list[str]:
    """Return all that a command line says as `key=value` items."""
    typed = [item for item in line.words if "=" in item or item[0:1] in ("~", "+")]
    bare = [item for item in line.words if item not in typed]
    overrides = [_listed(_of_file(item), keys) for item in typed]
    for key in keys.values:
        if (value := getattr(line, f"key {key}")) is not None:
            overrides.append(f"{key}={_written(value, keys.values[key])}")
    if bare and word is None:
        raise ValueError(f"{bare[0]!r} is no key=value")
    takes_several = isinstance(keys.values.get(str(word)), list)
    if len(bare) > 1 and not takes_several:
        raise ValueError(f"one run is expected, got {' '.join(bare)}")
    if bare:
        value = ",".join(map(quoted, bare))
        overrides.append(f"{word}=[{value}]" if takes_several else f"{word}={value}")
    if line.config_dir is not None:
        overrides.append(f"hydra.searchpath=[{quoted(_folder(line.config_dir))}]")
    return overrides


def _folder(path: str) -> str:
    if not Path(path).is_dir():
        raise ValueError(f"--config-dir: no such folder: {path}")
    return f"file://{Path(path).absolute()}"


def _of_file(item: str) -> str:
    """Return `key=value` with its value in quotes where it is a file's name that needs them."""
    key, _, value = item.partition("=")
    is_plain = re.fullmatch(r"[\w./\\+-]*", value, re.ASCII)
    return item if is_plain or not Path(value).is_file() else f"{key}={quoted(value)}"


def _listed(item: str, keys: Keys) -> str:
    """Return `key=a,b` as `key=[a,b]` where the key's value is a list."""
    key, _, value = item.partition("=")
    is_list = isinstance(keys.values.get(key), list)
    return f"{key}=[{value}]" if is_list and not value.startswith("[") else item


def _written(value: Any, default: Any) -> str:
    """Return an option's value as an override has it: texts in quotes, lists in brackets."""
    if isinstance(default, list):
        return f"[{','.join(map(quoted, value.split(',')))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if default is None or isinstance(default, str) else value


def _composed(name: str, overrides: list[str]) -> Job:
    # Imported here: --help answers without Hydra.
    with importing():
        from src.config.compose import compose_line, own_part
        from src.config.trust import settled

    config = compose_line(name, overrides)
    choices = {k: v for k, v in config.hydra.runtime.choices.items() if k != "sweep"}
    return Job(settled(own_part(config)), choices, list(config.hydra.overrides.task))
