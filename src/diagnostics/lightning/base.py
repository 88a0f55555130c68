"""One base class for callbacks that work with `lightning.pytorch` and with `pytorch_lightning`.

Both packages hold the same code under two names and do not know each other's classes. A class that
derives from the Callback of each that is installed is at home in both Trainers.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:
    _packages = [name for name in ("lightning", "pytorch_lightning") if find_spec(name)]
    _modules = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}
    Callback = type(
        "Callback", tuple(import_module(_modules[name]).Callback for name in _packages), {}
    )

__all__ = ["Callback"]
