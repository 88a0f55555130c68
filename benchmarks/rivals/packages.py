"""The packages, and an environment for each: the package and what it requires, beside our torch."""

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

OURS = "whygrad"


class Package(NamedTuple):
    """One package on PyPI.

    Args:
        version: that was tried.
        asked: how its documentation says to use it.
        counted: which of its messages are taken as alarms.
    """

    version: str
    asked: str
    counted: str


PACKAGES: dict[str, Package] = {
    "torchtest2": Package("0.1.0", "`check_model(...)` on one batch", "FAIL"),
    "torch-audit": Package("0.3.0", "`autopatch(...)` around eight steps", "ERROR and FATAL"),
    "torchdiag": Package(
        "0.1.0", "`verify_step`, `check_gradients`, `check_dead_neurons`", "issues"
    ),
    "preflight-ml": Package("0.1.1", "all checks, with model and loss", "failed FATAL and WARN"),
    "traintools": Package(
        "0.6.2", "`BatchInspector`, `GradientHealthMonitor` in eight steps", "warnings"
    ),
}


def make_environment(name: str, folder: Path) -> Path:
    """Make an environment that holds one package, and return its Python.

    Args:
        name: of the package.
        folder: of all environments.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    return environment_with(f"{name}=={PACKAGES[name].version}", folder / name)


def environment_with(package: str | None, place: Path | None) -> Path:
    """Make an environment with one package more than ours, and return its Python.

    Torch, and what else is installed here already, is shared through a path file, so that all
    packages run on the same version; anything the package lacks is installed beside it.

    Args:
        package: what to install, as pip is told.
        place: the environment's folder; without a place it is the present one.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    if package is None or place is None:
        return Path(sys.executable)
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        shared = place / "lib" / version / "site-packages" / "shared.pth"
        shared.write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return python
