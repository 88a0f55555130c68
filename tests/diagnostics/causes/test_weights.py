"""Weights that are zero, alike or too large, by hand: which count, and what proves it."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.causes import CAUSES, gain, weights
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.causes.experiment import Outcome
from src.diagnostics.causes.harm import Course, Worth
from src.diagnostics.symptoms.stats import FeatureStats
from src.diagnostics.symptoms.structure import Structure
from src.diagnostics.symptoms.symptoms import (
    ActivationSymptoms,
    LossSymptoms,
    ModuleSymptoms,
    Symptoms,
)
from tests.diagnostics.causes.by_hand import layer, parameter, symptoms_of

DEFAULT = "Re-initialise the weight with the layer's default, reset_parameters()."


def kinds(**parameters: Any) -> Symptoms:
    """Return symptoms of one module of a kind each, with a parameter of its own."""
    seen = Symptoms(loss_values=[1.0, 1.0])
    for order, (module, (kind, name, weight)) in enumerate(parameters.items()):
        seen.modules[module] = ModuleSymptoms(module, kind, order, 1, connected=True)
        seen.parameters[f"{module}.{name}"] = parameter(f"{module}.{name}", weight)
    return seen


def test_without_a_call_seen_name_and_module_tell_what_is_multiplied_with() -> None:
    square = torch.ones(3, 3)
    seen = kinds(
        fc=("Linear", "weight", square),
        emb=("Embedding", "weight", square),
        bag=("EmbeddingBag", "weight", square),
        norm=("LayerNorm", "weight", square),
        own=("Net", "table", square),
        vector=("Linear", "weight", torch.ones(3)),
    )
    seen.parameters["lost.weight"] = parameter("lost.weight", square)
    found = [name for name, p in seen.parameters.items() if weights.is_matrix(seen, p)]
    assert found == ["fc.weight", "lost.weight"]
    seen.structure = Structure(matrices={"own.table": 1, "emb.weight": 0, "norm.weight": 0})
    found = [name for name, p in seen.parameters.items() if weights.is_matrix(seen, p)]
    assert found == ["norm.weight", "own.table"]


def graded(seen: Symptoms, name: str, grad: Tensor) -> None:
    held = seen.parameters[name]
    held.grads, held.is_zero = [grad], grad == 0


def test_zero_weights_count_where_they_stop_a_gradient() -> None:
    zero = torch.zeros(4, 4)
    seen = kinds(first=("Linear", "weight", torch.ones(4, 4)), head=("Linear", "weight", zero))
    graded(seen, "head.weight", torch.full((4, 4), 0.5))
    (found,) = weights.find_zero_init(seen)
    assert (found.parameter, found.fraction, found.remedy) == ("head.weight", 1.0, DEFAULT)
    assert found.evidence == {"own_gradient": 2.0}
    seen.modules["first"].connected = False
    assert weights.find_zero_init(seen) == [], "no gradient was to come there"
    graded(seen, "head.weight", zero)
    assert len(weights.find_zero_init(seen)) == 1, "it gets none itself"
    seen.parameters["head.weight"].missing = 2
    assert weights.find_zero_init(seen) == [], "the loss does not depend on it"
    seen.parameters["head.weight"].missing = 1
    assert len(weights.find_zero_init(seen)) == 1


def test_a_zero_weight_behind_layers_that_hear_of_the_loss_stops_nothing() -> None:
    seen = symptoms_of(layer("a", 1.0), layer("b", 0.0), loss_values=[1.0])
    seen.parameters["a.weight"].weight = torch.zeros(4, 4)
    assert weights.find_zero_init(seen) == [], "what is behind it does not count"
    seen.modules["a"].order, seen.modules["b"].order = 1, 0
    assert [c.module for c in weights.find_zero_init(seen)] == ["a"]
    seen.modules["a"].order = 0
    assert weights.find_zero_init(seen) == [], "nor does what runs beside it"


def test_the_zero_weight_of_a_normalisation_always_stops_and_its_bias_never() -> None:
    seen = kinds(
        norm=("LayerNorm", "weight", torch.zeros(4)),
        shift=("LayerNorm", "bias", torch.zeros(4)),
        plain=("Linear", "weight", torch.zeros(4)),
    )
    assert [c.parameter for c in weights.find_zero_init(seen)] == ["norm.weight"]


@pytest.mark.parametrize(
    ("query", "key", "found"), [(0.0, 0.0, True), (1.0, 0.0, False), (0.0, 1.0, False)]
)
def test_queries_and_keys_of_zero_make_two_thirds_of_an_attention_dead(
    query: float, key: float, found: bool
) -> None:
    thirds = torch.cat([torch.full((2, 2), size) for size in (query, key, 1.0)])
    seen = kinds(attention=("MultiheadAttention", "in_proj_weight", thirds))
    graded(seen, "attention.in_proj_weight", torch.full((6, 2), 0.5))
    candidates = weights.find_zero_init(seen)
    assert [(c.parameter, c.fraction) for c in candidates] == [
        ("attention.in_proj_weight", 2 / 3)
    ] * found
    for candidate in candidates:
        norm = pytest.approx(math.sqrt(12) / 2)
        assert candidate.evidence == {"zero_thirds": ["query", "key"], "own_gradient": norm}


@pytest.mark.parametrize(
    ("weight", "alike"),
    [
        (torch.full((3, 2), -0.5), True),
        (torch.zeros(3, 2), False),
        (torch.ones(1, 2), False),
        (torch.tensor([[1.0, 2.0], [1.0, 2.002]]), True),
        (torch.tensor([[1.0, 2.0], [1.0, 2.003]]), False),
        (torch.ones(2, 2, 2), True),
    ],
)
def test_rows_are_alike_up_to_a_thousandth_of_the_largest_weight(
    weight: Tensor, alike: bool
) -> None:
    assert weights.rows_alike(weight) is alike
    candidates = weights.find_symmetric_init(kinds(fc=("Linear", "weight", weight)))
    assert len(candidates) == alike
    for candidate in candidates:
        told = {"value": float(weight.flatten()[0]), "units": len(weight)}
        assert (candidate.evidence, candidate.fraction) == (told, 1.0)
        assert candidate.remedy == DEFAULT


class Drawing:
    """An experiment whose gradients are the weights of the model that is replayed."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.baseline = self.replay(model)

    def copy(self) -> nn.Module:
        return self.model

    def replay(self, model: nn.Module) -> Outcome:
        return Outcome(1.0, {n: p.detach().clone() for n, p in model.named_parameters()})


