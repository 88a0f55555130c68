"""What outputs depend on, by models whose dependence is known."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.symptoms.influence import (
    Constant,
    find_constant_output,
    find_ignored,
    find_padding_read,
    has_flat_entries,
    input_influence,
    unfed_modules,
)
from src.diagnostics.symptoms.playback import play


class Reads(nn.Module):
    """A weighted sum of whatever a function takes of the input."""

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.read, self.scale = read, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.read(x)


def total(model: nn.Module, batch: Tensor) -> Tensor:
    return model(batch).sum()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ignored(read: Callable[[Tensor], Tensor], *batches: Tensor) -> list[tuple[int, Any, bool]]:
    found = find_ignored(Reads(read), batches, total)
    return [(one.axis, one.indices, one.steps) for one in found]


def test_influence_is_the_size_of_gradients_over_samples_and_batches() -> None:
    one = input_influence(Reads(lambda x: 2 * x[:, :2].sum(1)), [drawn(5, 3)], total)
    two = input_influence(Reads(lambda x: 2 * x[:, :2].sum(1)), [drawn(5, 3)] * 2, total)
    assert list(one) == [0]
    assert one[0].tolist()[2] == 0
    assert one[0][0] == one[0][1]
    assert 5 * 2 * 0.5 <= float(one[0][0]) <= 5 * 2 * 1.5, "outputs are weighted by 0.5 to 1.5"
    assert two[0].tolist() == (2 * one[0]).tolist()


def test_nothing_is_said_of_what_no_output_depends_on_at_all() -> None:
    assert input_influence(Reads(lambda x: 0 * x.sum(1)), [drawn(5, 3)], total) == {}
    assert input_influence(Reads(torch.ones_like), [drawn(5, 3)], total) == {}


def test_a_single_feature_that_is_not_read_is_named() -> None:
    assert ignored(lambda x: x[:, [0, 2]].sum(1), drawn(5, 3)) == [(1, (1,), False)]
    assert ignored(lambda x: x.sum(1), drawn(5, 3)) == []


@pytest.mark.parametrize(("read", "found"), [(4, True), (5, False)])
def test_steps_that_are_not_read_are_named_from_more_than_half_of_them_on(
    read: int, found: bool
) -> None:
    steps = ignored(lambda x: x[:, -read:].sum((1, 2)), drawn(7, 10, 3))
    assert steps == ([(1, tuple(range(10 - read)), True)] if found else [])
    features = ignored(lambda x: x[..., 1:].sum((1, 2)), drawn(7, 10, 3))
    assert features == [(2, (0,), False)]


def test_what_does_not_vary_in_the_data_is_not_missed() -> None:
    x = drawn(5, 3)
    x[:, 1] = 4.0
    assert ignored(lambda x: x[:, 0], x) == [(1, (2,), False)]
    assert ignored(lambda x: x[:, 0], x, drawn(5, 3)) == [(1, (1, 2), False)], "it does later"


def where_lost(read: Callable[[Tensor], Tensor]) -> tuple[str, bool]:
    (found,) = find_ignored(Reads(read), [drawn(5, 4)], total)
    return found.line.partition(": ")[2], found.chosen


@pytest.mark.parametrize(
    ("read", "chosen"),
    [
        (lambda x: x[:, 1:].sum(1), False),
        (lambda x: x[:, [1, 3]].sum(1), True),
        (lambda x: x[:, torch.tensor([1, 3])].sum(1), True),
        (lambda x: x.index_select(1, torch.tensor([0, 2])).sum(1), True),
        (lambda x: x.narrow(1, 0, 2).sum(1), False),
        (lambda x: x.select(1, 2), False),
        (lambda x: x.split(2, 1)[0].sum(1), False),
    ],
)
def test_the_call_that_drops_features_is_told_and_whether_it_takes_the_others_by_a_list(
    read: Callable[[Tensor], Tensor], chosen: bool
) -> None:
    line, by_list = where_lost(read)
    assert "lambda x: x" in line
    assert by_list is chosen


def test_features_that_are_multiplied_away_are_lost_nowhere() -> None:
    line, chosen = where_lost(lambda x: (x * torch.tensor([1.0, 0, 1, 1])).sum(1))
    assert (line, chosen) == ("", False)


@pytest.mark.parametrize(
    ("batch", "flat"),
    [
        (torch.tensor([[1.0, 2.0], [3.0, 2.0]]), True),
        (torch.tensor([[1.0, 2.0], [3.0, 2.1]]), False),
        (torch.tensor([[1.0, 1.0], [3.0, 1.0]]), False),  # as a mask that hides nothing
        (torch.tensor([[1.0, 0.0], [3.0, 0.0]]), True),
        (torch.tensor([[1, 2], [3, 2]]), False),  # tokens
        (torch.tensor([2.0, 2.0]), False),  # no features
        (torch.stack([torch.eye(3), torch.eye(3)]), False),
        (torch.stack([torch.eye(3)[:, :2]] * 2).contiguous(), True),  # the last step is zero
    ],
)
def test_data_are_flat_where_a_feature_or_a_step_is_the_same_everywhere(
    batch: Tensor, flat: bool
) -> None:
    assert has_flat_entries([batch]) is flat
    assert has_flat_entries([batch, batch]) is flat
    assert has_flat_entries([]) is False


def test_a_feature_has_to_be_flat_in_every_batch_and_at_the_same_value() -> None:
    flat = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    assert not has_flat_entries([flat, drawn(2, 2)])
    assert not has_flat_entries([flat, flat + 1])
    assert has_flat_entries([flat, torch.tensor([[9.0, 2.0]])]), "the last batch may be shorter"


class Fed(nn.Module):
    """Some layers read the batch, some a parameter, some what the batch has the shape of."""

    def __init__(self) -> None:
        super().__init__()
        self.reads, self.after, self.alone, self.shape = (nn.Linear(3, 3) for _ in range(4))
        self.query = nn.Parameter(torch.ones(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        own = self.alone(self.query).sum() + self.shape(torch.zeros_like(x)).sum()
        return self.after(self.reads(x)) + own


def test_modules_that_get_nothing_computed_from_the_batch_are_told() -> None:
    x = drawn(5, 3)
    assert unfed_modules(play(Fed(), x, total), x) == {"alone", "shape"}
    assert unfed_modules(play(Fed(), x, total), drawn(5, 3)) == frozenset(), "if none does, all do"


def constant(read: Callable[[Tensor], Tensor], *shape: int) -> Constant | None:
    x = drawn(*shape)
    return find_constant_output(play(Reads(read), x, total), x)


def test_an_output_that_is_the_same_for_all_samples_is_told_with_its_value() -> None:
    found = constant(lambda x: 2.5 + 0 * x, 5, 3)
    assert found == Constant("", (5, 3), 0.0, 2.5)
    assert constant(lambda x: x, 5, 3) is None
    assert constant(lambda x: 2.5 + 0 * x, 2, 3) is None, "two samples are too few"


@pytest.mark.parametrize(("spread", "found"), [(0.9e-6, True), (3e-6, False)])
def test_a_millionth_of_an_outputs_size_is_no_difference(spread: float, found: bool) -> None:
    def read(x: Tensor) -> Tensor:
        ends = torch.tensor([1.0, -1.0, 0.0, 0.0])[:, None]
        return (1.0 + spread * ends + 0 * x).to(x)

    x = drawn(4, 3).double()
    model = Reads(read).double()
    assert (find_constant_output(play(model, x, total), x) is not None) is found


def test_an_output_that_differs_between_steps_alone_is_constant_and_one_without_end_is_not() -> (
    None
):
    found = constant(lambda x: torch.arange(3.0) + 0 * x, 5, 3)
    assert found is not None
    assert (found.shape, found.value) == ((5, 3), 0.0)
    assert constant(lambda x: torch.full_like(x, float("inf")) + 0 * x, 5, 3) is None


def padded(lengths: list[int], steps: int = 6) -> Tensor:
    x = drawn(len(lengths), steps, 3, seed=1)
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    return x


def last_step(x: Tensor) -> Tensor:
    return x[:, -1].sum(1)


def test_an_output_that_follows_the_padding_alone_is_told_with_how_much_there_is() -> None:
    found = find_padding_read(Reads(last_step), padded([6, 2, 3, 4]), total)
    assert found is not None
    assert (found.rows, found.samples, found.change) == (3, 4, 0.0)
    assert found.padded == pytest.approx((4 + 3 + 2) / 18)


def test_an_output_that_follows_all_steps_alike_is_told_by_the_ratio_of_its_changes() -> None:
    found = find_padding_read(Reads(lambda x: x.sum((1, 2))), padded([2] * 200, 4), total)
    assert found is not None
    assert 0.5 < found.change < 2, "as many real steps as padded ones"


@pytest.mark.parametrize(
    "batch",
    [
        padded([6, 6, 6, 6]),
        padded([6, 6, 6, 3]),  # few are padded
        padded([6, 6, 0, 0]),  # nothing is left of them
        padded([2, 2, 2, 2]).flip(1),  # the last step is real
        drawn(4, 3),  # no sequences
    ],
)
def test_without_padding_at_the_end_of_half_of_the_samples_nothing_is_asked(batch: Tensor) -> None:
    read = last_step if batch.dim() > 2 else (lambda x: x.sum(1))
    assert find_padding_read(Reads(read), batch, total) is None


def test_one_last_step_that_is_zero_in_all_samples_is_the_measure_of_the_others_not_padding() -> (
    None
):
    x = torch.randn(8, 5, 1)
    asked = []

    def read(x: Tensor) -> Tensor:
        asked.append(len(x))
        return x[:, -1].sum(1)

    assert find_padding_read(Reads(read), x - x[:, -1:], total) is None
    assert not asked


def test_an_output_that_does_not_move_with_the_padding_reads_none() -> None:
    assert find_padding_read(Reads(lambda x: x[:, 0].sum(1)), padded([2, 2, 3, 4]), total) is None
