"""Gradients that explain themselves: counts, shapes of zeros, causes and their proof.

Shapes: B batch, T time steps, F input features, D hidden size.
"""

from src.diagnostics.context import TrainingContext
from src.diagnostics.diagnose import diagnose
from src.diagnostics.findings import MEANING, Diagnosis, Finding
from src.diagnostics.summary import ParameterGradient, summarize_gradient, summarize_gradients

__all__ = [
    "MEANING",
    "Diagnosis",
    "Finding",
    "ParameterGradient",
    "TrainingContext",
    "diagnose",
    "summarize_gradient",
    "summarize_gradients",
]