def test_weights_are_drawn_afresh_in_the_module_that_is_named_and_there_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3)).requires_grad_(False)
    for p in model.parameters():
        p.zero_()
    experiment: Any = Drawing(model)
    claim = Candidate(module="0", parameter="0.weight")
    assert weights.redraw_zeros(experiment, claim) == (True, {"before": 21, "after": 15})
    assert weights.redraw_zeros(experiment, claim)[0] is True, "compared with as it was"
    vector = Candidate(module="1", parameter="1.bias")
    assert weights.redraw_zeros(experiment, vector)[1]["after"] == 3, "the other bias"
    assert model[1].bias.tolist() == [1.0, 1.0, 1.0]


def test_what_is_drawn_has_unit_gain() -> None:
    drawn = nn.Parameter(torch.zeros(100, 4, 4), requires_grad=False)
    weights._draw(drawn)
    assert gain.weight_gain(drawn) == pytest.approx(1.0, rel=0.1)
    single = nn.Parameter(torch.zeros(1, 400), requires_grad=False)
    weights._draw(single)
    assert gain.weight_gain(single) == pytest.approx(1.0, rel=0.1), "a layer of one unit"


@pytest.mark.parametrize(
    ("rows", "apart"),
    [
        ([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], 1),
        ([[1.0, 2.0], [1.0, 2.001], [1.0, 2.0]], 2),
        ([[1.0, 2.0], [1.0, 2.000001], [1.0, 2.0]], 1),  # rounding
        ([[0.0, 0.0]], 0),
    ],
)
def test_rows_of_a_gradient_are_counted_up_to_rounding(rows: list[list[float]], apart: int) -> None:
    assert weights._distinct_rows(torch.tensor(rows)) == apart


