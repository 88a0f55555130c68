"""Pure modules: encoders, poolings, norms, and the regressors composed of them."""

from src.models.baselines import LinearRegressor, NaiveRegressor
from src.models.dropout import DropoutRates
from src.models.norm import (
    BatchNorm,
    FeatureNorm,
    LayerNorm,
    Norm,
    Persistence,
    ReversibleNorm,
    RMSNorm,
)
from src.models.pooling import (
    AttentionPooling,
    AttentiveStatsPooling,
    ExponentialPooling,
    GatedPooling,
    LastPooling,
    LearnablePooling,
    MaxPooling,
    MeanPooling,
    MultiheadPooling,
    Pooled,
    Pooling,
    initial_logits,
)
from src.models.recurrent import RecurrentEncoder
from src.models.regressor import RegressorOutput, SequenceRegressor, build_regressor
from src.models.transformer import TransformerEncoder

__all__ = [
    "AttentionPooling",
    "AttentiveStatsPooling",
    "BatchNorm",
    "DropoutRates",
    "ExponentialPooling",
    "FeatureNorm",
    "GatedPooling",
    "LastPooling",
    "LayerNorm",
    "LearnablePooling",
    "LinearRegressor",
    "MaxPooling",
    "MeanPooling",
    "MultiheadPooling",
    "NaiveRegressor",
    "Norm",
    "Persistence",
    "Pooled",
    "Pooling",
    "RMSNorm",
    "RecurrentEncoder",
    "RegressorOutput",
    "ReversibleNorm",
    "SequenceRegressor",
    "TransformerEncoder",
    "build_regressor",
    "initial_logits",
]
