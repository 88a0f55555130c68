"""What is noted of modules, parameters and losses, and the skill of forecasts, by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.symptoms.dropout import find_active_dropout
from src.diagnostics.symptoms.playback import Call, Playback
from src.diagnostics.symptoms.replay import as_found, held_by, owner, replay
from src.diagnostics.symptoms.skill import LEARNED, skill
from src.diagnostics.symptoms.stats import FlowStats, nonfinite_columns, rows_of
from src.diagnostics.symptoms.symptoms import (
    ActivationSymptoms,
    LossSymptoms,
    ModuleSymptoms,
    ParameterSymptoms,
    Symptoms,
)

TARGET = torch.tensor([0.0, 1.0, 2.0, 3.0])  # spread 1.25 about a mean of 1.5


@pytest.mark.parametrize(
    ("preds", "expected"),
    [
        (TARGET, 1.0),
        (torch.full((4,), 1.5), 0.0),
        (TARGET + 0.5, 0.8),
        (TARGET + 1.0, 0.2),
        (TARGET - 2.0, 1 - 4 / 1.25),
    ],
)
def test_skill_is_the_share_of_the_spread_that_is_explained(preds: Tensor, expected: float) -> None:
    assert skill("mse_loss", preds[:, None], TARGET) == pytest.approx(expected)
    loss = LossSymptoms("mse_loss", None, "", preds[:, None], TARGET)
    seen = Symptoms(losses=[loss])
    assert seen.skill == pytest.approx(expected)
    assert LEARNED == 0.8


def test_a_model_has_learned_from_a_skill_of_08_on_by_its_worst_loss() -> None:
    def learned(*skills: float) -> bool:
        offsets = [math.sqrt(1.25 * (1 - s)) for s in skills]
        losses = [LossSymptoms("l1_loss", None, "", (TARGET + o)[:, None], TARGET) for o in offsets]
        unknown = LossSymptoms("mse_loss", None, "", torch.ones(3, 1), TARGET)
        return Symptoms(losses=[*losses, unknown]).has_learned

    assert learned(0.81)
    assert not learned(0.79)
    assert learned(0.9, 0.81)
    assert not learned(0.9, 0.79)
    assert not learned(), "of a loss that cannot be judged nothing is known"


@pytest.mark.parametrize(
    ("function", "preds", "target"),
    [
        ("mse_loss", torch.ones(1, 1), torch.ones(1)),
        ("mse_loss", torch.ones(3, 1), torch.ones(3)),
        ("mse_loss", torch.ones(3, 1), TARGET),
        ("cross_entropy", torch.ones(4, 2), torch.zeros(4).long()),
        ("cross_entropy", torch.ones(4, 2), torch.full((4,), -100)),
        ("cross_entropy", torch.ones(4, 2), torch.zeros(3).long()),
    ],
)
def test_where_nothing_varies_or_fits_there_is_no_skill(
    function: str, preds: Tensor, target: Tensor
) -> None:
    assert skill(function, preds, target) is None


def test_classes_are_judged_beside_their_frequencies() -> None:
    labels = torch.tensor([0, 1, 0, 1, -100, 2])
    even = torch.zeros(6, 2)
    assert skill("cross_entropy", even, labels) == pytest.approx(0.0, abs=1e-6)
    assert skill("nll_loss", even.log_softmax(1), labels) == pytest.approx(0.0, abs=1e-6)
    share = torch.tensor([[0.75, 0.25], [0.25, 0.75]] * 3).log()
    expected = 1 - math.log(0.75) / math.log(0.5)
    assert skill("cross_entropy", share, labels) == pytest.approx(expected)
    assert skill("nll_loss", share, labels) == pytest.approx(expected)
    shares = torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert skill("cross_entropy", shares.reshape(2, 2), shares) == pytest.approx(1.0)


def test_logits_are_squashed_before_they_are_compared_and_shares_are_not() -> None:
    target, logits = torch.tensor([0.0, 1.0]), torch.tensor([[-50.0], [50.0]])
    assert skill("binary_cross_entropy_with_logits", logits, target) == pytest.approx(1.0)
    assert skill("binary_cross_entropy", logits.sigmoid(), target) == pytest.approx(1.0)


def test_a_parameter_has_its_largest_norm_and_its_share_of_zeros() -> None:
    held = ParameterSymptoms("a.b.weight", "a.b", torch.ones(2, 2), True, None)
    assert (held.local_name, held.norm, held.zero_fraction) == ("weight", 0.0, 0.0)
    held.grads = [torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0])]
    held.is_zero = torch.tensor([True, False, False, False])
    assert (held.norm, held.zero_fraction) == (5.0, 0.25)
    assert (held.missing, held.entry) == (0, None)
    activation = ActivationSymptoms("tanh", "", "", 0, None, [0.25, 0.75])  # type: ignore[arg-type]
    assert activation.flat_share == 0.5
    activation.flat = []
    assert activation.flat_share == 0.0
    assert ModuleSymptoms("a", "Linear").flow == 0.0
    fresh = ModuleSymptoms("a", "Linear")
    assert (fresh.order, fresh.calls, fresh.input_axis, fresh.units) == (-1, 0, -1, 0)
    assert (fresh.from_data, fresh.connected, fresh.leaf, fresh.is_known) == (
        *(False, False, True, True),
    )


def test_modules_come_in_the_order_of_their_calls_and_parameters_by_owner() -> None:
    seen = Symptoms(feature_names=("a", "b"))
    for name, order, calls in (("x", 2, 1), ("y", 0, 3), ("z", 1, 0)):
        seen.modules[name] = ModuleSymptoms(name, "Linear", order, calls)
    assert [m.name for m in seen.called] == ["y", "x"]
    for name, shape in (("x.small", (2, 2)), ("x.large", (3, 2)), ("x.bias", (9,)), ("y.w", (2,))):
        seen.parameters[name] = ParameterSymptoms(name, name[0], torch.ones(shape), True, None)
    assert [p.name for p in seen.own("x")] == ["x.small", "x.large", "x.bias"]
    weight = seen.weight("x")
    assert weight is not None
    assert weight.name == "x.large"
    assert seen.weight("y") is None
    assert seen.name_features([1, 0], 2) == ("b", "a")
    assert seen.name_features([1, 0], 3) == (1, 0)
    assert Symptoms().name_features([1], 2) == (1,)
    assert (Symptoms().half, Symptoms().routed, Symptoms().decays) == (False, False, False)


def test_parameters_are_listed_as_found() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.Embedding(3, 2, sparse=True))
    model[1](torch.tensor([1])).sum().backward()
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model[0].parameters(), 0.1)
    seen = as_found(model, [optimizer])
    assert {name: p.optimized for name, p in seen.parameters.items()} == {
        "0.weight": True,
        "0.bias": True,
        "1.weight": False,
    }
    assert not seen.parameters["0.weight"].requires_grad
    assert seen.parameters["0.weight"].entry is None
    entry = seen.parameters["1.weight"].entry
    assert entry is not None
    assert entry.tolist() == [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    assert not seen.decays
    assert as_found(model).parameters["0.bias"].optimized is None
    decaying = torch.optim.SGD(model[0].parameters(), 0.1, weight_decay=0.1)
    assert as_found(model, [optimizer, decaying]).decays
    assert held_by(optimizer, decaying) == set(model[0].parameters())
    assert owner("rnn.parametrizations.weight_hh.original0") == "rnn"


def test_flow_is_the_norm_over_all_rows_and_dead_where_all_are_zero() -> None:
    flow = FlowStats(3)
    flow.add(torch.tensor([[3.0, 0.0, 0.0]]))
    flow.add(torch.tensor([[0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))
    flow.add(torch.ones(1, 2))
    assert (flow.norm, flow.rows, flow.dead.tolist()) == (5.0, 3, [False, False, True])
    assert rows_of(torch.zeros(4), -1).shape == (4, 1)
    assert rows_of(torch.zeros(2, 3, 5), 1).shape == (10, 3)
    odd = torch.tensor([[1.0, math.nan], [math.inf, math.nan]])
    counted = nonfinite_columns(odd)
    assert counted is not None
    assert counted.tolist() == [1, 2]
    assert nonfinite_columns(torch.ones(2, 2)) is None


TRAINED = torch.ones(2, requires_grad=True)


def dropped(function: str, *args: object, **kwargs: object) -> float | None:
    """Return the rate of the dropout that is found in a call, by the module of that name."""
    module = str(kwargs.pop("module", ""))
    model = nn.ModuleDict({"drop": nn.Dropout(), "fc": nn.Linear(1, 1)})
    playback = Playback(model)
    playback.calls = [Call(function, module, 1, (TRAINED, *args), kwargs, (), "l")]
    found = find_active_dropout(model, playback)
    if found is None:
        return None
    assert (found.function, found.module, found.line) == (function, module, "l")
    return found.rate


@pytest.mark.parametrize(
    ("call", "options", "rate"),
    [
        (("dropout", 0.25), {}, 0.25),
        (("dropout",), {}, 0.5),
        (("dropout", 0.25, True), {"module": "fc"}, 0.25),
        (("dropout", 0.25, False), {}, None),
        (("dropout", 0.25), {"training": False}, None),
        (("dropout", 0.0, True), {}, None),
        (("dropout", 0.25), {"module": "drop"}, None),  # kept in training mode on purpose
        (("feature_alpha_dropout", 0.25), {}, 0.25),
        (("relu", 0.25), {}, None),
        (("scaled_dot_product_attention",), {"dropout_p": 0.125}, 0.125),
        (("scaled_dot_product_attention", 0, 0, None, 0.125), {}, 0.125),
        (("scaled_dot_product_attention",), {}, None),
    ],
)
def test_dropout_that_was_not_told_of_the_mode_is_found_with_its_rate(
    call: tuple[object, ...], options: dict[str, object], rate: float | None
) -> None:
    assert dropped(*call, **options) == rate  # type: ignore[arg-type]


def test_what_drops_no_trained_value_is_nobodys_business() -> None:
    model = nn.Linear(1, 1)
    playback = Playback(model)
    playback.calls = [Call("dropout", "", 1, (torch.ones(2), 0.5), {}, (), "l")]
    assert find_active_dropout(model, playback) is None


def test_the_share_of_the_gradient_that_goes_to_padding_is_noted_for_each_batch() -> None:
    x = torch.ones(2, 3, 2)
    x[0, 2], x[1, 1:] = 0.0, 0.0
    weights = torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]])[..., None]
    model = nn.Linear(2, 1)
    seen = as_found(model)
    replay(seen, model, [x, torch.ones(2, 3, 2)], lambda m, b: (m(b) * weights).sum())
    assert seen.padding_flow == [pytest.approx(5 / 8)], "of the second batch there is none"
