"""Stands for the package when a command runs as a file: `python src/train.py`.

Python then looks for modules in this folder, where `import src` finds this file. It puts the folder
above in its place, and the package itself in its own.
"""

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "src":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    del sys.modules["src"]
    import_module("src")
