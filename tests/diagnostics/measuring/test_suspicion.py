"""What persists is told from what passes."""

import pytest
import torch
from torch import nn

from src.diagnostics.lightning.callback import OptimizerSteps
from src.diagnostics.lightning.diagnose_in_training import unconfirmed_findings
from src.diagnostics.measuring.counts import GradientStats, Measurement, measure_gradients
from src.diagnostics.measuring.details import NUM_BINS, GradientDetails, measure_details
from src.diagnostics.measuring.liveness import Alive, Sightings
from src.diagnostics.measuring.suspicion import (
    KOutOfM,
    Suspicion,
    SuspicionWindows,
    Thresholds,
    _of_details,
    _of_measurement,
    suspicions,
)


def measured(module: nn.Module, step: int = 0) -> Measurement:
    return measure_gradients(module.named_parameters(), step).result()


def layer_with(grad: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(grad.shape[1], grad.shape[0], bias=False)
    layer.weight.grad = grad
    return layer


def healthy() -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def found_in(grad: torch.Tensor, updates: dict[str, float] | None = None) -> set[str]:
    windows, layer = SuspicionWindows(details_per_window=1, needed=1, among=1), layer_with(grad)
    windows.add(measured(layer))
    windows.add_updates(updates or {})
    found = windows.add_details(measure_details(layer.named_parameters(), 0).result())
    assert found is not None
    return {symptom.kind for symptom in found}


def test_every_third_count_is_due_from_the_first_on() -> None:
    steps = OptimizerSteps(is_first=True)
    assert [key for key in range(8) if steps.is_due(key, every=3)] == [0, 3, 6]
    assert not steps.is_due(7, every=1)  # a closure that is evaluated again within the step
    assert steps.before == 8


def test_two_windows_of_three_make_a_symptom_persist() -> None:
    persistence = KOutOfM(needed=2, among=3)
    seen = [persistence.update(s) for s in ({"a", "b"}, {"a"}, {"c"}, {"b"}, {"b"})]
    assert seen == [set(), {"a"}, set(), set(), {"b"}]


@pytest.mark.parametrize(("needed", "among"), [(0, 1), (3, 2)])
def test_impossible_persistence_is_refused(needed: int, among: int) -> None:
    with pytest.raises(ValueError, match=f"among={among}, got {needed}"):
        KOutOfM(needed, among)


def test_what_is_alive_once_is_not_dead() -> None:
    alive = Alive()
    alive.add("w", torch.tensor([True, False]), torch.tensor([False, False, True]))
    alive.add("w", torch.tensor([True, False]), torch.tensor([True, False, False]))
    assert alive.dead("w") == ((1,), (1,))
    assert alive.dead("unknown") == ((), ())


def test_a_healthy_gradient_shows_no_symptom() -> None:
    assert found_in(healthy(), {"weight": 1e-3}) == set()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("dead rows", lambda g: g.index_fill(0, torch.tensor([1]), 0)),
        ("dead columns", lambda g: g.index_fill(1, torch.tensor([2]), 0)),
        ("scattered zeros", lambda g: g * (torch.arange(24).view(6, 4) % 5 % 2)),
        ("nonfinite", lambda g: g.masked_fill(torch.eye(6, 4).bool(), float("nan"))),
        ("vanishing", lambda g: g * 1e-12),
        ("exploding", lambda g: g * 1e6),
        ("column scales", lambda g: g * torch.tensor([1.0, 1.0, 1.0, 1e5])),
        ("copied columns", lambda g: g[:, :1].repeat(1, 4)),
    ],
)
def test_each_symptom_is_seen(kind: str, change: object) -> None:
    assert kind in found_in(change(healthy()))  # type: ignore[operator]


@pytest.mark.parametrize("ratio", [1e-9, 0.5])
def test_updates_far_from_usual_are_a_symptom(ratio: float) -> None:
    assert found_in(healthy(), {"weight": ratio}) == {"update"}


def test_only_what_is_always_missing_is_a_symptom() -> None:
    layer = layer_with(healthy())
    absent = Measurement(0, {}, ("weight",))
    assert suspicions([absent, measured(layer)], [], Alive(), {}) == set()
    assert suspicions([absent, absent], [], Alive(), {}) == {Suspicion("missing", "weight")}


def looked_at(pattern: str) -> Sightings:
    """Look at one row, always alive, and one column: x where it is non-zero, . where it is not."""
    sightings = Sightings()
    for mark in pattern:
        sightings.add("w", torch.tensor([True]), torch.tensor([mark == "x"]))
    return sightings


@pytest.mark.parametrize(
    ("pattern", "is_dead"),
    [
        ("....", True),
        ("xxxx", False),
        ("xxxxxxxx...", False),  # (1/9)^3: about one chance in 700
        ("xxxxxxxx....", True),
        ("x.........", False),  # half a chance each time, nine times: 1 in 512
        ("x..........", True),
        ("...x...x..........", False),  # a rare feature: seen twice in eight looks
    ],
)
def test_a_column_counts_as_dead_when_its_silence_is_longer_than_chance(
    pattern: str, is_dead: bool
) -> None:
    assert looked_at(pattern).dead("w") == ((), (0,) if is_dead else ())