@pytest.mark.parametrize(
    ("after", "verdict"), [([1.0, 1.0], False), ([1.0, 2.0], True), ([0.0, 0.0], None)]
)
def test_rows_must_come_apart(
    monkeypatch: pytest.MonkeyPatch, after: list[float], verdict: bool | None
) -> None:
    grads = {"w": torch.tensor(after)[:, None]}
    monkeypatch.setattr(weights, "_redrawn", lambda *_: Outcome(1.0, grads))
    experiment: Any = SimpleNamespace(baseline=Outcome(1.0, {"w": torch.ones(2, 1)}))
    told = {"before": 1, "after": len(set(after)) if any(after) else 0}
    assert weights.redraw_copies(experiment, Candidate(parameter="w")) == (verdict, told)


def test_a_gain_is_the_root_mean_square_by_the_root_of_the_fan_in() -> None:
    assert gain.weight_gain(torch.full((2, 9), -2.0)) == 6.0
    assert gain.weight_gain(torch.full((2, 3, 3), 2.0)) == 6.0


@pytest.mark.parametrize(("size", "found"), [(2.0, True), (1.99, False), (math.inf, False)])
def test_weights_are_too_large_from_a_gain_of_four_on(size: float, found: bool) -> None:
    seen = symptoms_of(layer("a", 1.0), layer("b", 1.0))
    seen.parameters["a.weight"].weight = torch.full((3, 4), size)
    seen.parameters["b.weight"].weight = torch.full((3, 4), 0.5)
    candidates = gain.find_large_init(seen)
    assert [(c.parameter, c.evidence["gain"]) for c in candidates] == [("a.weight", 4.0)] * found
    for candidate in candidates:
        assert (candidate.fraction, candidate.benign) == (1.0, False)
        assert candidate.remedy == DEFAULT


def test_the_fan_in_is_counted_on_the_other_axis_than_the_outputs() -> None:
    seen = symptoms_of(layer("a", 1.0), learned=True)
    seen.parameters["a.weight"].weight = torch.ones(16, 2)
    assert gain.find_large_init(seen) == []
    seen.structure = Structure(matrices={"a.weight": 1})
    (found,) = gain.find_large_init(seen)
    assert found.evidence == {"gain": 4.0}
    assert found.benign, "it has learned with it"


@pytest.mark.parametrize(("hidden", "gains"), [(4, 2.0), (16, 4.0), (64, 4.0)])
def test_a_recurrent_layer_draws_its_input_weights_by_its_own_size(
    hidden: int, gains: float
) -> None:
    seen = symptoms_of()
    held = {
        "rnn.weight_ih_l0": torch.ones(hidden, 16),  # a gain of four by itself
        "rnn.weight_hh_l0": torch.full((hidden, hidden), 1e-3),
    }
    seen.parameters = {name: parameter(name, weight) for name, weight in held.items()}
    candidates = gain.find_large_init(seen)
    assert [c.evidence["gain"] for c in candidates] == ([gains] if gains >= 4 else [])


def activation(function: str, size: float, flat: list[float], caller: str = "a") -> Any:
    stats = FeatureStats(2)
    stats.add(torch.tensor([[size, -size], [size, size]]))
    return ActivationSymptoms(function, caller, "", 0, stats, flat)


