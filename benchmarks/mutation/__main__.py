"""Plant small faults in the code and count those that the tests of their folder notice.

Usage:
    python -m benchmarks.mutation --write                     # a sample of every room
    python -m benchmarks.mutation --rooms training --count 40
    python -m benchmarks.mutation --rooms serving --only server.py

For each fault the fast tests that call the function it is in run, out of the folder that mirrors
its room and those of the room's commands, until one fails: first the fastest, then those that call
the most functions of the file, then the others of the files these tests are in, of each as many as
take `trial.ENOUGH` seconds. Where no test calls it, those of the file's name run, and then the
folder. A fault that no test notices is a survivor.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.keeping import RESULTS, keep
from benchmarks.mutation.mutants import Mutant, sample
from benchmarks.mutation.trial import Trials
from src.reporting.text import count_of, markdown_rows

ROOT = Path(__file__).parents[2]
ROOMS = ("diagnostics", "training", "callbacks", "reporting", "sweeping", "serving")
NAME = "mutation"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parse(arguments)
    result: dict[str, Any] = {"seed": options.seed, "rooms": {}}
    ends = time.monotonic() + options.total
    with Trials(ROOT, options.seconds) as trials:
        for room in options.rooms:
            trials.check(ROOT / "src" / room)
            mutants = sample(_files(room, options.only), ROOT, options.count, options.seed)
            result["rooms"][room] = room_result(_tried(trials, mutants, ends))
            print(_line(room, result["rooms"][room]), flush=True)
    print("\n".join(_table(result)))
    if options.write:
        keep(NAME, result, _page(result), options.out)


def _files(room: str, only: str) -> list[Path]:
    files = sorted((ROOT / "src" / room).rglob("*.py"))
    return [file for file in files if only in file.as_posix() and file.name != "__init__.py"]


def _tried(trials: Trials, mutants: Sequence[Mutant], ends: float) -> Iterator[tuple[Mutant, str]]:
    """Yield each fault and what became of it, while there is time."""
    for mutant in mutants:
        if time.monotonic() > ends:
            return
        fate = trials.fate(mutant)
        print(f"{fate}: {mutant.file}:{mutant.line} {mutant.what}", flush=True)
        yield mutant, fate


def room_result(tried: Iterator[tuple[Mutant, str]]) -> dict[str, Any]:
    """Return what became of the faults of a room."""
    fates = [(mutant, fate) for mutant, fate in tried]
    survivors = [f"{m.file}:{m.line} {m.what}" for m, fate in fates if fate == "survived"]
    killed = len(fates) - len(survivors)
    return {
        "mutants": len(fates),
        "killed": killed,
        "timeouts": sum(fate == "timed out" for _, fate in fates),
        "score": killed / len(fates) if fates else None,
        "survivors": survivors,
    }


def _line(room: str, found: dict[str, Any]) -> str:
    return f"{room}: {found['killed']} of {count_of(found['mutants'], 'fault')} noticed"


def _table(result: dict[str, Any]) -> list[str]:
    rooms = result["rooms"]
    rows: list[tuple[str, ...]] = [
        (room, str(one["mutants"]), str(one["killed"]), _percent(one["score"]), interval_of(one))
        for room, one in rooms.items()
    ]
    total = {key: sum(one[key] for one in rooms.values()) for key in ("mutants", "killed")}
    score = total["killed"] / total["mutants"] if total["mutants"] else None
    rows.append(("all", *map(str, total.values()), _percent(score), interval_of(total)))
    return markdown_rows(("room", "faults", "noticed", "score", "95% interval"), rows)


def interval_of(found: dict[str, Any]) -> str:
    """Return what share of all faults of a room the tests may notice, given a sample.

    Source: Wilson, Journal of the American Statistical Association 22 (1927).

    >>> interval_of({"mutants": 20, "killed": 18}), interval_of({"mutants": 0, "killed": 0})
    ('70% to 97%', '-')
    """
    n, share, z = found["mutants"], found["killed"] / max(found["mutants"], 1), 1.96
    if not n:
        return "-"
    middle = share + z * z / (2 * n)
    off = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * off) / (1 + z * z / n) for sign in (-1, 1))
    return f"{low:.0%} to {high:.0%}"


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{score:.0%}"


def _page(result: dict[str, Any]) -> str:
    survivors = [s for one in result["rooms"].values() for s in one["survivors"]]
    lines = [
        "# What the tests notice",
        "",
        "Small faults planted in the code, one at a time: a comparison turned, a number off by",
        "one, a condition inverted, nothing returned. For each the fast tests that call the",
        "changed function run, of the folder that mirrors the file's and of the room's commands.",
        f"A sample, seed {result['seed']}; `make mutation` makes it again.",
        "Some faults change nothing that could be noticed (a number of a speed-up, a default that",
        "every caller gives): they count as survivors here.",
        "",
        *_table(result),
        "",
        "## Survivors",
        "",
        *(f"- `{survivor}`" for survivor in survivors),
    ]
    return "\n".join(lines) + "\n"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS), metavar="ROOM")
    parser.add_argument("--only", default="", help="part of the names of files to plant faults in")
    parser.add_argument("--count", type=int, default=20, help="faults a room (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (%(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="of processor time, a fault")
    parser.add_argument("--total", type=float, default=3600, help="seconds in all (%(default)s)")
    parser.add_argument("--write", action="store_true", help="keep the result")
    parser.add_argument("--out", type=Path, default=RESULTS, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
