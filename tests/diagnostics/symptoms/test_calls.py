"""What the functions of one play were given: by hand, on both sides of each bound."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics.symptoms.calls import (
    Broadcast,
    find_broadcast,
    find_labels,
    find_masked_rows,
    find_matrices,
    find_negative,
    find_singles,
)
from src.diagnostics.symptoms.playback import Call, Playback, play


class Weight(nn.Module):
    """Return a weight of a shape, whatever comes in."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(shape, generator=generator))

    def forward(self, batch: Any) -> Tensor:
        return 1 * self.weight


def played(shape: tuple[int, ...], function: Callable[..., Tensor], *batch: Tensor) -> Playback:
    """Play a function of trained values of a shape, and of a batch."""
    model = Weight(*shape)
    return play(model, batch, lambda m, b: function(m(b), *b).sum())


def stretched(shape: tuple[int, ...], function: Callable[..., Tensor], *batch: Tensor) -> Any:
    return find_broadcast(played(shape, function, *batch), batch)


ROW, COLUMN = torch.arange(6.0), torch.arange(6.0)[:, None]


def test_a_difference_that_was_stretched_is_told_with_its_shapes_and_its_line() -> None:
    found = stretched((6, 1), lambda preds, y: preds - y, ROW)
    assert found == Broadcast("sub", "", (6, 1), (6,), (6, 6), found.line)
    assert found.line.startswith("test_calls.py:")
    assert "preds - y" in found.line
    turned = stretched((6, 1), lambda preds, y: y - preds, ROW)
    assert (turned.preds, turned.target) == ((6, 1), (6,)), "the trained side makes predictions"


@pytest.mark.parametrize(
    ("shape", "target", "found"),
    [
        ((6,), COLUMN, True),
        ((6, 1), torch.ones(3), True),
        ((6, 1), torch.ones(1), False),  # nothing is repeated but the target
        ((6, 4), torch.ones(4), False),
        ((6, 4), COLUMN, False),  # several quantiles against one target
        ((6, 1), COLUMN, False),
        ((6, 1), torch.arange(6), False),  # whole numbers are no target of a difference
    ],
)
def test_a_difference_is_stretched_if_a_dimension_was_added_and_both_sides_grew(
    shape: tuple[int, ...], target: Tensor, found: bool
) -> None:
    assert (stretched(shape, lambda preds, y: preds - y, target) is not None) is found


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("shape", "target", "found"),
    [
        ((6, 1), ROW, True),
        ((6, 6), COLUMN, True),  # the target is repeated
        ((6, 1), torch.ones(6, 6), True),  # the predictions are
        ((6, 1), torch.ones(()), False),  # a constant
        ((1,), ROW, False),  # one prediction for all
        ((6, 1), COLUMN, False),
    ],
)
def test_a_loss_is_stretched_wherever_either_side_is_repeated(
    shape: tuple[int, ...], target: Tensor, found: bool
) -> None:
    assert (stretched(shape, F.mse_loss, target) is not None) is found
    assert (stretched(shape, lambda p, y: F.mse_loss(y, p), target) is not None) is found


def test_what_is_computed_from_the_batch_alone_is_a_target_and_what_is_made_up_is_not() -> None:
    assert stretched((6, 1), lambda preds, y: preds - (2 * y).exp(), ROW)
    assert not stretched((6, 1), lambda preds, y: preds - torch.ones(6), ROW)
    assert not stretched((6, 1), lambda preds, y: preds - preds.detach()[:, 0], ROW)
    assert not stretched((6, 1), lambda preds, y: preds - preds[:, 0], ROW)


def test_differences_deep_in_a_model_are_its_own_affair() -> None:
    class Inner(nn.Module):
        def forward(self, hidden: Tensor, y: Tensor) -> Tensor:
            return hidden - y

    class Outer(nn.Module):
        def __init__(self, deep: bool) -> None:
            super().__init__()
            self.source, self.inner, self.deep = Weight(6, 1), Inner(), deep

        def forward(self, y: Tensor) -> Tensor:
            hidden = self.source(y)
            return self.inner(hidden, y) if self.deep else hidden - y

    for deep in (True, False):
        playback = play(Outer(deep), ROW, lambda m, b: m(b).sum())
        assert (find_broadcast(playback, ROW) is None) is deep


