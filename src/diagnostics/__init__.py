"""Gradients that explain themselves: the symptom, its cause, and an intervention that proves it.

measuring/   what is cheap enough to look at while training
symptoms/    what a replay with hooks shows, as plain numbers
causes/      what the symptoms mean: one declaration per cause, with what finds and what proves it
trials/      what would help: copies trained under one repair each
lightning/   the callback and what only it needs

`diagnose` goes through them in that order; `findings` and `rank` say what comes out of it.

Shapes: B batch, T time steps, F input features, D hidden size.
"""

from .causes import CAUSES
from .diagnose import diagnose
from .explain import explain
from .findings import Check, Diagnosis, Finding
from .gradient import ParameterGradient, summarize_gradient, summarize_gradients
from .symptoms.symptoms import TrainingContext
from .trials import Help, what_would_help

MEANING = {name: cause.meaning for name, cause in CAUSES.items()}
"""One clause per cause, in the order in which a root cause outranks its consequences."""

__all__ = [
    "CAUSES",
    "MEANING",
    "Check",
    "Diagnosis",
    "Finding",
    "Help",
    "ParameterGradient",
    "TrainingContext",
    "diagnose",
    "explain",
    "summarize_gradient",
    "summarize_gradients",
    "what_would_help",
]
