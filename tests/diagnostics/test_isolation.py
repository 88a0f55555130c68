"""A diagnosis leaves the model, its optimiser and every random generator bitwise as found."""

import copy
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.diagnostics import diagnose
from src.diagnostics.isolation import copyable, seeded, untouched


class Stateful(nn.Module):
    """A model with everything that could be left changed."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU())
        self.frozen, self.head = nn.Linear(8, 8), nn.Linear(8, 1)
        self.frozen.requires_grad_(False)
        self.frozen.eval()
        self.calls, self.cached = 0, torch.zeros(1)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen += 1
        self.cached = self.frozen(self.body(x))
        return self.head(self.cached)


class Hoarder(nn.Module):
    """A model whose forward adds to whatever it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 1)
        self.norms: list[float] = [0.5]
        self.latest: deque[Tensor] = deque([torch.zeros(1)], maxlen=2)
        self.by_name: dict[str, Tensor] = {"x": torch.zeros(2)}
        self.counts: Counter[str] = Counter(calls=3)
        self.lists: defaultdict[str, list[int]] = defaultdict(list, {"a": [1]})
        self.sizes = {6}
        self.nested = ([[1]], {"inner": {"deep": [2]}})
        self.hidden = torch.zeros(3)
        self.itself: list[Any] = []
        self.itself.append(self.itself)

    def forward(self, x: Tensor) -> Tensor:
        self.norms.append(float(x.norm()))
        self.latest.append(x)
        self.by_name["x"] = x.sum(0)
        self.by_name["more"] = x
        self.counts["calls"] += 1
        self.lists["b"].append(1)
        self.lists["a"].append(2)
        self.sizes.add(len(x))
        self.nested[0][0].append(2)
        self.nested[1]["inner"]["deep"].clear()
        self.hidden += 1
        self.itself.append(1)
        return self.body(x)


def test_containers_that_a_forward_fills_are_as_found() -> None:
    model = Hoarder()
    held = [id(model.latest), id(model.latest[0]), id(model.by_name["x"]), id(model.lists["a"])]
    diagnose(model, [(torch.randn(4, 6), torch.randn(4, 1))] * 2, mean_square)
    assert model.norms == [0.5]
    assert list(model.latest) == [torch.zeros(1)]
    assert model.latest.maxlen == 2
    assert list(model.by_name) == ["x"]
    assert torch.equal(model.by_name["x"], torch.zeros(2))
    assert model.counts == Counter(calls=3)
    assert model.lists == {"a": [1]}
    assert model.sizes == {6}
    assert model.nested == ([[1]], {"inner": {"deep": [2]}})
    assert torch.equal(model.hidden, torch.zeros(3))
    assert model.itself[0] is model.itself
    assert len(model.itself) == 1
    assert held == [
        *(id(model.latest), id(model.latest[0]), id(model.by_name["x"])),
        id(model.lists["a"]),
    ]


def test_what_the_closure_of_a_loss_keeps_is_not_restored_as_the_docs_say() -> None:
    kept: list[float] = []

    def keeping(model: nn.Module, batch: Any) -> Tensor:
        loss = mean_square(model, batch)
        kept.append(float(loss.detach()))
        return loss

    diagnose(nn.Linear(6, 1), [(torch.randn(4, 6), torch.randn(4, 1))], keeping)
    assert kept
    assert "closure" in (diagnose.__doc__ or "")


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "state": model.state_dict(),
            "grads": [p.grad for p in model.parameters()],
            "requires_grad": [p.requires_grad for p in model.parameters()],
            "training": [m.training for m in model.modules()],
            "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
            "attributes": (model.calls, model.cached.detach()),
            "optimizer": optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "numpy": np.random.get_state()[1],
            "python": random.getstate(),
        }
    )


def assert_identical(before: Any, after: Any) -> None:
    assert type(before) is type(after)
    if isinstance(before, Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, np.ndarray):
        assert (before == after).all()
    elif isinstance(before, dict):
        assert list(before) == list(after)
        for key in before:
            assert_identical(before[key], after[key])
    elif isinstance(before, list | tuple):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert_identical(one, other)
    else:
        assert before == after


