"""Keep large buffers between steps instead of giving them back to the system.

With glibc's defaults every training step maps and unmaps the recurrent layers' work buffers, and
the page faults cost as much as the arithmetic.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_GIB = 1 << 30


def keep_freed_memory() -> bool:
    """Raise glibc's mmap and trim thresholds (mallopt(3)); return False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "gnu_get_libc_version"):
        return False
    largest_int = 2**31 - 1
    return bool(
        libc.mallopt(_M_MMAP_THRESHOLD, _GIB) and libc.mallopt(_M_TRIM_THRESHOLD, largest_int)
    )
