"""NaN, collapsing scales and underflow: which comes first, from where on, and in which words."""

import math
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from src.diagnostics.causes import CAUSES
from src.diagnostics.causes import number_format as formats
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.symptoms.symptoms import Symptoms, TrainingContext
from tests.diagnostics.causes.by_hand import layer, parameter, symptoms_of

DATA = "Remove or fill the non-finite values in these features before training."
BEFORE = "Look for a division, a logarithm or an overflow in the module before this one."


def test_a_weight_that_is_no_number_comes_before_all_else() -> None:
    seen = symptoms_of(layer("a", 1.0))
    seen.parameters["a.weight"].weight[0, :3] = math.nan
    seen.modules["a"].bad_input = torch.tensor([1, 0, 0, 0])
    (found,) = formats.find_nonfinite(seen)
    assert (found.parameter, found.fraction) == ("a.weight", 3 / 16)
    assert found.evidence == {"where": "parameter", "entries": 3}
    assert found.remedy == "Go back to an earlier checkpoint and lower the learning rate."


@pytest.mark.parametrize(("from_data", "remedy"), [(True, DATA), (False, BEFORE)])
def test_an_input_that_is_no_number_is_named_by_its_columns(from_data: bool, remedy: str) -> None:
    seen = symptoms_of(layer("a", 1.0), layer("b", 1.0))
    seen.feature_names = ("open", "high", "low", "close")
    seen.modules["a"].from_data = from_data
    seen.modules["a"].bad_input = torch.tensor([0, 5, 0, 2])
    seen.modules["a"].bad_output = torch.tensor([1, 1, 1, 1])
    (found,) = formats.find_nonfinite(seen)
    assert (found.module, found.parameter, found.fraction) == ("a", "a.weight", 0.5)
    assert found.indices == ("high", "close")
    told = {"where": "input", "from_data": from_data, "entries": 7, "columns": [1, 3]}
    assert found.evidence == told
    assert found.remedy == remedy


def test_an_output_that_is_no_number_is_the_modules_own() -> None:
    seen = symptoms_of(layer("a", 1.0), layer("b", 1.0))
    seen.modules["b"].from_data = True
    seen.modules["b"].bad_output = torch.tensor([0, 0, 0, 4])
    (found,) = formats.find_nonfinite(seen)
    assert (found.module, found.indices, found.fraction) == ("b", (3,), 0.25)
    assert found.evidence["where"] == "output"
    assert found.evidence["from_data"] is False


def test_a_module_without_weights_passes_on_what_it_got() -> None:
    seen = symptoms_of(layer("a", 1.0), layer("b", 1.0))
    del seen.parameters["a.weight"]
    seen.modules["a"].bad_input = seen.modules["b"].bad_input = torch.tensor([1, 0])
    (found,) = formats.find_nonfinite(seen)
    assert found.module == "b"


def test_a_loss_alone_may_be_no_number() -> None:
    seen = symptoms_of(layer("a", 1.0), loss_values=[1.0, math.inf])
    (found,) = formats.find_nonfinite(seen)
    assert (found.module, found.fraction, found.evidence) == ("", 1.0, {"where": "loss"})
    assert found.remedy == "Check the targets and the loss for NaN, division by zero and overflow."
    seen.loss_values = [1.0, 2.0]
    assert formats.find_nonfinite(seen) == []


class Tried:
    """An experiment whose second batch alone is odd, until something is done about it."""

    def __init__(self, cured: bool) -> None:
        self.model = nn.Linear(1, 1)
        nn.init.constant_(self.model.weight, math.nan)
        self.symptoms = SimpleNamespace(loss_values=[1.0, math.nan, math.nan])
        self.cured, self.asked = cured, list[Any]()

    def copy(self) -> nn.Module:
        return self.model

    def replay(self, model: Any = None, batch: int = 0) -> Any:
        self.asked.append(batch)
        fine = self.cured and len(self.asked) == 2
        if model is not None:
            assert bool((model.weight == 0).all())
        return SimpleNamespace(loss=0.5 if fine else math.nan)

    @contextmanager
    def input_changed(self, module: str, change: Any) -> Any:
        assert module == "a"
        odd = torch.tensor([math.nan, math.inf, -math.inf, 2.0])
        assert change(odd).tolist() == [0.0, 0.0, 0.0, 2.0]
        yield

    output_changed = input_changed


@pytest.mark.parametrize("where", ["parameter", "input", "output"])
@pytest.mark.parametrize("cured", [True, False])
def test_what_is_replaced_by_zero_is_tried_on_the_first_odd_batch(where: str, cured: bool) -> None:
    experiment: Any = Tried(cured)
    claim = Candidate(module="a", evidence={"where": where})
    verdict, told = formats.replace_nonfinite(experiment, claim)
    assert verdict is (True if cured else None)
    assert experiment.asked == [1, 1]
    assert math.isnan(told["before"])
    assert told["after"] == pytest.approx(0.5 if cured else math.nan, nan_ok=True)


