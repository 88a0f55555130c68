"""Importing large libraries without the garbage collector walking through them."""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import without garbage collection, and spare what was imported from later ones.

    Modules, classes and functions are there to stay. Torch and Lightning make half a million such
    objects, and the collector, which starts whenever there are many new ones, looked through all of
    them again and again: more than a quarter of the time that the imports took.

    Source: https://docs.python.org/3/library/gc.html#gc.freeze
    """
    collects, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
            atexit.register(_thaw)
        if collects:
            gc.enable()


def _thaw() -> None:
    """Let what was spared be collected at the end, where a library reports what was not."""
    if "triton" in sys.modules:  # of torch for NVIDIA's cards: its bindings list what they "leaked"
        gc.unfreeze()
