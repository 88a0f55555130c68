"""Remedies on trial: when a trial is worth it and what it shows, with made-up courses."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from src.diagnostics.causes import decay, flow, rates
from src.diagnostics.causes.experiment import Outcome
from src.diagnostics.causes.harm import Course, Judge, Remedy, Worth
from src.diagnostics.symptoms.stats import FeatureStats
from src.diagnostics.symptoms.structure import Structure
from src.diagnostics.symptoms.symptoms import ActivationSymptoms, TrainingContext
from tests.diagnostics.causes.by_hand import layer, symptoms_of


def worth(harm: float, **fits: float) -> Worth:
    """Return a comparison in which so much is lost without the remedy."""
    without, under = Course(1.0, 0.1 * harm), Course(1.0, 0.1)
    told = Worth(without, under, 60)
    return told._replace(
        without=without._replace(fit=fits.get("without", math.inf)),
        under=under._replace(fit=fits.get("under", math.inf)),
    )


def test_harm_counts_from_half_as_much_again_and_a_thirtieth_of_the_start() -> None:
    assert Worth(Course(1.0, 1.5), Course(4.0, 1.0), 60).is_harmful
    assert not Worth(Course(1.0, 1.49), Course(4.0, 1.0), 60).is_harmful
    assert Worth(Course(1.0, 0.0625), Course(1.0, 0.03125), 60).is_harmful
    assert not Worth(Course(1.0, 0.0585), Course(1.0, 0.0290), 60).is_harmful
    assert Worth(Course(1.0, 0.0), Course(1.0, 0.5), 60).harm == 0.0
    assert Worth(Course(1.0, 1.0), Course(1.0, 0.0), 60).harm == 0.0
    told = Worth(Course(9.0, 3.0), Course(2.0, 1.0), 16).evidence
    assert told == {"before": 3.0, "after": 1.0, "loss_at_start": 2.0, "harm": 2.0, "steps": 16}


@pytest.mark.parametrize(
    ("stepped", "skill", "sizes", "told"),
    [
        (True, 0.89, (99, 8), True),
        (True, 0.9, (99, 8), False),  # it has lost nothing worth a trial
        (False, 0.0, (99, 8), False),
        (True, 0.0, (99, 7), False),
        (True, 0.0, (99,), False),  # nothing is held out
        (True, 0.0, (9, 9, 9, 4, 9, 9, 9, 4), True),  # two batches are
    ],
)
def test_a_trial_is_judged_where_something_was_lost_and_eight_samples_are_held_out(
    stepped: bool, skill: float, sizes: tuple[int, ...], told: bool
) -> None:
    batches = [(torch.zeros(size, 2), torch.tensor(1.0)) for size in sizes]
    experiment: Any = SimpleNamespace(
        batches=batches,
        courses=SimpleNamespace(has_stepped=stepped),
        symptoms=SimpleNamespace(skill=skill),
    )
    assert Judge(experiment).can_tell is told


class Judged:
    """An experiment whose losses say which batch, and after how many steps."""

    def __init__(self, broken: int = 99) -> None:
        self.batches, self.taken, self.broken = list(range(5)), list[Any](), broken
        self.symptoms = SimpleNamespace(structure=Structure())
        self.group = {"lr": 1.0, "weight_decay": 0.5}
        self.courses = SimpleNamespace(rates=[0.5], affordable_steps=8, copy_for=self.copy_for)

    def copy_for(self, rates: list[float], fresh: bool) -> Any:
        assert fresh
        self.rates = rates
        return nn.Linear(1, 1), [SimpleNamespace(param_groups=[self.group])]

    def step(self, model: Any, optimizers: Any, batch: int, clips: bool) -> Any:
        self.taken.append((batch, clips))
        count = len(self.taken)
        return SimpleNamespace(loss=math.nan if count == self.broken else float(count))

    def loss_fn(self, model: Any, batch: int) -> float:
        return 10.0 * batch + len(self.taken)


def test_a_copy_learns_from_some_batches_and_is_judged_on_the_others() -> None:
    experiment: Any = Judged()
    judge = Judge(experiment)
    changed = []
    course = judge.course(Remedy(change=changed.append, rate=0.1, clips=False, decays=False))
    assert experiment.taken == [(b, False) for b in (0, 1, 2, 4)] * 2
    assert course == Course(30.0, 38.0, 7.5), "the fit is that of the last two of eight steps"
    assert experiment.rates == [0.05]
    assert experiment.group["weight_decay"] == 0.0
    assert len(changed) == 1
    experiment.group["weight_decay"] = 0.5
    known = Remedy()
    first = judge.course(known)
    assert experiment.group["weight_decay"] == 0.5
    assert experiment.taken[8:] == [(b, True) for b in (0, 1, 2, 4)] * 2
    assert judge.course(known) is first
    assert len(experiment.taken) == 16, "no copy is trained twice"


def test_a_course_that_breaks_down_ends_at_infinity() -> None:
    experiment: Any = Judged(broken=3)
    assert Judge(experiment).course(Remedy()) == Course(30.0, math.inf, math.inf)
    assert len(experiment.taken) == 3


def decaying(
    pulls: list[float], harm: float = 2.0, decays: bool = True, can_tell: bool = True
) -> Any:
    """Return an experiment of matrices of ones with gradients of one, and decays of these sizes."""
    model = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in pulls)
    for module in model:
        module.reset_parameters = lambda module=module: nn.init.ones_(module.weight)
    groups = [{"params": [m.weight], "weight_decay": p} for m, p in zip(model, pulls, strict=True)]

    def judged(remedy: Remedy) -> Worth:
        assert not remedy.decays
        return worth(harm)

    def replay(copy: nn.Module) -> Outcome:
        assert all(bool((p == 1).all()) for p in copy.parameters())
        return Outcome(1.0, {name: -torch.ones(2, 2) for name, _ in copy.named_parameters()})

    return SimpleNamespace(
        symptoms=SimpleNamespace(decays=decays),
        judge=SimpleNamespace(can_tell=can_tell, worth=judged),
        optimizers=[torch.optim.SGD(groups, 0.1)],
        model=model,
        copy=lambda: model,
        replay=replay,
    )


def test_a_decay_that_pulls_a_tenth_as_hard_as_gradients_push_is_tried() -> None:
    (found,) = decay.try_without_decay(decaying([0.1, 0.1, 7.0]))
    assert found.confirmed
    assert found.fraction == 1.0
    told = {name: found.evidence[name] for name in ("weight_decay", "pull", "harm")}
    assert told == {
        "weight_decay": 7.0,
        "pull": pytest.approx(0.1),
        "harm": pytest.approx(2.0),
    }
    for other in (
        decaying([0.099, 0.099, 7.0]),
        decaying([0.1], harm=1.4),
        decaying([0.1], decays=False),
        decaying([0.1], can_tell=False),
    ):
        assert decay.try_without_decay(other) == []


def test_a_decay_beside_the_gradient_is_compared_with_adams_step() -> None:
    experiment = decaying([0.5])
    (group,) = experiment.optimizers[0].param_groups
    experiment.replay = lambda copy: Outcome(1.0, {"0.weight": torch.full((2, 2), 0.25)})
    assert decay._pull(experiment) == pytest.approx(2.0)
    group["decoupled_weight_decay"] = True
    assert decay._pull(experiment) == pytest.approx(0.5)
    del group["decoupled_weight_decay"]
    experiment.optimizers = [torch.optim.AdamW([group["params"][0]], weight_decay=0.5)]
    assert decay._pull(experiment) == pytest.approx(0.5)
    experiment.replay = lambda copy: Outcome(1.0, {"0.weight": torch.zeros(2, 2)})
    assert decay._pull(experiment) == 0.0
    experiment.replay = lambda copy: Outcome(1.0, {})
    assert decay._pull(experiment) == 0.0


def sigmoid(caller: str, producer: str, function: str = "sigmoid") -> ActivationSymptoms:
    return ActivationSymptoms(function, caller, producer, 0, FeatureStats(1))


@pytest.mark.parametrize(
    ("activations", "told"),
    [
        ([sigmoid("act", "a"), sigmoid("act2", "b")], ("a", 2, "act2")),
        ([sigmoid("", "a")], ("a", 1, "a")),
        ([sigmoid("act", "")], ("act", 1, "act")),
        ([sigmoid("act", "a"), sigmoid("out", "b")], None),  # one is the output
        ([sigmoid("act", "a"), sigmoid("act2", "out")], None),
        ([sigmoid("act", "a", "tanh")], None),
        ([], None),
    ],
)
def test_hidden_sigmoids_are_tried_left_out(activations: Any, told: Any) -> None:
    seen = symptoms_of(layer("a", 1.0), layer("b", 1.0), activations=activations)
    seen.losses[0].producer = "out"
    answers = [worth(2.0), worth(1.4)]

    def judged(remedy: Remedy) -> Worth:
        mode: Any = remedy.mode()
        x = torch.ones(2)
        assert torch.equal(mode.rewrite("sigmoid", None, (x,), {}), x)
        assert mode.rewrite("sigmoid", None, (), {}) is NotImplemented
        assert mode.rewrite("tanh", None, (x,), {}) is NotImplemented
        return answers.pop(0)

    judge = SimpleNamespace(can_tell=True, worth=judged)
    experiment: Any = SimpleNamespace(symptoms=seen, judge=judge)
    found = flow.try_without_sigmoids(experiment)
    assert [(c.module, c.evidence["sigmoids"], c.evidence["last"]) for c in found] == (
        [told] if told else []
    )
    assert all(c.confirmed and c.fraction == 1.0 for c in found)
    assert flow.try_without_sigmoids(experiment) == [], "they do no harm, or are none"
    judge.can_tell, answers = False, [worth(2.0)]
    assert flow.try_without_sigmoids(experiment) == []


def calm(losses: Any, first: Any, steps: tuple[float, float] = (0.01, 0.01)) -> bool:
    context = TrainingContext(losses=losses, first_losses=first)
    courses = SimpleNamespace(first_steps=steps)
    return rates._goes_calmly(SimpleNamespace(context=context, courses=courses))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("losses", "first", "steps", "goes"),
    [
        ([1.5] * 16, [1.0] * 5, (0.01, 0.01), True),
        ([1.51] * 16, [1.0] * 5, (0.01, 0.01), False),
        ([1.0] * 11, [1.0] * 5, (0.01, 0.01), True),
        ([1.0] * 10, [1.0] * 5, (0.01, 0.01), False),  # shorter than a trial
        ([1.0] * 16, None, (0.01, 0.01), False),
        (None, [1.0] * 16, (0.01, 0.01), True),
        ([1.0] * 15 + [math.inf], [], (0.01, 0.01), False),
        ([1.0] * 16, [], (0.03, 0.0), False),
        ([1.0] * 16, [], (0.029, 0.029), True),
        ([1.0] * 16, [], (0.0, 0.03), False),
        ([9.0, 9.0, 1.0, 1.0, 1.0] + [1.5] * 16, [], (0.01, 0.01), True),  # the middle of five
        ([1.0] * 20 + [9.0] * 7, [], (0.01, 0.01), True),  # and of the last sixteen
    ],
)
def test_a_training_goes_calmly_that_did_not_rise_by_half_in_small_steps(
    losses: Any, first: Any, steps: tuple[float, float], goes: bool
) -> None:
    assert calm(losses, first, steps) is goes


def rated(harms: dict[float, float], moved: float, **more: Any) -> Any:
    """Return an experiment in which higher rates are worth so much."""
    asked = []

    def judged(remedy: Remedy) -> Worth:
        asked.append(remedy.rate)
        told = worth(harms.get(round(remedy.rate, 6), 1.0), **more.get("fits", {}))
        return told._replace(without=told.without._replace(start=more.get("start", 1.0)))

    judge = SimpleNamespace(can_tell=True, worth=judged, reached=more.get("reached", 1.0))
    courses = SimpleNamespace(
        first_steps=(moved, moved),
        rates=[1e-3, 1e-4],
        rate_evidence=lambda *numbers: {"numbers": numbers},
    )
    return SimpleNamespace(judge=judge, courses=courses, asked=asked)


@pytest.mark.parametrize(
    ("harms", "moved", "more", "factor", "asked"),
    [
        ({10.0: 2.0}, 1e-3, {}, 10.0, [10.0]),
        ({10.0: 1.4}, 1e-3, {}, None, [10.0]),
        ({10.0: 2.0}, 1e-3, {"reached": 0.151}, 10.0, [10.0]),
        ({10.0: 2.0}, 1e-3, {"reached": 0.149}, None, [10.0]),  # it has got there by now
        ({10.0: 2.0}, 1e-3, {"start": 1.99}, 10.0, [10.0]),
        ({10.0: 2.0}, 1e-3, {"start": 2.01}, None, [10.0]),  # a tenth is left: it learns
        ({1000.0: 2.0}, 1e-5, {}, 1000.0, [10.0, 100.0, 1000.0]),
        ({100.0: 2.0}, 1e-5, {}, 100.0, [10.0, 100.0]),
        ({}, 1e-4, {}, None, [10.0]),  # ten times is what is usual
    ],
)
def test_a_rate_is_too_low_where_a_higher_one_would_bring_it_further(
    harms: Any, moved: float, more: Any, factor: Any, asked: list[float]
) -> None:
    experiment = rated(harms, moved, **more)
    found = rates._at_higher_rates(experiment)
    assert experiment.asked == pytest.approx(asked)
    assert len(found) == (factor is not None)
    for candidate in found:
        assert candidate.confirmed
        assert candidate.fraction == 1.0
        told = f"Raise the learning rate, for example to {1e-3 * factor:.1g}."
        assert candidate.remedy == told
        assert candidate.evidence["harm"] == pytest.approx(2.0)
    experiment.judge.can_tell = False
    assert rates._at_higher_rates(experiment) == []


@pytest.mark.parametrize(
    ("harm", "fits", "found"),
    [
        (2.0, {"without": 0.2, "under": 0.1}, True),
        (2.0, {"without": 0.1, "under": 0.1}, True),
        (2.0, {"without": 0.09, "under": 0.1}, False),  # it learns its batches by heart
        (1.4, {"without": 0.2, "under": 0.1}, False),
    ],
)
def test_on_new_batches_a_rate_is_too_high_where_a_tenth_of_it_is_better_on_the_old_ones_too(
    harm: float, fits: dict[str, float], found: bool
) -> None:
    experiment = rated({0.1: harm}, 1e-3, fits=fits)
    candidates = rates._on_new_batches(experiment)
    assert [c.remedy for c in candidates] == [
        "Lower the learning rate, for example to 0.0001."
    ] * found
    for candidate in candidates:
        numbers = (pytest.approx(0.2), 0.1, 1.0, 60)
        assert candidate.evidence == {"numbers": numbers, "harm": pytest.approx(2.0)}
    experiment.judge.can_tell = False
    assert rates._on_new_batches(experiment) == []
