"""Poolings over time: (B, T, D) -> (B, D') and the weights over time that made it."""

from src.models.pooling.attention import (
    AttentionPooling,
    AttentiveStatsPooling,
    MultiheadPooling,
)
from src.models.pooling.base import Pooled, Pooling, WeightedPooling
from src.models.pooling.learned import (
    ExponentialPooling,
    GatedPooling,
    LearnablePooling,
    initial_logits,
)
from src.models.pooling.static import LastPooling, MaxPooling, MeanPooling

__all__ = [
    "AttentionPooling",
    "AttentiveStatsPooling",
    "ExponentialPooling",
    "GatedPooling",
    "LastPooling",
    "LearnablePooling",
    "MaxPooling",
    "MeanPooling",
    "MultiheadPooling",
    "Pooled",
    "Pooling",
    "WeightedPooling",
    "initial_logits",
]
