"""Units that are dead or cut off: which layers are blamed, and how a proof is judged, by hand."""

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from src.diagnostics.causes import CAUSES, units
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.causes.experiment import Outcome
from src.diagnostics.symptoms.backward import Block
from src.diagnostics.symptoms.calls import Single
from src.diagnostics.symptoms.stats import FeatureStats, FlowStats
from src.diagnostics.symptoms.structure import Structure
from src.diagnostics.symptoms.symptoms import ActivationSymptoms, ModuleSymptoms, Symptoms
from tests.diagnostics.causes.by_hand import layer, symptoms_of

BEHIND = "Look at what is done with the layer's output: something there silences these units."
REVIVE = "Re-initialise these units with a bias near 0 and lower the learning rate, or use a leaky"


def heard(dead: int, units_: int = 8, rows: int = 8) -> ModuleSymptoms:
    """Return a layer that hears of the loss, but for its first units."""
    flow = FlowStats(units_)
    flow.add((torch.arange(units_) >= dead).float().repeat(rows, 1))
    return ModuleSymptoms("a", "Linear", connected=True, grad_output=flow, units=units_)


@pytest.mark.parametrize(
    ("dead", "size", "rows", "found"),
    [
        (4, 8, 8, True),
        (3, 8, 8, False),
        (4, 8, 7, False),  # too few rows
        (8, 8, 8, False),  # a layer that hears nothing at all is another matter
        (2, 4, 8, True),
        (2, 3, 8, False),  # too few units
    ],
)
def test_half_of_the_units_of_a_layer_without_a_gradient_are_told(
    dead: int, size: int, rows: int, found: bool
) -> None:
    candidates = units._mostly_dead(symptoms_of(heard(dead, size, rows)))
    assert [(c.module, c.indices) for c in candidates] == [("a", tuple(range(dead)))] * found
    for candidate in candidates:
        assert candidate.fraction == dead / size
        told = {"dead_units": dead, "units": size, "why": "no gradient back"}
        assert candidate.evidence == told
        assert candidate.remedy.startswith(REVIVE)
        assert CAUSES["dead_unit"].standing(candidate).name == "dead_unit.cut_off"


@pytest.mark.parametrize(
    ("rows", "kind", "found"),
    [([0, 1], "Linear", True), ([0], "Linear", False), ([0, 1], "Conv1d", False)],
)
def test_rows_of_a_linear_weight_without_a_gradient_are_silenced_behind_it(
    rows: list[int], kind: str, found: bool
) -> None:
    flow = FlowStats(4)
    flow.add(torch.ones(8, 4))
    module = ModuleSymptoms("a", kind, connected=True, grad_output=flow)
    seen = symptoms_of(module)
    zero = torch.zeros(4, 4, dtype=torch.bool)
    zero[rows] = True
    zero[3, 0] = True
    seen.parameters["a.weight"].is_zero = zero
    candidates = units._mostly_dead(seen)
    assert [c.indices for c in candidates] == [tuple(rows)] * found
    for candidate in candidates:
        assert candidate.evidence["why"] == "no gradient of its weights"
        assert candidate.remedy == BEHIND
        assert CAUSES["dead_unit"].standing(candidate).name == "dead_unit.silenced"


def activated(columns: list[float], rows: int = 8, function: str = "relu") -> Symptoms:
    """Return a layer whose units are at these pre-activations in all rows but the last."""
    stats = FeatureStats(len(columns))
    x = torch.tensor([columns]).repeat(rows, 1)
    x[-1] -= 1.0
    stats.add(x)
    seen = symptoms_of(layer("a", 1.0))
    seen.activations = [ActivationSymptoms(function, "", "a", 0, stats)]
    return seen


@pytest.mark.parametrize(
    ("columns", "rows", "function", "dead"),
    [
        ([0.0, -1.0, 0.5, 0.5], 8, "relu", (0, 1)),
        ([0.0, 0.5, 0.5, 0.5], 8, "relu", None),
        ([0.0, -1.0, 0.5, 0.5], 7, "relu", None),
        ([0.0, -1.0, 0.5, 0.5], 8, "sigmoid", None),
        ([-3.0, -3.0, 0.5, 0.5], 8, "hardswish", (0, 1)),
        ([-2.9, -2.9, 0.5, 0.5], 8, "hardswish", None),
        ([-1.0, -1.0, 5.0, 0.5], 8, "relu", (0, 1)),  # one of two is always on: no more than half
        ([-1.0, -1.0, 5.0, 5.0], 8, "relu", None),  # both are: the inputs hardly vary
        ([-1.0] * 9 + [5.0], 8, "relu", tuple(range(9))),  # nine in ten are dead all the same
        ([-1.0] * 8 + [5.0] * 2, 8, "relu", None),
    ],
)
def test_units_that_never_fire_are_told_unless_the_others_always_do(
    columns: list[float], rows: int, function: str, dead: tuple[int, ...] | None
) -> None:
    candidates = units._mostly_dead(activated(columns, rows, function))
    assert [(c.module, c.indices) for c in candidates] == ([("a", dead)] if dead else [])
    for candidate in candidates:
        assert dead is not None
        assert candidate.evidence == {
            "dead_units": len(dead),
            "units": len(columns),
            "largest_preactivation": max(columns[i] for i in dead),
            "activation": function,
            "caller": "",
            "why": "pre-activation never positive",
        }
        assert candidate.remedy.startswith(REVIVE)
        assert CAUSES["dead_unit"].standing(candidate).name == "dead_unit"


def test_units_that_are_no_numbers_are_not_dead() -> None:
    seen = activated([-1.0, -1.0, 0.5, 0.5])
    seen.activations[0].preactivation.nonfinite[0] = 1
    assert units._mostly_dead(seen) == []