def test_of_a_loss_there_is_nothing_to_replace() -> None:
    claim = Candidate(evidence={"where": "loss"})
    experiment: Any = Tried(True)
    assert formats.replace_nonfinite(experiment, claim) == (None, {})


def test_what_came_with_the_data_stands_before_what_arose_inside() -> None:
    nonfinite = CAUSES["nonfinite"]
    assert nonfinite.standing(Candidate(evidence={"from_data": True})) is nonfinite
    for evidence in ({"from_data": False}, {}):
        assert nonfinite.standing(Candidate(evidence=evidence)).name == "nonfinite.inside"


@pytest.mark.parametrize(
    ("scale", "scales", "found"),
    [
        (0.99, None, (0.99, 0)),
        (1.0, None, None),
        (None, [0.5], (0.5, 0)),
        (None, [4.0], None),
        (4.0, [64.0, 32.0, 16.0, 8.0, 4.0], (4.0, 4)),
        (8.0, [64.0, 32.0, 16.0, 8.0], None),  # three times is no habit
        (4.0, [64.0, 64.0, 64.0, 64.0, 64.0, 32.0, 16.0, 8.0, 4.0], (4.0, 4)),  # half of eight
        (4.0, [64.0] * 6 + [32.0, 16.0, 8.0, 4.0], None),  # four of nine
        (64.0, [4.0, 8.0, 16.0, 32.0, 64.0], None),
        (None, None, None),
    ],
)
def test_a_scale_has_collapsed_below_one_or_where_it_keeps_halving(
    scale: float | None, scales: list[float] | None, found: tuple[float, int] | None
) -> None:
    context = TrainingContext(loss_scale=scale, loss_scales=scales)
    candidates = formats.find_scaler_collapse(Symptoms(context=context))
    told = [(c.evidence["loss_scale"], c.evidence["halvings"]) for c in candidates]
    assert told == ([found] if found else [])
    for candidate in candidates:
        assert candidate.fraction == 1.0
        assert candidate.remedy == (
            "Find what overflows in half precision, or use bfloat16 in its place."
        )


@pytest.mark.parametrize(("largest", "verdict"), [(65504.0, True), (65503.0, None)])
def test_a_gradient_beyond_half_precision_is_what_overflows(
    largest: float, verdict: bool | None
) -> None:
    grads = {"a": torch.tensor([-largest, 1.0]), "b": torch.zeros(2)}
    experiment: Any = SimpleNamespace(baseline=SimpleNamespace(grads=grads))
    told = {"largest_gradient": largest}
    assert formats.find_overflow(experiment, Candidate()) == (verdict, told)
    nothing: Any = SimpleNamespace(baseline=SimpleNamespace(grads={}))
    assert formats.find_overflow(nothing, Candidate()) == (None, {"largest_gradient": 0.0})


def zeros_of(half: bool = True, **zeros: int) -> Symptoms:
    """Return symptoms of parameters of 20 entries, so many of whose gradients are zero."""
    parameters = {name: parameter(name, torch.ones(20)) for name in zeros}
    for name, count in zeros.items():
        parameters[name].grads = [torch.ones(20)]
        parameters[name].is_zero = torch.arange(20) < count
    return Symptoms(parameters=parameters, half=half)


def test_a_tenth_of_zeros_in_half_precision_is_suspected_of_underflow() -> None:
    (found,) = formats.find_underflow(zeros_of(a=1, b=3))
    assert found.fraction == 0.1
    assert found.evidence == {"zero_entries": 4, "entries": 40, "worst_parameter": "b"}
    assert found.remedy == "Use bfloat16, or float16 with a gradient scaler."
    assert formats.find_underflow(zeros_of(a=1, b=2)) == []
    assert formats.find_underflow(zeros_of(half=False, a=20)) == []
    named = zeros_of(half=False, a=20)
    named.context = TrainingContext(precision="16-mixed")
    assert len(formats.find_underflow(named)) == 1
    assert formats.find_underflow(Symptoms(half=True)) == []


@pytest.mark.parametrize(("after", "verdict"), [(7, True), (8, False), (10, False)])
def test_a_fifth_of_the_zeros_must_come_back_under_a_loss_65536_times_as_large(
    after: int, verdict: bool
) -> None:
    def replay(loss_scale: float) -> Any:
        count = {1.0: 10, 65536.0: after}[loss_scale]
        return SimpleNamespace(grads={"a": (torch.arange(12) >= count).float()})

    experiment: Any = SimpleNamespace(replay=replay)
    told = {"before": 10, "after": after}
    assert formats.scale_loss(experiment, Candidate()) == (verdict, told)
