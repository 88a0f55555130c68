"""The diagnosis inside of a Lightning training: the callback and what only it needs."""

from .gradient_health import GradientHealth

__all__ = ["GradientHealth"]