@pytest.mark.parametrize(
    ("function", "flat", "found"),
    [
        ("tanh", [0.5, 0.8], True),
        ("tanh", [0.6, 0.69], False),
        ("sigmoid", [0.9], True),
        ("relu", [0.9], False),
    ],
)
def test_a_squashing_function_is_saturated_from_65_percent_on(
    function: str, flat: list[float], found: bool
) -> None:
    seen = symptoms_of(layer("a", 1.0), activations=[activation(function, 3.0, flat)])
    candidates = gain.find_saturated(seen)
    assert len(candidates) == found
    for candidate in candidates:
        share = sum(flat) / len(flat)
        assert (candidate.module, candidate.fraction, candidate.benign) == ("a", share, False)
        assert candidate.evidence == {
            "flat_share": share,
            "preactivation_size": pytest.approx(3.0),
            "activation": function,
            "caller": "a",
        }
        assert candidate.remedy == (
            "Scale the pre-activations down: normalise the inputs or re-initialise the weights "
            "with a smaller gain."
        )
    seen.losses = [LossSymptoms("mse_loss", None, "a", torch.ones(1), torch.ones(1))]
    assert gain.find_saturated(seen) == [], "it is the output"


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize(
    ("shares", "worst"),
    [
        ({"layer0.input": 0.5, "layer0.forget": 0.5, "layer0.output": 0.1}, 0.5),
        ({"layer0.input": 0.4, "layer0.forget": 0.49, "layer0.output": 1.0}, None),
        ({"layer0.input": 0.1, "layer1.input": 0.9}, 0.9),  # the worst of the layers
        ({"layer1.input": 0.1, "layer10.input": 0.9, "layer10.output": 0.9}, 0.9),
        ({"layer0.input": 0.1, "layer0.cell": 1.0}, None),  # a cell may be full
        ({"layer0.cell": 1.0}, None),
    ],
)
def test_gates_are_saturated_if_half_of_the_middle_one_is_flat(
    shares: dict[str, float], worst: float | None, learned: bool
) -> None:
    rnn = ModuleSymptoms("rnn", "LSTM", saturation=shares)
    candidates = gain.find_saturated(symptoms_of(rnn, learned=learned))
    assert len(candidates) == (worst is not None)
    for candidate in candidates:
        assert (candidate.module, candidate.benign) == ("rnn", learned)
        assert candidate.fraction == pytest.approx(worst)
        told = {gate: share for gate, share in shares.items() if "cell" not in gate}
        assert candidate.evidence == {"flat_share": pytest.approx(worst), **told}


def test_one_layer_that_only_saturates_what_follows_is_no_large_weight() -> None:
    seen = symptoms_of(layer("a", 1.0), activations=[activation("tanh", 9.0, [0.9])])
    seen.parameters["a.weight"].weight = torch.full((4, 4), 2.0)
    assert gain.find_large_init(seen) == []
    seen.activations = []
    assert len(gain.find_large_init(seen)) == 1


def outcome(norm: float, loss: float = 1.0) -> Outcome:
    return Outcome(loss, {"w": torch.tensor([norm], dtype=torch.float64)})


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (outcome(1.0), outcome(1.13), True),  # a twentieth of a power of ten is 12%
        (outcome(1.0), outcome(1.12), False),
        (outcome(1.0), outcome(0.88), True),
        (outcome(1.0), outcome(0.9), False),
        (outcome(1.0), outcome(1.0, 1.06), True),
        (outcome(1.0), outcome(1.0, 0.94), True),
        (outcome(1.0), outcome(1.0, 1.04), False),
        (outcome(1.0, 2.0), outcome(1.0, 2.09), False),
        (outcome(math.inf), outcome(1.0), True),
        (outcome(math.inf), outcome(math.nan), None),
        (outcome(0.0), outcome(0.0), False),
        (outcome(0.0), outcome(1e-9), True),
    ],
)
def test_gradient_or_loss_change_by_more_than_a_few_per_cent(
    before: Outcome, after: Outcome, verdict: bool | None
) -> None:
    confirmed, told = gain._compare(before, after)
    assert confirmed is verdict
    assert (told["loss_before"], told["loss_after"]) == (before.loss, after.loss)
    assert told["before"] == before.norm
    assert told["after"] == pytest.approx(after.norm, nan_ok=True)


