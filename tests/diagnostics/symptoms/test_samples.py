"""Samples that mix, and state that stays, on batches small enough to follow by hand."""

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.isolation import untouched
from src.diagnostics.symptoms.playback import Call
from src.diagnostics.symptoms.samples import (
    SAME,
    _change,
    _mixes,
    _relative,
    find_carried,
    find_mixing,
    is_same,
    sample_axes,
    stays_apart,
    with_other_neighbours,
)


class Apply(nn.Module):
    """A linear layer behind a function."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.linear = function, nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.function(x))


def total(model: nn.Module, batch: Tensor) -> Tensor:
    return model(batch).square().mean()


def mixing(function, batch: Tensor):
    torch.manual_seed(0)
    return find_mixing(Apply(function), batch, total)


def test_samples_are_on_the_axis_that_all_tensors_share() -> None:
    assert sample_axes((torch.zeros(4, 7), torch.zeros(4))) == (4, [0, 0])
    assert sample_axes((torch.zeros(7, 4, 3), torch.zeros(4, 2))) == (4, [1, 0])
    assert sample_axes((torch.zeros(7, 4), torch.zeros(5))) is None
    assert sample_axes(torch.zeros(1, 4)) is None


def test_the_watched_sample_keeps_its_place_and_the_others_do_not() -> None:
    changed = with_other_neighbours({"x": torch.arange(5)}, sample=2)["x"]
    assert changed.tolist() == [3, 3, 2, 4, 4]


def test_a_sample_is_looked_for_along_whole_and_merged_axes() -> None:
    x, y = torch.randn(6, 2), torch.randn(6, 2)
    y[2:4] = x[2:4]  # the second of three samples of two steps each
    assert stays_apart(x, y, size=3, index=1)
    assert stays_apart(x, y, size=3, index=0) is False
    assert stays_apart(x, y, size=5, index=0) is None


def test_a_mean_over_the_batch_mixes_and_one_over_features_does_not() -> None:
    batch = torch.randn(6, 3)
    assert mixing(lambda x: x - x.mean(1, keepdim=True), batch) is None
    found = mixing(lambda x: x - x.mean(0), batch)
    assert found is not None
    assert (found.module, found.function) == ("", "sub")  # the mean itself has no samples left


def returned(*outputs: Tensor, function: str = "f", module: str = "m") -> Call:
    return Call(function, module, 0, (), {}, outputs, "")


def test_a_call_mixes_if_nothing_of_the_sample_stays_and_both_plays_made_it() -> None:
    one = torch.arange(6.0).reshape(3, 2)
    others = one + torch.tensor([[1.0], [0.0], [1.0]])  # the second sample stays as it was
    assert not _mixes(returned(one), returned(others), 3, 1)
    assert _mixes(returned(one), returned(one + 1), 3, 1)
    assert not _mixes(returned(one), returned(one + 1, function="g"), 3, 1)
    assert not _mixes(returned(one), returned(one + 1, module="n"), 3, 1)
    assert not _mixes(returned(one, one), returned(one + 1, others), 3, 1), "one part stays"
    assert not _mixes(returned(one[:, :1].T), returned(one[:, :1].T + 1), 4, 1), "no axis fits"


def test_a_change_is_the_least_over_the_axes_that_fit_relative_to_the_largest_entry() -> None:
    one = torch.arange(6.0).reshape(3, 2)
    moved = one + torch.tensor([[9.0, 9.0], [1.0, 0.5], [9.0, 9.0]])
    assert _change(returned(one), returned(moved), 3, 1) == pytest.approx(1.0 / 5.0)


def test_two_outputs_differ_by_their_largest_difference_over_the_largest_entry() -> None:
    one = torch.tensor([1.0, -4.0])
    assert _relative(one, one + torch.tensor([0.0, 1.0])) == 0.25
    assert _relative(one, one.clone()) == 0.0
    assert _relative(one, one[:1]) == float("inf")
    assert _relative(one[:0], one[:0]) == 0.0
    assert _relative(torch.tensor([float("nan")]), torch.tensor([float("nan")])) == 0.0


def test_rounding_is_no_difference_and_a_shape_is() -> None:
    one = torch.tensor([1.0, 100.0])
    assert is_same(one, one + torch.tensor([0.0, 0.5 * 100 * SAME]))
    assert not is_same(one, one + torch.tensor([2 * 100 * SAME, 0.0]))
    assert not is_same(one, one[:1])
    assert is_same(one[:0], one[:0])


def test_a_softmax_names_the_dimension_of_the_batch() -> None:
    found = mixing(lambda x: x.softmax(0), torch.randn(6, 3))
    assert found is not None
    assert (found.function, found.dim, found.shape) == ("softmax", 0, (6, 3))


def test_batch_normalisation_is_exempt_in_evaluation_and_without_running_statistics() -> None:
    for norm in (nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False)):
        model = nn.Sequential(norm, nn.Linear(3, 2))
        assert find_mixing(model, torch.randn(6, 3), total) is None


def test_a_recurrent_layer_along_the_batch_is_named_with_its_setting() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x)[0]

    found = find_mixing(Net(), torch.randn(6, 5, 3), total)
    assert found is not None
    assert (found.module, found.kind, found.batch_first) == ("rnn", "GRU", False)


class Counting(nn.Module):
    """Adds what it was last given, or keeps it without using it."""

    def __init__(self, use: bool) -> None:
        super().__init__()
        self.use, self.linear = use, nn.Linear(3, 2)
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        out = self.linear(x)
        if self.use and self.last is not None:
            out = out + self.last.mean()
        self.last = out
        return out


def test_state_that_is_used_is_carried_and_one_that_is_only_kept_is_not() -> None:
    batches = [torch.randn(6, 3), torch.randn(6, 3)]
    for use in (True, False):
        model = Counting(use)
        with untouched(model):
            found = find_carried(model, batches, total)
        assert (found is not None) is use
        if found is not None:
            assert (found.attribute, found.attached, found.cured) == ("last", True, True)
            assert "second time" in found.error


class Windowed(nn.Module):
    """Cuts its samples into windows and draws some of these, as forecasting libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(5, 1)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        windows = series.unfold(1, 6, 1).flatten(0, 1)
        drawn = windows[torch.randint(0, len(windows), (30,))]
        return (self.body(drawn[:, :5]) - drawn[:, 5:]).square().mean()