def silent(**structure: Any) -> Symptoms:
    """Return three layers, of which the first two hear nothing."""
    layers = [layer("a.x", 0.0), layer("b", 0.0), layer("c", 1.0)]
    for one in layers:
        one.units = 4
    seen = symptoms_of(*layers)
    seen.structure = Structure(**structure)
    return seen


def gate(gated: bool, *names: str) -> Block:
    return Block("Mul", "mul", "", "", names, False, 4, "", gated)


@pytest.mark.parametrize(
    ("seen", "place", "modules"),
    [
        (silent(), "b", ["a.x", "b"]),
        (silent(singles=[Single("softmax", "b", (8, 1), 1, "", by_design=True)]), "b", None),
        (silent(singles=[Single("softmax", "a", (8, 1), 1, "", by_design=True)]), "b", ["b"]),
        (silent(singles=[Single("softmax", "a", (8, 1), 1, "")]), "b", ["a.x", "b"]),
        (silent(blocks=[gate(True, "b.weight", "c.weight")]), "a.x", ["a.x"]),
        (silent(blocks=[gate(False, "b.weight")]), "b", ["a.x", "b"]),
        (silent(blocks=[gate(True, "b.weight", "a.x.weight")]), None, None),
    ],
)
def test_where_a_gradient_ends_the_last_layer_that_hears_nothing_is_told(
    seen: Symptoms, place: str | None, modules: list[str] | None
) -> None:
    candidates = units._blocked(seen)
    assert [c.module for c in candidates] == ([place] if place else [])
    for candidate in candidates:
        told = {"silent_modules": modules or ["a.x", "b"], "why": "no gradient back"}
        assert candidate.evidence == told
        assert (candidate.fraction, candidate.indices) == (1.0, (0, 1, 2, 3))


def test_layers_that_are_not_on_the_way_or_have_no_weights_are_not_asked() -> None:
    seen = silent()
    seen.modules["b"].connected = False
    assert [c.module for c in units._blocked(seen)] == ["a.x"]
    del seen.parameters["a.x.weight"]
    assert units._blocked(seen) == []
    dead = silent()
    dead.modules["c"].grad_output = None
    assert units._blocked(dead) == [], "none hears anything"


class Shifting:
    """An experiment in which rows of a gradient are dead, before and while an output is changed."""

    def __init__(self, before: list[int], after: list[int], kind: str = "Linear") -> None:
        stats = FeatureStats(3)
        stats.add(torch.tensor([[-4.0, -0.5, 1.0], [-2.0, -0.5, 1.0]]))
        seen = symptoms_of(ModuleSymptoms("a", kind))
        seen.activations = [ActivationSymptoms("relu", "", "a", 0, stats)]
        self.symptoms, self.after = seen, after
        self.baseline = self.outcome(before)

    def outcome(self, dead: list[int]) -> Outcome:
        grad = torch.ones(3, 2)
        grad[dead] = 0.0
        return Outcome(1.0, {"a.weight": grad})

    @contextmanager
    def output_changed(self, module: str, change: Any) -> Any:
        assert module == "a"
        self.change = change
        yield

    def replay(self) -> Outcome:
        return self.outcome(self.after)


def claim(*dead: int, **evidence: Any) -> Candidate:
    return Candidate(module="a", parameter="a.weight", indices=dead, evidence=evidence)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [([0, 1], [0], (True, 2, 1)), ([0, 1], [0, 1], (False, 2, 2)), ([0, 1], [2], (True, 2, 0))],
)
def test_dead_units_are_shifted_to_their_size_or_one_and_must_come_alive(
    before: list[int], after: list[int], told: tuple[bool, int, int]
) -> None:
    experiment: Any = Shifting(before, after)
    verdict, evidence = units.raise_units(experiment, claim(0, 1, largest_preactivation=-0.5))
    assert (verdict, evidence["before"], evidence["after"]) == told
    # means -3 and -0.5 are taken off, and sizes sqrt(10) and 0.5 added, of which one at most
    assert experiment.change(torch.zeros(1, 3)).tolist() == [[4.0, 1.0, 0.0]]


def test_units_of_a_convolution_are_its_channels() -> None:
    experiment: Any = Shifting([0], [], "Conv1d")
    assert units.raise_units(experiment, claim(0, largest_preactivation=-0.5))[0] is True
    moved = experiment.change(torch.zeros(1, 3, 2))
    assert moved.tolist() == [[[4.0, 4.0], [0.0, 0.0], [0.0, 0.0]]]


def test_of_a_layer_without_a_weight_nothing_is_shifted() -> None:
    experiment: Any = None
    assert units.raise_units(experiment, Candidate(module="a")) == (None, {})


@pytest.mark.parametrize(
    ("zero", "verdict"), [((0, 1), True), ((1,), None), ((), None)], ids=["both", "one", "none"]
)
def test_units_with_no_way_on_are_connected(zero: tuple[int, ...], verdict: bool | None) -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 4), "b": nn.Linear(4, 3), "c": nn.Linear(3, 4)})
    with torch.no_grad():
        model["b"].weight[:, list(zero)] = 0.0

    def replay(copy: Any) -> Outcome:
        assert copy["b"].weight[:, :2].tolist() == [[0.5, 0.5]] * 3
        return Outcome(1.0, {"a.weight": torch.ones(4, 2)})

    baseline = Outcome(1.0, {"a.weight": torch.tensor([[0.0, 0.0]] * 2 + [[1.0, 1.0]] * 2)})
    experiment: Any = SimpleNamespace(copy=lambda: model, replay=replay, baseline=baseline)
    told = {"before": 2, "after": 0, "zero_outgoing_weights": 1} if verdict else {}
    assert units.raise_units(experiment, claim(0, 1)) == (verdict, told)
