"""Signals that end a run: its state is written first, and its exit code says what ended it."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE_S = 8.0
"""How long a training may take to come to a point from which it can go on."""

received: int | None = None
"""The signal that told this process to stop."""

_is_training = False
_is_held_back = False


@contextmanager
def listening() -> Iterator[None]:
    """End this process on SIGTERM and Ctrl-C with exit code 143 and 130, and without a traceback.

    At once where nothing is lost by it. A training is given the time to write its state: see
    `training_begins`.

    Raises:
        SystemExit: with 128 plus the signal's number.
    """
    global received
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = None
    watched = (*SIGNALS, signal.SIGALRM)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in watched}
    hook, sys.unraisablehook = sys.unraisablehook, _say_nothing_of_the_exit
    _listen()
    try:
        yield
        check()
    except Exception:
        check()  # a library may have made an error of its own of the exit
        raise
    finally:
        training_ends()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def check() -> None:
    """End a process that was told to stop.

    Raises:
        SystemExit: with 128 plus the signal's number.
    """
    if received is not None:
        raise SystemExit(128 + received) from None


@contextmanager
def held_back() -> Iterator[None]:
    """Let no signal interrupt a few lines that must not be left half done."""
    global _is_held_back
    before, _is_held_back = _is_held_back, True
    try:
        yield
    finally:
        _is_held_back = before


def training_begins() -> None:
    """Let a training look for signals itself: where it is, there may be nothing to go on from.

    Lightning's own answer to SIGTERM, which writes nothing, is put aside.
    """
    global _is_training
    if signal.getsignal(signal.SIGALRM) is _too_late:
        _is_training = True
        _listen()


def training_ends() -> None:
    """Let signals end the process at once again."""
    global _is_training
    if _is_training:
        _is_training = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _say_nothing_of_the_exit(failed: Any) -> None:
    """Pass over an exit that came where Python cannot raise it: the next check makes up for it."""
    if received is None or not isinstance(failed.exc_value, SystemExit):
        sys.__unraisablehook__(failed)


def _listen() -> None:
    for number in SIGNALS:
        signal.signal(number, _on_signal)
    signal.signal(signal.SIGALRM, _too_late)


def _on_signal(number: int, frame: FrameType | None) -> None:
    global received
    was_told = received is not None
    received = number
    if _is_held_back:
        return
    if was_told or not _is_training:
        check()
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)


def _too_late(number: int, frame: FrameType | None) -> None:
    if not _is_held_back:
        check()