def test_the_weights_of_the_named_module_come_to_half_of_unit_gain_and_all_that_are_as_large() -> (
    None
):
    def sizes(all_from: float) -> list[float]:
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3), nn.LayerNorm(3))
        with torch.no_grad():
            for module, size in zip(model, (2.0, 1.0, 0.1, 5.0), strict=True):
                for p in module.parameters():
                    p.fill_(size)
        gain._lower(model, "1", all_from)
        assert model[0].bias.tolist() == [model[0].weight[0, 0].item()] * 3
        return [round(module.weight.flatten()[0].item(), 6) for module in model]

    assert sizes(math.inf) == [2.0, 0.25, 0.1, 5.0]
    assert sizes(4.0) == [0.25, 0.25, 0.1, 5.0]
    assert sizes(0.1) == [0.25, 0.25, 0.1, 5.0], "a small weight is not made larger"


class Trained:
    """An experiment of this skill, whose copies end at these losses as they are and lowered."""

    def __init__(self, skill: float, here: float, lowered: float) -> None:
        self.symptoms, self.ends = SimpleNamespace(skill=skill), [here, lowered]
        self.courses = SimpleNamespace(loss_after_steps=lambda change: self.ends.pop(0))
        self.baseline = outcome(1.0)

    def copy(self) -> nn.Module:
        return nn.Linear(4, 3)

    def replay(self, model: nn.Module) -> Outcome:
        return outcome(2.0)


@pytest.mark.parametrize(
    ("skill", "lowered", "verdict"),
    [(0.09, 9.0, True), (0.1, 0.95, True), (0.1, 0.96, False), (0.5, math.nan, True)],
)
def test_what_has_learned_a_little_must_learn_better_with_its_weights_lowered(
    skill: float, lowered: float, verdict: bool
) -> None:
    experiment: Any = Trained(skill, 1.0, lowered)
    confirmed, told = gain.lower_large_gains(experiment, Candidate(module=""))
    assert confirmed is verdict
    if skill >= 0.1:
        assert told["trained_before"] == 1.0
        assert told["trained_after"] == pytest.approx(lowered, nan_ok=True)


def fresh_half(size: float, harm: float = 2.0, can_tell: bool = True) -> Any:
    """Return an experiment of a layer with weights of this gain; fresh ones have a gain of one."""
    model = nn.Linear(4, 3)
    model.reset_parameters = lambda: nn.init.constant_(model.weight, 0.5)  # type: ignore[method-assign]
    held = parameter("weight", torch.full((3, 4), size / 2))
    seen = symptoms_of()
    seen.parameters = {"weight": held}

    def worth(remedy: Any, without: Any) -> Worth:
        copy = nn.Linear(4, 3)
        nn.init.ones_(copy.weight)
        without.change(copy)
        assert copy.weight[0, 0].item() == pytest.approx(size)
        return Worth(Course(1.0, 0.1 * harm), Course(1.0, 0.1), 60)

    judge = SimpleNamespace(can_tell=can_tell, worth=worth)
    return SimpleNamespace(symptoms=seen, judge=judge, copy=lambda: model)


@pytest.mark.parametrize(("size", "found"), [(1.5, True), (1.49, False), (3.0, True)])
def test_half_as_large_again_as_drawn_is_tried(size: float, found: bool) -> None:
    candidates = gain.try_usual_gains(fresh_half(size))
    assert len(candidates) == found
    for candidate in candidates:
        assert (candidate.parameter, candidate.fraction) == ("weight", 1.0)
        assert candidate.confirmed
        assert candidate.evidence["gain"] == pytest.approx(size)
        assert candidate.evidence["over_usual"] == pytest.approx(size)
        assert candidate.evidence["harm"] == pytest.approx(2.0)
        assert candidate.evidence["goes_round"] is False
    assert gain.try_usual_gains(fresh_half(size, harm=1.4)) == []
    assert gain.try_usual_gains(fresh_half(size, can_tell=False)) == []


@pytest.mark.parametrize(("size", "variant"), [(2.0, True), (1.99, False), (None, False)])
def test_what_is_flat_with_fresh_weights_is_so_from_the_start(
    size: float | None, variant: bool
) -> None:
    evidence = {} if size is None else {"fresh_size": size}
    name = CAUSES["saturated"].standing(Candidate(evidence=evidence)).name
    assert name == ("saturated.from_the_start" if variant else "saturated")
