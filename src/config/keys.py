"""What a command's file in conf/ says: its keys and groups, and `--help` made of its comments."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from src.config import CONFIG_DIR

_GROUP = re.compile(r"\s*- (\w+): (\S+)(?:\s+# (.*))?")
_BLOCK = re.compile(r"^(?=\w)", re.MULTILINE)


@dataclass(frozen=True)
class Group:
    """A config group as a command's defaults list has it.

    Args:
        name: the folder in conf/.
        default: the option taken without a word on the command line; "null" for none.
        meaning: what the list says of it.
    """

    name: str
    default: str
    meaning: str

    @property
    def options(self) -> list[str]:
        """The files in the group's folder."""
        return sorted(file.stem for file in (CONFIG_DIR / self.name).glob("*.yaml"))


@dataclass(frozen=True)
class Keys:
    """The keys and groups of one command.

    Args:
        values: top-level keys with their defaults; "???" for one that has to be given.
        groups: the groups of the defaults list.
        text: the keys as the file writes them, with its comments.
    """

    values: dict[str, Any]
    groups: list[Group]
    text: str


@cache
def command_keys(name: str, hidden: Sequence[str] = ()) -> Keys:
    """Return what conf/<name>.yaml holds, but for groups that the command has no use for."""
    _, *blocks = _BLOCK.split((CONFIG_DIR / f"{name}.yaml").read_text())
    values: dict[str, Any] = {}
    groups: list[Group] = []
    kept = []
    for block in blocks:
        content = yaml.safe_load(block)
        if "defaults" in content:
            groups = _groups(block, content["defaults"])
        elif "hydra" not in content:
            values |= content
            kept.append(block)
    return Keys(values, [group for group in groups if group.name not in hidden], "".join(kept))


def _groups(block: str, entries: list[Any]) -> list[Group]:
    """Return the groups of a defaults list, those of a main config that it builds on first."""
    inherited = [
        group
        for entry in entries
        if isinstance(entry, str) and (CONFIG_DIR / f"{entry}.yaml").is_file()
        for group in command_keys(entry).groups
    ]
    found = [match.groups() for line in block.splitlines() if (match := _GROUP.match(line))]
    return inherited + [Group(name, option, said or "") for name, option, said in found]


def help_text(name: str, text: str, keys: Keys, sweeps: bool) -> str:
    """Return what `--help` prints: the command, its groups with their options, its keys."""
    first, *examples = text.strip().splitlines()
    parts = ["\n".join([first, *(f"  {line.strip()}".rstrip() for line in examples)])]
    if keys.groups:
        parts.append("\n".join(["Parts, as group=option:", *map(_group_row, keys.groups)]))
    lines = [f"  {line}".rstrip() for line in keys.text.strip().splitlines()]
    parts.append("\n".join(["Keys, as key=value or --key value:", *lines]))
    options = [
        ("--cfg job", "print all keys, those of the parts too, and stop; --resolve: as values"),
        ("-sc install=bash", f'completion: eval "$(python -m src.{name} -sc install=bash)"'),
    ]
    if keys.groups:
        options.insert(1, ("--config-dir DIR", "look for presets in a folder of your own, too"))
    if sweeps:
        options.insert(0, ("-m, --multirun", "one job for each combination of values: seed=0,1"))
    parts.append("\n".join(["Options:", *(_row(*option) for option in options)]))
    return "\n\n".join(parts)


def _group_row(group: Group) -> str:
    return _row(f"{group.name}={group.default}", group.meaning, " | ".join(group.options))


def _row(name: str, *lines: str) -> str:
    """Return a name and what is said of it, one under the other."""
    first, *more = [line for line in lines if line]
    rest = [f"{'':25}{line}" for line in more]
    return "\n".join([f"  {name:22} {first}", *rest])


def quoted(text: str) -> str:
    """Return a text as Hydra's grammar reads it back, whatever it holds.

    >>> quoted("a,b=c")
    "'a,b=c'"
    """
    before_quote = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", before_quote) + "'"
