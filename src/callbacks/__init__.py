"""When to measure, and where to show it."""

from src.callbacks.gradient_health import GradientHealth
from src.callbacks.pooling_monitor import PoolingMonitor

__all__ = [
    "GradientHealth",
    "PoolingMonitor",
]
