"""Causes that sit in masks and padding: outputs that follow what they must not, or nothing real."""

from ..symptoms.leaks import Leak
from ..symptoms.samples import SAME
from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Experiment
from .needs import look

UNREAL = 1e-3
"""Change of outputs with the real steps over that with padding, up to which padding is read."""


def _leaks(symptoms: Symptoms, hides: str) -> list[Leak]:
    return [leak for leak in symptoms.structure.leaks if leak.hides == hides]


def _candidate(leak: Leak, remedy: str) -> Candidate:
    return Candidate(
        module=leak.place,
        fraction=1.0,
        evidence={
            "mask_in": leak.module,
            "function": leak.function,
            "change": leak.change,
            "line": leak.line,
        },
        remedy=remedy,
    )


def exchange_hidden(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Exchange what is hidden, which is how the leak was found: outputs must not have changed."""
    change = candidate.evidence["change"]
    return change > SAME, {"before": 0.0, "after": change}


def find_future_leak(symptoms: Symptoms) -> list[Candidate]:
    """Find outputs that change with later steps although a mask is there to hide them."""
    return [
        _candidate(
            leak,
            "Hide what comes later: a boolean attention mask is True above the diagonal, an added"
            " one -inf there, and every layer needs it.",
        )
        for leak in _leaks(symptoms, "future")
    ]


FUTURE_LEAK = Cause(
    name="future_leak",
    meaning="outputs that see the future although a mask is to hide it",
    confused_with="A model that is too good: its loss is low on all data that is at hand.",
    rank=26,
    needs=(look("masks"),),
    find=find_future_leak,
    prove=exchange_hidden,
)


def find_padding_leak(symptoms: Symptoms) -> list[Candidate]:
    """Find outputs that change with padded steps although attention masks them."""
    return [
        _candidate(
            leak,
            "Leave the padded steps out wherever steps are put together: average over the real"
            " ones, or read the last real one.",
        )
        for leak in _leaks(symptoms, "padding")
    ]


PADDING_LEAK = Cause(
    name="padding_leak",
    meaning="outputs that follow padded steps although attention masks them",
    confused_with="padding_read, where the output is taken from a padded step alone.",
    rank=27,
    needs=(look("masks"),),
    find=find_padding_leak,
    prove=exchange_hidden,
)


def find_padding_read(symptoms: Symptoms) -> list[Candidate]:
    """Find outputs that follow the padding at the end and not the real steps before it."""
    padding = symptoms.structure.padding
    if padding is None or padding.change > UNREAL:
        return []
    return [
        Candidate(
            fraction=padding.rows / padding.samples,
            evidence={
                "padded_rows": padding.rows,
                "rows": padding.samples,
                "padded_steps": padding.padded,
                "change": padding.change,
            },
            remedy="Read the last real step of each sample, out[range(B), length - 1], or pack the"
            f" sequences: the last step is padding in {padding.rows} of {padding.samples} rows.",
        )
    ]


def exchange_real(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Exchange the real steps, which is how it was found: outputs must not have stayed, and do."""
    change = candidate.evidence["change"]
    return change <= UNREAL, {"before": 1.0, "after": change}


PADDING_READ = Cause(
    name="padding_read",
    meaning="an output that is read off the padding at the end",
    confused_with=(
        "ignored_input.steps and vanishing: early steps are not forgotten, they are never read."
    ),
    rank=31,
    needs=(look("padding"),),
    find=find_padding_read,
    prove=exchange_real,
    explains=("units", "flow", "rates", "ignored_input", "collapse"),
)
