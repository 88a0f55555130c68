"""From a command line, and from what others stored, to a config that may be built.

`overrides` reads a command line, `compose` makes a job's config of it, `trust` says what any config
may hold. All of it runs without torch, so that a slip costs a fraction of a second.
"""

import sys
from pathlib import Path
from typing import NoReturn

CONFIG_DIR = Path(__file__).resolve().parents[2] / "conf"


def stop(message: str, code: int = 2) -> NoReturn:
    """Print one line and end, by default with the exit code of a command that cannot work."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)
