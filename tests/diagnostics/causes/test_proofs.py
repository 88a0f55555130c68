"""Interventions on calls, on made-up replays: what they change, and what is made of the outcome."""

import math
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.causes import blocked, masks, samples, targets
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.symptoms.symptoms import LossSymptoms, Symptoms

MASK = torch.tensor([[False, True]])
SHAPES = {(1, 2)}


@pytest.mark.parametrize(
    ("value", "is_mask"),
    [
        (torch.tensor([[0.0, 1.0]]), True),
        (torch.tensor([[0.0, 0.5]]), False),
        (torch.tensor([0.0, 1.0]), False),
        (torch.tensor([[0.0, 1.0]], requires_grad=True), False),
        (1.0, False),
    ],
)
def test_a_mask_is_of_zeros_and_ones_of_its_shape_that_nobody_trains(
    value: Any, is_mask: bool
) -> None:
    assert masks._is_mask(value, SHAPES) is is_mask


def flipped(name: str, function: Any, args: Any, kwargs: Any, monkeypatch: Any) -> Any:
    """Return what the proof makes of a call, where masks of one row of two steps are known."""
    monkeypatch.setattr(masks, "_masks", lambda _: [MASK])
    returned = []

    def replay(mode: Any) -> Any:
        returned.append(mode.rewrite(name, function, args, kwargs))
        return SimpleNamespace(loss=2.0)

    experiment: Any = SimpleNamespace(baseline=SimpleNamespace(loss=1.0), replay=replay)
    told = {"before": 1.0, "after": 2.0}
    assert masks.unmask(experiment, Candidate()) == (True, told)
    return returned[0]


