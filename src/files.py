"""Files that are whole or not there at all, locks, values that JSON has words for, harmless text.

The ground floor: every room may use this, and it uses none.
"""

import fcntl
import glob
import json
import math
import os
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

LOCK = ".lock"
"""File in a folder that the process holds which works there."""


def files_at(path: str | Sequence[str]) -> list[Path]:
    """Return the files that a path, a folder, a glob or a list of these stands for, in order.

    A name that exists is taken as it is, so `ETF[SPY].csv` is no pattern. What stands for no file
    is returned itself: whoever opens it says so.
    """
    found: list[Path] = []
    for one in [path] if isinstance(path, str) else path:
        file = Path(one).expanduser()
        inside: list[Path] = []
        if file.is_dir():
            inside = [other for other in file.iterdir() if not other.name.startswith(".")]
        elif not file.exists() and any(sign in str(file) for sign in "*?["):
            inside = [Path(name) for name in glob.glob(str(file), recursive=True)]
        found += sorted(filter(Path.is_file, inside)) or [file]
    return list(dict.fromkeys(found))


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a new file beside `target` that takes its place once all of it is on the disk.

    Whatever ends the process in between, `target` is the earlier file or the new one.

    Raises:
        OSError: the folder cannot be written; the earlier file stays as it was.

    Source: https://danluu.com/file-consistency/ (write, flush, rename, flush the folder).
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        unnamed = (None, "", temporary, str(temporary))  # as of a full disk, or a missing folder
        if isinstance(error, OSError) and error.strerror and error.filename in unnamed:
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise
    _flush_folder(target.parent)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed processes left of `replacing` in a folder; nobody may be writing there."""
    for file in folder.glob(".*.tmp"):
        file.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> Path:
    """Write a text file whole or not at all; return its path."""
    with replacing(target) as file:
        file.write(text.encode())
    return target


def write_json(target: Path, value: Any) -> Path:
    """Write a JSON file whole or not at all; numbers that JSON lacks become null."""
    return write_text(target, json.dumps(to_plain(value), indent=2, allow_nan=False) + "\n")


def to_plain(value: Any) -> Any:
    """Return what JSON can say of a value: null for NaN and the infinities.

    >>> to_plain({"norm": float("nan"), "steps": (1, 2.5)})
    {'norm': None, 'steps': [1, 2.5]}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):
        return to_plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return float(value) if math.isfinite(value) else None


def harmless(text: str) -> str:
    r"""Return a text that cannot steer a terminal, whoever wrote it: lines and tabs are left.

    >>> harmless("a\x1b[31mb\tc\u202e")
    'a\\x1b[31mb\tc\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(repr(char)[1:-1] if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    return char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, made if it is not there; the kernel frees it when a process ends.

    Raises:
        BlockingIOError: another process holds it, and `wait` is false.
    """
    with path.open("w") as file:
        if not wait:  # for longer than it takes to ask whether it is held
            _wait_a_little(file)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_held(path: Path) -> bool:
    """Say whether some process holds the lock file `path`."""
    try:
        with path.open("rb") as file:
            # Shared: those who only ask do not hold it against each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True


def _wait_a_little(file: IO[str]) -> None:
    for attempt in range(10):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == 9:
                raise
            time.sleep(0.01)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
