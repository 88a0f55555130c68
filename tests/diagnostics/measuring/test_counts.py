"""Measured gradients against a slow, obvious twin."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.measuring.async_copy import Inbox, Pending
from src.diagnostics.measuring.counts import Measurement, measure_gradients

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


def random_model(seed: int) -> nn.Module:
    """Layers of random sizes with gradients that hold zeros of all shapes."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 9, (4,), generator=generator).tolist()
    model = nn.Sequential(
        nn.Conv1d(sizes[0], sizes[1], 3), nn.Linear(sizes[1], sizes[2]), nn.GRU(sizes[2], sizes[3])
    )
    for parameter in model.parameters():
        grad = torch.randn(parameter.shape, generator=generator)
        mask = torch.rand(parameter.shape, generator=generator) < 0.7
        parameter.grad = grad * mask * 10.0 ** torch.randint(-9, 3, (), generator=generator)
    return model


def slow_twin(grad: Tensor) -> tuple[int, int, int, float, float]:
    """Return entries, non-zero and non-finite counts, norm and maximum, one entry at a time."""
    values = [float(v) for v in grad.double().cpu().flatten()]
    finite = [v for v in values if math.isfinite(v)]
    nonfinite = len(values) - len(finite)
    norm = math.sqrt(sum(v * v for v in finite)) if not nonfinite else math.nan
    largest = max((abs(v) for v in finite), default=0.0) if not nonfinite else math.nan
    return len(values), sum(v != 0 for v in values), nonfinite, norm, largest


def measured(model: nn.Module, **options: object) -> Measurement:
    return measure_gradients(model.named_parameters(), 7, **options).result()  # type: ignore


def check(model: nn.Module, measurement: Measurement) -> None:
    for name, parameter in model.named_parameters():
        stats = measurement.parameters[name]
        assert parameter.grad is not None
        entries, nonzero, nonfinite, norm, largest = slow_twin(parameter.grad)
        assert (stats.entries, stats.nonzero, stats.nonfinite) == (entries, nonzero, nonfinite)
        if not nonfinite:
            assert stats.norm == pytest.approx(norm, rel=1e-5)
            assert stats.max_abs == pytest.approx(largest, rel=1e-6)


def test_a_hand_computed_gradient_is_measured_as_such() -> None:
    layer = nn.Linear(3, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 0.0, -4.0]])
    measurement = measured(layer)
    assert measurement.step == 7
    assert measurement.parameters["weight"] == (3, 2, 0, 5.0, 4.0, None)
    assert measurement.parameters["weight"].zero_fraction == pytest.approx(1 / 3)
    assert measurement.total_norm == 5.0


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(5))
def test_random_models_are_measured_like_the_slow_twin(seed: int, device: str) -> None:
    model = random_model(seed).to(device)
    check(model, measured(model))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions_are_measured_like_the_slow_twin(dtype: torch.dtype) -> None:
    model = nn.Linear(5, 4).to(dtype)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape).to(dtype)
    check(model, measured(model))


@pytest.mark.parametrize("device", DEVICES)
def test_values_that_are_no_numbers_are_counted(device: str) -> None:
    model = random_model(0).to(device)
    first, second, *_ = model.parameters()
    assert first.grad is not None
    assert second.grad is not None
    first.grad.view(-1)[0] = math.nan
    second.grad.view(-1)[:2] = torch.tensor([math.inf, -math.inf])[: second.grad.numel()]
    check(model, measured(model))


def test_counts_are_exact_beyond_the_integers_of_float32() -> None:
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.zeros(2**24 + 3, dtype=torch.float16))
    layer.weight.grad = torch.ones_like(layer.weight)
    layer.weight.grad[5] = 0
    stats = measured(layer).parameters["weight"]
    assert (stats.entries, stats.nonzero) == (2**24 + 3, 2**24 + 2)


def test_a_gradient_that_is_none_is_missing_and_neither_zero_nor_full() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0](torch.ones(1, 2)).sum().backward()
    measurement = measured(model)
    assert set(measurement.parameters) == {"0.weight", "0.bias"}
    assert measurement.missing == ("1.weight", "1.bias")


def test_a_model_without_any_gradient_gives_an_empty_measurement() -> None:
    assert measured(nn.Linear(1, 1)) == Measurement(7, {}, ("weight", "bias"))


def test_frozen_parameters_are_left_out_and_shared_ones_counted_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[2].weight = model[0].weight
    model[1].requires_grad_(False)
    model(torch.ones(3, 2)).sum().backward()
    assert set(measured(model).parameters) == {"0.weight", "0.bias", "2.bias"}


def test_sparse_gradients_are_coalesced_and_counted_in_the_rows_they_touch() -> None:
    table = nn.Embedding(10, 2, sparse=True)
    rows = table(torch.tensor([3, 3, 7]))
    (rows * torch.tensor([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])).sum().backward()
    stats = measured(table).parameters["weight"]
    # Row 3 holds (3, 0) and row 7 holds (1, 1).
    assert stats == (4, 3, 0, pytest.approx(11**0.5), 3.0, 2)


@pytest.mark.parametrize("unscale", [False, True])
def test_gradients_that_carry_the_loss_scale_are_divided_by_it(unscale: bool) -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.grad = torch.tensor([[6.0]])
    measurement = measured(layer, scale=torch.tensor(4.0), unscale=unscale)
    assert measurement.loss_scale == 4.0
    assert measurement.parameters["weight"].norm == (1.5 if unscale else 6.0)


def test_one_measurement_is_one_packed_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Pending[object]] = []
    original: Callable[..., None] = Pending.__init__
    monkeypatch.setattr(
        Pending, "__init__", lambda self, *args: (made.append(self), original(self, *args))[1]
    )
    measured(random_model(2))
    assert len(made) == 1


def test_an_inbox_takes_results_in_order() -> None:
    class Late(Pending[str]):
        arrived = False  # type: ignore[assignment]

        def __init__(self, text: str) -> None:
            self.text = text

        def result(self) -> str:
            return self.text

    inbox, taken = Inbox(), list[str]()
    inbox.put(Late("first"), taken.append)
    inbox.put(Late("second"), taken.append)
    assert taken == []
    inbox.drain()
    assert taken == ["first", "second"]


@pytest.mark.parametrize("device", DEVICES)
def test_measuring_never_waits_for_the_device(device: str) -> None:
    from src.diagnostics.measuring.details import UpdateMeter, measure_details

    model = random_model(3).to(device)
    named = list(model.named_parameters())
    scale = torch.tensor(2.0, device=device)
    measure_gradients(named, 0, scale=scale, unscale=True).result()  # warm up the allocators
    torch.cuda.synchronize() if device == "cuda" else None
    mode = torch.cuda.get_sync_debug_mode() if device == "cuda" else 0
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        meter = UpdateMeter(named)
        pending = [measure_gradients(named, 1, scale=scale, unscale=True)]
        others = [measure_details(named, 1, scale=scale), meter.finish()]
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode(mode)
    assert set(pending[0].result().parameters) == {name for name, _ in named}
    assert all(other.result() for other in others)
