"""Diagnosis by trial of repairs: copies are trained for a short while, each under one change.

pairs.py       what a loss compares, seen and changed from outside
skill.py       one number of it that survives a change of loss
facts.py       what has to be known of a program before it can be repaired
program.py     a copy of a program with what is changed about it, and how it is trained
changes.py     what can be changed about one
repairs.py     which changes answer which causes: one declaration each
planted.py     a target that does follow from the inputs
trials.py      the stages that `what_would_help` goes through
result.py      what comes out, in words and as a table
"""

from .result import Help, Row
from .trials import what_would_help

__all__ = ["Help", "Row", "what_would_help"]
