"""Signals that end a sweep: nothing they stop ever looks like success."""

import functools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

received: int | None = None
"""The signal that told the sweep's own process to stop."""

leads: bool = False
"""Whether this process leads a sweep; otherwise it works on jobs beside the one that does."""


@contextmanager
def leading() -> Iterator[None]:
    """Let this process lead a sweep: SIGTERM ends it with exit code 143."""
    global leads, received
    leads, received = True, None
    before = signal.signal(signal.SIGTERM, _on_signal)
    try:
        yield
    finally:
        leads = False
        signal.signal(signal.SIGTERM, before)


def check() -> None:
    """End a process that was told to stop, where Lightning's handler alone has heard it.

    Raises:
        SystemExit: with 128 plus the signal's number.
    """
    if received is not None:
        raise SystemExit(128 + received)


@functools.cache
def follow(parent: int) -> None:
    """Tell this process to stop once `parent` is gone: nobody waits for its result."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _on_signal(signum: int, frame: FrameType | None) -> None:
    global received
    received = signum
    # During a fit this is called by Lightning's handler, which ends the fit after the batch.
    if signal.getsignal(signum) is _on_signal:
        check()
