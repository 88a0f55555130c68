"""Gradients that explain themselves: counts, shapes of zeros, causes and their proof.

Shapes: B batch, T time steps, F input features, D hidden size.
"""

from .causes import CAUSES
from .diagnose import diagnose
from .findings import Diagnosis, Finding
from .gradient import ParameterGradient, summarize_gradient, summarize_gradients
from .symptoms.symptoms import TrainingContext

MEANING = {name: cause.meaning for name, cause in CAUSES.items()}
"""One clause per cause, in the order in which a root cause outranks its consequences."""

__all__ = [
    "CAUSES",
    "MEANING",
    "Diagnosis",
    "Finding",
    "ParameterGradient",
    "TrainingContext",
    "diagnose",
    "summarize_gradient",
    "summarize_gradients",
]