def test_windows_that_are_drawn_from_the_samples_are_no_mixing() -> None:
    batch = torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    assert find_mixing(Windowed(), batch, lambda model, series: model(series)) is None


def test_what_is_left_with_a_graph_and_stops_the_next_batch_is_carried_and_stuck() -> None:
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.last = nn.Linear(3, 2), None
            self.calm = torch.ones(2)

        def forward(self, x: Tensor) -> Tensor:
            out = self.linear(x)
            self.last = out if self.last is None else self.last + out
            return self.last

    model, batch = Adds(), torch.randn(6, 3)
    model(torch.randn(5, 3))  # of another size: the two cannot be added
    with untouched(model):
        found = find_carried(model, [batch, batch], total)
    assert found is not None
    assert (found.module, found.attribute, found.kind) == ("", "last", "Adds")
    assert (found.attached, found.cured, found.stuck) == (True, True, True)
    assert "size" in found.error


def test_an_error_that_no_state_explains_is_the_models_own() -> None:
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)
            self.kept = self.linear(torch.ones(1, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) @ torch.ones(5, 1)

    model = Breaks()
    kept = model.kept
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        find_carried(model, [torch.randn(6, 3)] * 2, total)
    assert model.kept is kept


def test_a_ten_thousandth_of_an_outputs_size_is_rounding() -> None:
    one = torch.tensor([1.0, -10.0])
    assert is_same(one, one + 0.9e-3)
    assert not is_same(one, one + 1.1e-3)
    assert is_same(one, one + torch.tensor([0.0, 0.9e-3]))
    odd = torch.tensor([float("nan"), float("inf"), 1.0])
    assert is_same(odd, odd + torch.tensor([0.0, 0.0, 0.9e-4])), "what is no number has no size"
    assert not is_same(odd, odd + torch.tensor([0.0, 0.0, 1.1e-4]))