def test_a_rare_feature_raises_no_suspicion_when_it_appears_within_the_window() -> None:
    windows, rare = SuspicionWindows(details_per_window=2, needed=1, among=1), healthy()
    rare[:, 2] = 0
    for grad, closes in ((rare, False), (healthy(), True)):
        layer = layer_with(grad)
        found = windows.add_details(measure_details(layer.named_parameters(), 0).result())
        assert (found == set()) if closes else (found is None)
    assert windows.sightings.dead("weight") == ((), ())


def test_without_a_replay_the_measurements_still_name_dead_features() -> None:
    windows, grad = SuspicionWindows(), healthy()
    grad[:, 2] = 0
    layer = layer_with(grad)
    windows.add_details(measure_details(layer.named_parameters(), 0).result())
    names = ("open", "high", "volume", "close")
    (finding,) = unconfirmed_findings(measured(layer), windows.sightings, names)
    assert (finding.cause, finding.indices, finding.confirmed) == ("dead_input", ("volume",), None)


def stats(norm: float = 1.0, max_abs: float = 1.0, nonfinite: int = 0) -> GradientStats:
    return GradientStats(4, 4, nonfinite, norm, max_abs)


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"a": stats(max_abs=1e-8)}, set()),
        ({"a": stats(max_abs=0.99e-8)}, {("vanishing", "a")}),
        ({"a": stats(600.0), "b": stats(800.0)}, set()),  # 1000 together
        ({"a": stats(600.0), "b": stats(801.0)}, {("exploding", "b")}),
        ({"a": stats(1.0), "b": stats(1e-4), "c": stats(9.0)}, set()),  # the middle norm is 1
        ({"a": stats(1.0), "b": stats(0.99e-4), "c": stats(9.0)}, {("faint", "b")}),
        ({"a": stats(nonfinite=1), "b": stats()}, {("nonfinite", "a")}),
        ({}, set()),
    ],
)
def test_a_measurement_is_odd_beyond_its_bounds(
    parameters: dict[str, GradientStats], found: set[tuple[str, str]]
) -> None:
    assert _of_measurement(Measurement(0, parameters), Thresholds()) == found


def detailed(
    nonzero: int = 16, columns: tuple[float, ...] = (1.0,) * 4, distinct: int | None = 4
) -> GradientDetails:
    """Return details of a weight of 4 x 4 whose columns have these norms."""
    column, row = torch.tensor(columns), torch.ones(4)
    return GradientDetails((4, 4, 1), nonzero, distinct, (0,) * NUM_BINS, row, column, row, column)


@pytest.mark.parametrize(
    ("gradient", "kinds"),
    [
        (detailed(), []),
        (detailed(nonzero=8), []),  # half of the zeros are scattered
        (detailed(nonzero=7), ["scattered zeros"]),
        (detailed(columns=(1.0, 1.0, 1.0, 1000.0)), []),
        (detailed(columns=(1.0, 1.0, 1.0, 1001.0)), ["column scales"]),
        (detailed(distinct=2), []),  # half of four
        (detailed(distinct=1), ["copied columns"]),
        (detailed(distinct=None), []),
        (detailed(8, (1.0, 1.0, 0.0, 0.0), 1), []),  # of two live columns
    ],
)
def test_details_are_odd_beyond_their_bounds(gradient: GradientDetails, kinds: list[str]) -> None:
    assert _of_details(gradient, Thresholds()) == kinds


@pytest.mark.parametrize(
    ("ratio", "odd"), [(1e-7, False), (0.9e-7, True), (0.1, False), (0.11, True)]
)
def test_an_update_is_odd_below_1e_7_and_above_a_tenth(ratio: float, odd: bool) -> None:
    alive = Alive()
    alive.add("w", torch.tensor([True]), torch.tensor([True]))
    found = suspicions([], [], alive, {"w": ratio, "bias": 1.0})
    assert found == ({Suspicion("update", "w")} if odd else set())


def test_windows_close_after_two_details_and_two_of_three_must_show_it() -> None:
    with pytest.raises(ValueError, match="details_per_window must be at least 1, got 0"):
        SuspicionWindows(details_per_window=0)
    windows, dead = SuspicionWindows(), healthy().index_fill(0, torch.tensor([1]), 0)
    found = []
    for grad in [dead] * 4 + [healthy()] * 2 + [dead] * 2 + [healthy()] * 2:
        layer = layer_with(grad)
        details = measure_details(layer.named_parameters(), 0).result()
        assert windows.add_details(details, counts=False) is None, "another optimiser's"
        found.append(windows.add_details(details))
    kinds = [None if one is None else {kind for kind, _ in one} for one in found]
    closed = [set(), {"dead rows"}, set(), {"dead rows"}, set()]
    assert kinds == [one for window in closed for one in (None, window)]


def test_a_vector_has_no_rows_that_could_live() -> None:
    windows = SuspicionWindows(details_per_window=1)
    vector = nn.Module()
    vector.bias = nn.Parameter(torch.zeros(3))
    vector.bias.grad = torch.zeros(3)
    windows.add_details(measure_details(vector.named_parameters(), 0).result())
    assert windows.sightings.names() == ()


def test_what_was_looked_at_has_names_and_a_shape() -> None:
    sightings, alive = looked_at("x."), Alive()
    assert sightings.names() == ("w",)
    assert sightings.shape("w") == (1, 1)
    assert sightings.dead("other") == ((), ())
    alive.add("w", torch.tensor([True]), torch.tensor([False, True]))
    assert alive.names() == ("w",)
    alive.clear()
    assert alive.names() == ()
    assert alive.dead("w") == ((), ())
