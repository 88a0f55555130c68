"""Clipping that leaves nothing and losses that do not fall: both sides of each bound, the words."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from src.diagnostics.causes import loop
from src.diagnostics.causes.harm import Course, Worth
from src.diagnostics.symptoms.symptoms import Symptoms, TrainingContext
from tests.diagnostics.causes.by_hand import parameter, symptoms_of


def clipped(norms: list[float], entries: float = 0.0, **context: Any) -> Symptoms:
    """Return symptoms with gradients of these norms, and of this largest entry."""
    weight = parameter("w", torch.ones(2))
    weight.grads = [torch.tensor([-entries, 0.0]), torch.tensor([0.0, entries / 2])]
    seen = Symptoms(parameters={"w": weight}, context=TrainingContext(**context))
    seen.grad_norms = norms
    return seen


@pytest.mark.parametrize(
    ("norms", "clip", "found"),
    [
        ([9.0, 2000.0, 3000.0], 1.9, True),  # the norm in the middle counts
        ([9.0, 2000.0, 3000.0], 2.0, False),
        ([9.0, 2000.0], 1.9, True),
        ([2000.0], 0.0, False),
        ([], 1e-9, False),
    ],
)
def test_a_norm_is_overclipped_below_a_thousandth_of_the_median_gradient(
    norms: list[float], clip: float, found: bool
) -> None:
    candidates = loop.find_overclipped(clipped(norms, clip_norm=clip))
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.fraction == pytest.approx(1 - 1.9 / 2000)
        told = {"clip": 1.9, "gradient": 2000.0, "left": pytest.approx(1.9 / 2000)}
        assert candidate.evidence == told
        assert candidate.remedy == "Raise the threshold to the usual norm of the gradient, 1 say."


@pytest.mark.parametrize(("clip", "found"), [(3.9e-3, True), (4.0e-3, False)])
def test_a_value_is_overclipped_below_a_thousandth_of_the_largest_entry(
    clip: float, found: bool
) -> None:
    candidates = loop.find_overclipped(clipped([1e9], entries=4.0, clip_value=clip))
    assert [c.evidence["gradient"] for c in candidates] == [4.0] * found
    assert loop.largest_entry(Symptoms()) == 0.0


def judged(harm: float, seen: Symptoms, can_tell: bool = True) -> Any:
    """Return an experiment in which clipping does so much harm."""

    def worth(remedy: Any) -> Worth:
        assert not remedy.clips
        return Worth(Course(1.0, 0.1 * harm), Course(1.0, 0.1), 60)

    judge = SimpleNamespace(can_tell=can_tell, worth=worth)
    return SimpleNamespace(context=seen.context, symptoms=seen, judge=judge)


@pytest.mark.parametrize(
    ("context", "size", "found"),
    [
        ({"clip_norm": 1.0}, 4.0, True),
        ({"clip_norm": 4.0}, 4.0, False),  # nothing is taken away
        ({"clip_norm": 0.0}, 4.0, False),
        ({"clip_value": 0.25}, 0.5, True),
        ({"clip_value": 0.5}, 0.5, False),
        ({"clip_norm": 5.0, "clip_value": 0.25}, 4.0, False),  # the norm is what is clipped at
        ({}, 4.0, False),
    ],
)
def test_a_milder_clipping_is_a_fault_where_it_hurts(
    context: dict[str, float], size: float, found: bool
) -> None:
    seen = clipped([2.0, 4.0], entries=0.5, **context)
    candidates = loop.try_unclipped(judged(2.0, seen))
    assert len(candidates) == found
    for candidate in candidates:
        (clip,) = context.values()
        assert candidate.confirmed
        assert candidate.fraction == 1 - clip / size
        told = {name: candidate.evidence[name] for name in ("clip", "gradient", "left", "harm")}
        assert told == {
            "clip": clip,
            "gradient": size,
            "left": clip / size,
            "harm": pytest.approx(2.0),
        }
    assert loop.try_unclipped(judged(1.2, seen)) == []
    assert loop.try_unclipped(judged(2.0, seen, can_tell=False)) == []


def test_a_threshold_clips_what_is_above_it() -> None:
    for norm, verdict in ((2.0, True), (1.0, False)):
        experiment = SimpleNamespace(baseline=SimpleNamespace(norm=norm))
        claim = SimpleNamespace(evidence={"clip": 1.0})
        told = {"before": 1.0, "after": norm}
        assert loop.compare_clipping(experiment, claim) == (verdict, told)  # type: ignore[arg-type]


def told_of(losses: list[float], first: Any = (), learned: bool = False) -> list[Any]:
    context = TrainingContext(losses=losses, first_losses=first)
    return loop.find_not_learning(symptoms_of(learned=learned, context=context))


def test_a_hundred_losses_that_do_not_fall_are_told_with_their_ends() -> None:
    losses = [1.0] * 25 + [2.0] * 50 + [3.0] * 25
    (found,) = told_of(losses[40:], losses[:40])
    assert found.fraction == 1.0
    assert found.remedy.startswith("Ask what_would_help(model, batches, loss_fn, optimizer): it")
    assert found.evidence["trend"] > 0
    ends = {name: found.evidence[name] for name in ("losses", "at_first", "at_last")}
    assert ends == {"losses": 100, "at_first": 1.0, "at_last": 3.0}
    (short,) = told_of([], losses)
    assert short.evidence["losses"] == 100


@pytest.mark.parametrize(
    ("losses", "options"),
    [
        ([1.0] * 99, {}),  # too few to tell
        ([1.0 - 0.001 * n for n in range(100)], {}),
        ([1.0] * 100, {"first": None}),  # how it began is not known
        ([1.0] * 100, {"learned": True}),
    ],
)
def test_nothing_is_said_of_other_losses(losses: list[float], options: dict[str, Any]) -> None:
    assert told_of(losses, **options) == []
    assert len(told_of([1.0] * 100)) == 1
    assert len(told_of([math.nan] * 100)) == 1
