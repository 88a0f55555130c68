"""The diagnosis inside of a Lightning training: the callback and what only it needs."""

from src.diagnostics.lightning.gradient_health import GradientHealth

__all__ = ["GradientHealth"]
