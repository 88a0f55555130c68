"""Price-sequence models that explain their own gradients."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from src.runs.opening import open_run

__version__ = "0.1.0"
__all__ = ["open_run"]


def __getattr__(name: str) -> Any:
    """Import on first use: `import src` costs nothing."""
    if name == "open_run":
        from src.runs.opening import open_run

        return open_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
