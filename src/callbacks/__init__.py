"""When to measure, and where to show it."""

from src.callbacks.pooling_monitor import PoolingMonitor
from src.diagnostics.lightning.gradient_health import GradientHealth

__all__ = [
    "GradientHealth",
    "PoolingMonitor",
]
