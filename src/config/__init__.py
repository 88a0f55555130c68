"""From a command line, and from what others stored, to a config that may be built.

`keys` says what a command takes, `overrides` reads a command line, `compose` makes a config of it,
`trust` and `launching` say what any config may hold. All of it runs without torch, so that a slip
costs a fraction of a second.
"""

from pathlib import Path

CONFIG_DIR = Path(__file__).resolve().parents[2] / "conf"