def singles(shape: tuple[int, ...], function: Callable[[Tensor], Tensor]) -> list[tuple[str, int]]:
    return [(one.function, one.dim) for one in find_singles([played(shape, function)])]


@pytest.mark.parametrize(
    ("shape", "function", "found"),
    [
        ((6, 1), lambda x: x.softmax(1), [("softmax", 1)]),
        ((1, 6), lambda x: x.softmax(0), [("softmax", 0)]),
        ((6, 1), lambda x: x.softmax(-1), [("softmax", -1)]),
        ((6, 1), lambda x: x.log_softmax(dim=1), [("log_softmax", 1)]),
        ((6, 1), lambda x: F.gumbel_softmax(x, 1.0, False, 1e-10, 1), [("gumbel_softmax", 1)]),
        ((6, 2), lambda x: x.softmax(1), []),
        ((1, 1), lambda x: x.softmax(1), []),  # one number has no other
        ((6, 1), lambda x: x.detach().softmax(1), []),
        ((6, 1), lambda x: F.layer_norm(x, (1,)), [("layer_norm", -1)]),
        ((6, 2), lambda x: F.layer_norm(x, (2,)), []),
        ((6, 2, 1), lambda x: F.layer_norm(x, (2, 1)), []),
        ((6, 1, 1), lambda x: F.layer_norm(x, (1, 1)), [("layer_norm", -1)]),
        ((6, 2), lambda x: F.group_norm(x, 2), [("group_norm", 1)]),
        ((6, 4), lambda x: F.group_norm(x, 2), []),
        ((6, 2, 3), lambda x: F.group_norm(x, 2), []),
        ((6, 2, 1), lambda x: F.group_norm(x, 2), [("group_norm", 1)]),
        (
            (2, 1, 4),
            lambda x: F.scaled_dot_product_attention(x.expand(2, 3, 4), x, x),
            [("scaled_dot_product_attention", -2)],
        ),
        ((2, 3, 4), lambda x: F.scaled_dot_product_attention(x[:, :1], x, x), []),
    ],
)
def test_what_weighs_or_scales_one_entry_is_found_along_its_dimension(
    shape: tuple[int, ...], function: Callable[[Tensor], Tensor], found: list[tuple[str, int]]
) -> None:
    assert singles(shape, function) == found


def attend(keys: int) -> Callable[[Tensor], Tensor]:
    attention = nn.MultiheadAttention(4, 1, batch_first=True)
    return lambda x: attention(x, x[:, :keys], x[:, :keys], need_weights=False)[0]


def test_attention_to_one_key_is_found_and_is_by_design_beside_attention_to_more() -> None:
    (alone,) = find_singles([played((2, 3, 4), attend(1))])
    assert (alone.function, alone.dim) == ("multi_head_attention_forward", 0)
    assert not alone.by_design
    (beside,) = find_singles([played((2, 3, 4), lambda x: attend(1)(x) + attend(3)(x))])
    assert beside.by_design
    assert singles((2, 3, 4), attend(2)) == []


def mixture(components: int, how: str) -> Callable[[Tensor], Tensor]:
    """Weigh components (B, N, 5) with a softmax over one, and add them up."""

    def mix(x: Tensor) -> Tensor:
        weights = x[:, :1].softmax(1)
        values = x[:, :, None].expand(-1, -1, 5)[:, :components]
        if how == "matmul":
            return values.transpose(1, 2)[..., :1] @ weights.unsqueeze(-1)
        if how == "left":
            return weights.unsqueeze(-1) @ values[:, :1]
        return (weights.unsqueeze(-1) * values).sum(1)

    return mix


@pytest.mark.parametrize(
    ("components", "how", "by_design"),
    [(1, "sum", True), (3, "sum", False), (1, "matmul", True), (1, "left", False)],
)
def test_the_weight_of_the_only_component_of_a_mixture_is_by_design(
    components: int, how: str, by_design: bool
) -> None:
    (found,) = find_singles([played((6, 3), mixture(components, how))])
    assert (found.function, found.shape, found.by_design) == ("softmax", (6, 1), by_design)