def test_masks_are_inverted_in_whatever_call_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.ones(1, 2, requires_grad=True)
    filled = flipped("masked_fill", torch.masked_fill, (x, MASK, -1e9), {}, monkeypatch)
    assert filled.tolist() == [[-1e9, 1.0]]
    product = flipped("mul", torch.mul, (x, (~MASK).float()), {}, monkeypatch)
    assert product.tolist() == [[0.0, 1.0]]
    attention = "multi_head_attention_forward"
    got = flipped(
        attention, lambda **kwargs: kwargs, (), {"key_padding_mask": MASK, "more": 1}, monkeypatch
    )
    assert got["key_padding_mask"].tolist() == [[True, False]]
    assert got["more"] == 1
    low = torch.tensor([[0.0, -math.inf]])
    got = flipped(attention, lambda **kwargs: kwargs, (), {"key_padding_mask": low}, monkeypatch)
    assert got["key_padding_mask"].tolist() == [[-math.inf, 0.0]]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("masked_fill", (torch.ones(2, 2, requires_grad=True), torch.eye(2).bool(), -1e9)),
        ("relu", (torch.ones(1, 2),)),
        ("where", (~MASK, torch.ones(1, 2), -1e9)),
    ],
)
def test_masks_of_another_shape_and_other_calls_stay(
    name: str, args: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert flipped(name, torch.relu, args, {}, monkeypatch) is NotImplemented


@pytest.mark.parametrize(("after", "verdict"), [(1.0, False), (math.nan, False), (0.5, True)])
def test_the_loss_must_depend_on_the_real_steps_again(
    after: float, verdict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "_masks", lambda _: [])
    baseline = SimpleNamespace(loss=1.0)
    replay = lambda mode: SimpleNamespace(loss=after)  # noqa: E731
    experiment: Any = SimpleNamespace(baseline=baseline, replay=replay)
    assert masks.unmask(experiment, Candidate())[0] is verdict


@pytest.mark.parametrize(
    ("after", "verdict"), [(0.0, True), (2e-6, True), (2.1e-6, False), (2.0, None)]
)
def test_with_the_constant_in_place_of_the_output_nothing_is_left_of_the_loss(
    after: float, verdict: bool | None
) -> None:
    def replay(mode: Any) -> Any:
        preds, target = torch.zeros(2, 3), torch.ones(2, 3)
        args = mode.rewrite("mse_loss", lambda *pair: pair, (preds, target), {})
        assert args[0].tolist() == [[0.5] * 3] * 2
        labels = torch.tensor([1, 1])
        sure, kept = mode.rewrite("cross_entropy", lambda *pair: pair, (preds, labels), {})
        column = int(0.5)
        assert (sure[:, column] == 50).all()
        assert (sure == -50).sum() == 4
        assert kept is labels
        flat, _ = mode.rewrite("cross_entropy", lambda *pair: pair, (preds[0], labels[0]), {})
        assert flat.tolist() == [50.0, -50.0, -50.0]
        return SimpleNamespace(loss=after)

    experiment: Any = SimpleNamespace(baseline=SimpleNamespace(loss=2.0), replay=replay)
    claim = Candidate(evidence={"value": 0.5})
    told = {"before": 2.0, "after": after}
    assert targets.predict_the_constant(experiment, claim) == (verdict, told)


def test_what_losses_compare_is_changed_by_place_or_by_name() -> None:
    mode = targets.rewritten_losses(lambda preds, target: (preds + 1, target - 1))
    x, y = torch.ones(1), torch.ones(1)

    def got(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    (preds, target, weight), rest = mode.rewrite(
        "cross_entropy", got, (x, y, "weight"), {"reduction": "sum"}
    )
    assert (preds.item(), target.item(), weight) == (2.0, 0.0, "weight")
    assert rest == {"reduction": "sum"}
    (preds, target), rest = mode.rewrite("mse_loss", got, (), {"input": x, "target": y, "a": 1})
    assert (preds.item(), target.item(), rest) == (2.0, 0.0, {"a": 1})
    assert mode.rewrite("relu", got, (x,), {}) is NotImplemented


@pytest.mark.parametrize(
    ("activation", "why", "floor", "after", "told"),
    [
        ("sigmoid", None, 0.5, 1.0, True),
        ("sigmoid", None, None, 2.0, True),
        ("sigmoid", None, None, 1.0, False),
        ("logsigmoid", "odd", None, 2.0, True),  # it cannot be left out, the reason stands
        ("logsigmoid", None, None, 2.0, None),
        ("tanh", None, None, 2.0, None),  # another activation is there
    ],
)
def test_the_last_call_of_the_output_activation_is_left_out(
    activation: str, why: str | None, floor: float | None, after: float, told: bool | None
) -> None:
    def replay(mode: Any) -> Any:
        x = torch.tensor([3.0])
        first, between, last = (
            mode.rewrite(name, torch.sigmoid, (x,), {}) for name in ("sigmoid", "relu", "sigmoid")
        )
        assert first is between is NotImplemented
        if last is NotImplemented:
            return SimpleNamespace(norm=1.0)
        assert last.tolist() == [3.0]
        return SimpleNamespace(norm=after)

    loss = LossSymptoms("mse_loss", "sigmoid", "head", torch.ones(1), torch.ones(1))
    other = LossSymptoms("mse_loss", "tanh", "", torch.ones(1), torch.ones(1))
    symptoms = Symptoms(losses=[other, loss])
    if activation == "logsigmoid":
        loss.activation = "logsigmoid"
    experiment: Any = SimpleNamespace(symptoms=symptoms, replay=replay)
    evidence = {"activation": activation, "lowest_reachable_mse": floor}
    claim = Candidate(module="head", evidence=evidence | ({"why": why} if why else {}))
    verdict, numbers = targets.remove_output_activation(experiment, claim)
    assert verdict is told
    assert numbers == ({"before": 1.0, "after": after} if activation == "sigmoid" else {})


@pytest.mark.parametrize(("after", "verdict"), [(2.0, True), (1.0, False)])
def test_predictions_are_brought_to_the_targets_shape(after: float, verdict: bool) -> None:
    def replay(mode: Any) -> Any:
        preds, target = torch.ones(4, 1), torch.ones(4)
        one, two = mode.rewrite("mse_loss", lambda a, b: (a, b), (preds,), {"b": target})
        assert (one.shape, two.shape) == ((4,), (4,))
        (other,) = mode.rewrite("_mse_loss_", lambda *args: args, (torch.ones(2, 2),), {})
        assert other.shape == (2, 2)
        assert mode.rewrite("sub", torch.sub, (preds, target), {}) is NotImplemented
        return SimpleNamespace(loss=after)

    experiment: Any = SimpleNamespace(baseline=SimpleNamespace(loss=1.0), replay=replay)
    shapes = {"preds": [4, 1], "target": [4], "function": "mse_loss"}
    told = {"before": 1.0, "after": after}
    assert samples.bring_to_one_shape(experiment, Candidate(evidence=shapes)) == (verdict, told)
    wide = Candidate(evidence={**shapes, "target": [5]})
    assert samples.bring_to_one_shape(experiment, wide) == (None, {})


def test_a_function_is_turned_to_another_dimension_by_place_or_by_name() -> None:
    mode = samples._along("softmax", 0, 1)

    def got(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert mode.rewrite("softmax", got, ("x",), {"dim": 0, "a": 1}) == (("x",), {"dim": 1, "a": 1})
    assert mode.rewrite("softmax", got, ("x", 0, "b"), {"a": 1}) == (("x", 1, "b"), {"a": 1})
    for name, args, kwargs in (
        ("softmax", ("x", 1), {}),
        ("softmax", ("x",), {"dim": 1}),
        ("softmax", ("x",), {}),
        ("cumsum", ("x", 0), {}),
    ):
        assert mode.rewrite(name, got, args, kwargs) is NotImplemented


class Turned(nn.Module):
    """A layer with a setting of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_first = False


@pytest.mark.parametrize("mixes", [False, True])
def test_the_setting_of_a_layer_is_turned(mixes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_mixing(model: Any, batch: Any, loss_fn: Any) -> Any:
        assert model["a"].batch_first
        return SimpleNamespace(change=0.25) if mixes else None

    monkeypatch.setattr(samples, "find_mixing", find_mixing)
    model = nn.ModuleDict({"a": Turned()})
    experiment: Any = SimpleNamespace(copy=lambda: model, batches=[1], loss_fn=None)
    claim = Candidate(module="a", evidence={"change": 0.5, "batch_first": False})
    told = {"before": 0.5, "after": 0.25 if mixes else 0.0}
    assert samples.turn_axis(experiment, claim) == (None if mixes else True, told)


@pytest.mark.parametrize(("fits", "other"), [({1}, 1), ({2}, 2), ({1, 2}, 1), (set(), None)])
def test_another_dimension_than_the_batchs_is_looked_for(
    fits: set[int], other: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def along(name: str, dim: int, other: int) -> Any:
        assert (name, dim) == ("softmax", 0)
        tried.append(other)
        return samples.RewrittenCalls(lambda *_: NotImplemented)

    monkeypatch.setattr(samples, "_along", along)
    monkeypatch.setattr(samples, "find_mixing", lambda *_: None if tried[-1] in fits else 1)
    experiment: Any = SimpleNamespace(copy=lambda: None, batches=[1], loss_fn=None)
    evidence = {"change": 0.5, "batch_first": None, "dim": 0, "function": "softmax"}
    claim = Candidate(evidence={**evidence, "shape": [8, 4, 3]})
    told = {"before": 0.5, "after": 0.0, "other_dim": other} if other else None
    assert samples.turn_axis(experiment, claim) == (True, told or {"before": 0.0, "after": 0.5})
    assert tried == list(range(1, (other or 2) + 1))


@pytest.mark.parametrize(("after", "verdict"), [(2.0, True), (1.0, None)])
def test_noise_of_its_size_is_added_to_what_is_the_same_everywhere(
    after: float, verdict: bool | None
) -> None:
    @contextmanager
    def input_changed(module: str, change: Any) -> Any:
        assert module == "a"
        x = torch.full((500,), 7.0)
        assert float((change(x) - x).std()) == pytest.approx(0.25, rel=0.1)
        yield

    experiment: Any = SimpleNamespace(
        baseline=SimpleNamespace(loss=1.0),
        replay=lambda: SimpleNamespace(loss=after),
        input_changed=input_changed,
    )
    claim = Candidate(module="a", evidence={"size": 0.25})
    told = {"before": 1.0, "after": after}
    assert blocked.vary_input(experiment, claim) == (verdict, told)


class Answers(nn.Module):
    """Answers each sample by itself, or all by one number."""

    def __init__(self, constant: bool) -> None:
        super().__init__()
        self.constant = constant

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x + 3.0 if self.constant else x + 1.0


@pytest.mark.parametrize(("constant", "told"), [(True, (3.0, 0.0)), (False, (5.0, 3.0))])
def test_samples_are_exchanged_and_outputs_stay_or_go(
    constant: bool, told: tuple[float, float]
) -> None:
    batch = (torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor(1.0))
    experiment: Any = SimpleNamespace(
        batches=[batch], model=Answers(constant), loss_fn=lambda m, b: m(b[0]).sum()
    )
    verdict, numbers = blocked.exchange_samples(experiment, Candidate())
    assert verdict is constant
    assert (numbers["before"], numbers["after"]) == told
