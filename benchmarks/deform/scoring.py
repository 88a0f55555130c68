"""Score what was said of faults and of healthy variants.

A run is faulty where the fault does harm on all seeds: as published, a mutant that nobody can tell
from the clean model is none. Correct runs are clean ones with another seed, batch size or rate.
"""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from benchmarks.deform.catalogue import OPERATORS

Row = dict[str, Any]
BY_CAUSE = {
    "masked": "masking",
    "fully_masked": "masking",
    "future_leak": "masking",
    "padding_leak": "masking",
    "padding_read": "masking",
    "carried_state": "kv_cache",
    "overclipped": "residual",
}
"""Causes that are of one component wherever they show."""
BY_PLACE = (
    ("self_attn.q", "qkv"),
    ("self_attn.k", "qkv"),
    ("self_attn.v", "qkv"),
    ("self_attn.out", "variant"),
    ("self_attn", "score"),
    ("position", "positional"),
    ("linear", "ffn"),
    ("norm", "layernorm"),
    ("embedding", "embedding"),
    ("types", "embedding"),
    ("temporal_projection", "embedding"),
    ("head", "output"),
)
"""Part of a module's name -> component, the first that fits."""


def category_of(cause: str, place: str) -> str:
    """Return the component that a finding points at; empty for the whole model.

    >>> category_of("dead_unit", "layers.0.linear1.weight"), category_of("masked", "model")
    ('ffn', 'masking')
    """
    if cause in BY_CAUSE:
        return BY_CAUSE[cause]
    return next((component for part, component in BY_PLACE if part in place), "")


def f1(hits: int, wrong: int, missed: int) -> float:
    """Return the harmonic mean of precision and recall.

    >>> round(f1(8, 2, 2), 3)
    0.8
    """
    return 2 * hits / (2 * hits + wrong + missed) if hits else 0.0


def macro_f1(truths: Sequence[str], guesses: Sequence[str]) -> float:
    """Return the mean F1 over the classes that occur.

    >>> macro_f1(["a", "b"], ["a", "a"])
    0.3333333333333333
    """
    pairs = list(zip(truths, guesses, strict=True))
    return mean(
        f1(
            sum(t == g == kind for t, g in pairs),
            sum(g == kind != t for t, g in pairs),
            sum(t == kind != g for t, g in pairs),
        )
        for kind in sorted(set(truths))
    )


def category_guessed(row: Row) -> str:
    """Return the component that the first alarm with one points at."""
    known = [category_of(*said) for said in row["said"]]
    return next((kind for kind in known if kind), "")


def root_cause_named(row: Row, first: bool) -> bool:
    """Return whether an accepted cause is said, or said first."""
    said = [cause for cause, _ in row["said"]][: 1 if first else None]
    return any(cause in OPERATORS[row["operator"]].accepted for cause in said)


def scores(rows: Sequence[Row]) -> dict[str, Any]:
    """Score the rows of one model: faults that do harm, and correct runs."""
    faulty = [row for row in rows if row["operator"] and row["harmful"]]
    correct = [row for row in rows if not row["operator"]]
    hits = sum(bool(row["said"]) for row in faulty)
    false = sum(bool(row["said"]) for row in correct)
    balance = len(faulty) / max(len(correct), 1)
    truths = [OPERATORS[row["operator"]].category for row in faulty]
    return {
        "faults": len(faulty),
        "operators": len({row["operator"] for row in faulty}),
        "correct": len(correct),
        "recall": hits / max(len(faulty), 1),
        "detection F1": f1(hits, round(false * balance), len(faulty) - hits),
        "category F1": macro_f1(truths, [category_guessed(row) for row in faulty]),
        "root cause": sum(root_cause_named(r, False) for r in faulty) / max(len(faulty), 1),
        "root cause first": sum(root_cause_named(r, True) for r in faulty) / max(len(faulty), 1),
        "false alarms": false,
    }