def test_a_single_entry_counts_if_every_play_has_it() -> None:
    one, two = (played((6, n), lambda x: x.softmax(1)) for n in (1, 2))
    assert len(find_singles([one, one])) == 1
    assert find_singles([one, two]) == []
    assert find_singles([two, one]) == []
    assert find_singles([]) == []


def labels(loss: Callable[[Tensor, Tensor], Tensor], target: Tensor, *more: Tensor) -> Any:
    batch = target, *more
    model = Weight(*target.shape)
    return find_labels(play(model, batch, lambda m, b: loss(m(b), b[0].double())), batch)


def cycle(classes: int, count: int, first: int = 0) -> Tensor:
    return first + torch.arange(count) % classes


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (cycle(3, 12), 3),
        (cycle(4, 9), 4),
        (cycle(3, 8), None),  # of eight nobody can say
        (cycle(2, 12), None),  # two are a yes and a no
        (cycle(3, 12, first=1), None),  # counts, maybe: classes begin at 0
        (2 * cycle(3, 12), None),  # some are missing
        (cycle(7, 12), None),  # most of them once
        (cycle(6, 12), 6),
        (cycle(3, 12).double(), None),  # the batch holds numbers
    ],
)
def test_labels_under_a_squared_loss_are_whole_complete_and_repeated(
    target: Tensor, classes: int | None
) -> None:
    def squared(preds: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(preds.double(), target)

    found = labels(squared, target)
    assert (None if found is None else found.classes) == classes
    if found is not None:
        assert (found.function, found.outputs) == ("mse_loss", (len(target),))
        assert "F.mse_loss(preds" in found.line


def test_labels_under_a_binary_loss_need_not_be_whole_in_the_batch() -> None:
    def binary(preds: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(preds.double(), target)

    assert labels(binary, cycle(3, 6).double()).classes == 3
    assert labels(binary, cycle(2, 6).double()) is None
    assert labels(binary, cycle(3, 6).double() / 2) is None
    assert labels(lambda p, y: F.huber_loss(p.double(), y), cycle(3, 12)) is None


def test_other_whole_numbers_of_the_batch_make_no_labels() -> None:
    def shifted(preds: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(preds.double(), target.flip(0))

    assert labels(shifted, cycle(3, 12)) is None
    assert labels(lambda p, y: F.mse_loss(y, p.double()), cycle(3, 12)) is None


def negative(change: Callable[[Tensor], Tensor], loss: Any = F.mse_loss) -> Any:
    y = torch.full((6, 1), 0.5)
    return find_negative(play(Weight(6, 1), (y,), lambda m, b: change(loss(m(b), b[0]))))


@pytest.mark.parametrize("factor", [-1.0, -3.0, -1 / 3, -0.5])
def test_a_known_loss_whose_sign_or_share_was_turned_is_told_with_the_total(factor: float) -> None:
    found = negative(lambda loss: factor * loss)
    assert (found.function, found.sign) == ("mse_loss", True)
    y = torch.full((6, 1), 0.5)
    value = float(F.mse_loss(Weight(6, 1).weight, y).detach())
    assert found.value == pytest.approx(factor * value)


@pytest.mark.parametrize(
    "change",
    [
        lambda loss: loss,
        lambda loss: 0 * loss,
        lambda loss: -0.7 * loss,  # no turned sign: a part of a sum, maybe
        lambda loss: loss - 10.0,
        lambda loss: -loss - F.l1_loss(loss, torch.ones(())),  # two known losses
    ],
)
def test_other_totals_are_no_turned_sign(change: Callable[[Tensor], Tensor]) -> None:
    assert negative(change) is None


def test_a_loss_that_is_below_zero_itself_is_told_with_its_value() -> None:
    def impossible(preds: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(10 * torch.ones_like(y) + 0 * preds, y + 1)

    found = negative(lambda loss: loss, impossible)
    assert (found.function, found.sign) == ("binary_cross_entropy_with_logits", False)
    assert found.value == pytest.approx(math.log1p(math.exp(-10)) + 10 - 15, abs=1e-4)
    assert (
        negative(
            lambda loss: loss, lambda p, y: F.kl_div(p - p + 1e-7, 0 * y + 1, reduction="batchmean")
        )
        is None
    )


def masked(function: Callable[[Tensor], Tensor]) -> Any:
    return find_masked_rows(played((2, 3, 4), function))


KEYS = torch.tensor([[True, True, False], [False, False, False], [True, False, False]])


def test_rows_of_attention_that_see_no_key_are_counted_whatever_form_the_mask_has() -> None:
    low = torch.zeros(3, 3).masked_fill(~KEYS, -math.inf)

    def by_hand(x: Tensor) -> Tensor:
        return (x @ x.transpose(1, 2) + low).softmax(-1)

    def across(x: Tensor) -> Tensor:
        return (x @ x.transpose(1, 2) + low.t()).softmax(1)

    for function in (by_hand, across):
        found = masked(function)
        assert (found.rows, found.of, found.function) == (2, 6, "softmax"), "one in each sample"
    fine = torch.zeros(3, 3).masked_fill(torch.ones(3, 3).triu(1).bool(), -math.inf)
    assert masked(lambda x: (x @ x.transpose(1, 2) + fine).softmax(-1)) is None
    nan = (torch.full((2, 3, 4), math.nan),)
    for mask, result, rows in ((KEYS, nan, 1), (low, nan, 1), (KEYS, (torch.ones(2, 3, 4),), 0)):
        arguments = (torch.ones(2, 3, 4),) * 3
        call = Call(
            "scaled_dot_product_attention", "", 0, arguments, {"attn_mask": mask}, result, ""
        )
        found = find_masked_rows(SimpleNamespace(calls=[call]))  # type: ignore[arg-type]
        assert (found.rows if found else 0) == rows
        assert found is None or found.of == 3


def many(**masks: Tensor) -> Any:
    attention = nn.MultiheadAttention(4, 1, batch_first=True)
    return masked(lambda x: attention(x, x, x, **masks)[0])


def test_masks_of_many_heads_hide_keys_together() -> None:
    nobody, after = torch.tensor([[True] * 3, [False] * 3]), torch.ones(3, 3).triu(1).bool()
    found = many(key_padding_mask=nobody)
    assert (found.rows, found.of, found.function) == (1, 2, "multi_head_attention_forward")
    first = torch.tensor([[True, False, False], [False, False, False]])
    found = many(key_padding_mask=first, attn_mask=after)
    assert (found.rows, found.of) == (1, 6), "the first step sees itself alone, and that is hidden"
    assert many(key_padding_mask=torch.zeros(2, 3, dtype=torch.bool), attn_mask=after) is None
    assert many(attn_mask=after) is None
    found = many(attn_mask=~torch.eye(3).bool() | (torch.arange(3) == 1)[:, None])
    assert (found.rows, found.of) == (1, 3)


class Products(nn.Module):
    """Multiply with weights in many ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.conv = nn.Linear(3, 2), nn.Conv1d(1, 2, 3)
        self.right, self.turned = nn.Parameter(torch.ones(3, 5)), nn.Parameter(torch.ones(5, 3))
        self.table, self.unread = nn.Embedding(4, 3), nn.Parameter(torch.ones(3, 3))
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)
        self.scale = nn.Parameter(torch.ones(1, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.scale * x + self.table(torch.zeros(6, dtype=torch.long))
        attended = self.attention(x[None], x[None], x[None])[0]
        parts = (self.layer(x), x @ self.right, x @ self.turned.t(), self.conv(x[:, None]))
        return sum(part.sum() for part in parts) + attended.sum()


def test_weights_that_are_multiplied_with_are_known_by_the_axis_of_their_outputs() -> None:
    model = Products()
    found = find_matrices(model, play(model, torch.randn(6, 3), lambda m, b: m(b)))
    own = {name: axis for name, axis in found.items() if not name.startswith("attention.")}
    assert own == {"layer.weight": 0, "right": 1, "turned": 0, "conv.weight": 0}
    assert found["attention.in_proj_weight"] == 0
