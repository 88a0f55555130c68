"""Samples that mix, and state that stays, on batches small enough to follow by hand."""

import torch
from torch import Tensor, nn

from src.diagnostics.isolation import untouched
from src.diagnostics.symptoms.samples import (
    find_carried,
    find_mixing,
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