def trained() -> tuple[Stateful, torch.optim.Optimizer, list[tuple[Tensor, Tensor]]]:
    torch.manual_seed(0)
    model = Stateful()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batches = [(torch.randn(16, 6), torch.randn(16, 1)) for _ in range(3)]
    for batch in batches:
        optimizer.zero_grad()
        mean_square(model, batch).backward()
        optimizer.step()
    return model, optimizer, batches


def mean_square(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    random.random()
    np.random.rand()
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def fails_at(call: int) -> Callable[[nn.Module, Any], Tensor]:
    calls = {"made": 0}

    def loss_fn(model: nn.Module, batch: Any) -> Tensor:
        calls["made"] += 1
        loss = mean_square(model, batch)
        if calls["made"] >= call:
            raise KeyError("a fault in the user's loss")
        return loss

    return loss_fn


@pytest.mark.parametrize("rate", [1e-3, 10.0, 1e-12])
def test_diagnosis_changes_nothing(rate: float) -> None:
    model, optimizer, batches = trained()
    optimizer.param_groups[0]["lr"] = rate
    grads = [id(p.grad) for p in model.parameters()]
    before = snapshot(model, optimizer)
    diagnose(model, batches, mean_square, optimizer)
    assert_identical(before, snapshot(model, optimizer))
    assert grads == [id(p.grad) for p in model.parameters()]


@pytest.mark.parametrize("call", [1, 2, 3])
def test_diagnosis_changes_nothing_when_the_loss_raises(call: int) -> None:
    model, optimizer, batches = trained()
    before = snapshot(model, optimizer)
    with pytest.raises(KeyError, match="user's loss"):
        diagnose(model, batches, fails_at(call), optimizer)
    assert_identical(before, snapshot(model, optimizer))


def test_diagnosis_changes_nothing_when_the_loss_calls_backward_and_clears() -> None:
    model, optimizer, batches = trained()

    def manual(net: nn.Module, batch: Any) -> Tensor:
        net.zero_grad(set_to_none=False)
        loss = mean_square(net, batch)
        loss.backward(retain_graph=True)
        return loss

    before = snapshot(model, optimizer)
    diagnose(model, batches, manual, optimizer)
    assert_identical(before, snapshot(model, optimizer))


def test_containers_and_tensors_that_modules_hold_come_back_in_place() -> None:
    model = nn.Linear(2, 2)
    model.history, model.cache = [1, [2]], {"last": torch.zeros(2)}
    inner, tensor = model.history[1], model.cache["last"]
    with untouched(model):
        model.history.append(3)
        inner.append(4)
        tensor += 1
        model.cache["new"] = torch.ones(1)
    assert model.history == [1, [2]]
    assert model.history[1] is inner
    assert list(model.cache) == ["last"]
    assert model.cache["last"] is tensor
    assert torch.equal(tensor, torch.zeros(2))


def test_a_model_that_keeps_results_with_a_graph_can_be_copied() -> None:
    model = nn.Linear(2, 2)
    model.kept = [model(torch.ones(1, 2))]
    twin = copy.deepcopy(model, copyable(model))
    assert torch.equal(twin.kept[0], model.kept[0])
    assert twin.kept[0] is not model.kept[0]


def test_hooks_added_inside_are_gone_and_those_from_before_stay() -> None:
    model = nn.Linear(2, 2)
    kept: list[int] = []
    model.register_forward_hook(lambda *_: kept.append(1))

    def fail_inside() -> None:
        with untouched(model):
            model.register_forward_pre_hook(lambda *_: None)
            model._forward_hooks.clear()
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    model(torch.zeros(1, 2))
    assert kept == [1]
    assert not model._forward_pre_hooks


def test_seeded_draws_the_same_numbers_and_does_not_advance_the_generator() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    with seeded(3):
        first = torch.rand(2)
    with seeded(3):
        second = torch.rand(2)
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(1), expected)


def test_seeded_covers_numpy_and_python_too() -> None:
    before = random.getstate(), np.random.get_state()[1].copy()
    with seeded(3):
        first = random.random(), np.random.rand()
    with seeded(3):
        assert first == (random.random(), np.random.rand())
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()


def test_two_diagnoses_of_a_net_with_dropout_are_equal() -> None:
    model, optimizer, batches = trained()
    first = diagnose(model, batches, mean_square, optimizer).to_dict()
    assert first == diagnose(model, batches, mean_square, optimizer).to_dict()
