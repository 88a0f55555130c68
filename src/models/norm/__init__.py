"""Norms between the data and the encoder: how features are brought to one scale in the network.

All share one constructor and two methods, so that a regressor treats them alike: `forward` goes
before the encoder, `undo` after the head. `undo` changes nothing except in `ReversibleNorm`, and
takes the window itself as its state: nothing is remembered between the two calls.
"""

from src.models.norm.base import Norm, Persistence
from src.models.norm.features import BatchNorm, FeatureNorm, LayerNorm, RMSNorm
from src.models.norm.reversible import ReversibleNorm

__all__ = [
    "BatchNorm",
    "FeatureNorm",
    "LayerNorm",
    "Norm",
    "Persistence",
    "RMSNorm",
    "ReversibleNorm",
]
