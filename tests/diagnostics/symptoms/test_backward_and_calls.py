"""Operations that block a gradient or make NaN, and what functions were given."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics.symptoms.backward import find_blocks, find_first_nonfinite, trace
from src.diagnostics.symptoms.calls import (
    find_broadcast,
    find_labels,
    find_masked_rows,
    find_negative,
    find_singles,
)
from src.diagnostics.symptoms.leaks import triangle
from src.diagnostics.symptoms.leaves import find_cut, find_stale, find_unregistered
from src.diagnostics.symptoms.playback import Playback, play


def played(model: nn.Module, batch, loss_fn) -> Playback:
    torch.manual_seed(0)
    return play(model, batch, loss_fn)


def of_output(change, model: nn.Module | None = None) -> Playback:
    model = model or nn.Linear(3, 1)
    return played(model, torch.randn(6, 3), lambda m, x: change(m(x)).sum())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (torch.round, "Round"),
        (torch.sign, "Sign"),
        (lambda x: x.clamp(50, 60), "Clamp"),
        (lambda x: x * 0, "Mul"),
        (lambda x: x.softmax(1), "Softmax"),
    ],
)
def test_the_operation_that_lets_nothing_through_is_named_with_the_layer_before(
    change, kind
) -> None:
    model = nn.Linear(3, 1)
    (block,) = find_blocks(model, of_output(change, model))
    assert (block.kind, block.everything) == (kind, True)
    assert block.silent == ("weight", "bias")


def test_an_operation_that_lets_something_through_is_no_block() -> None:
    assert find_blocks(nn.Linear(3, 1), of_output(lambda x: x.clamp(-0.1, 0.1))) == []
    assert find_blocks(nn.Linear(3, 1), of_output(torch.tanh)) == []


def test_the_first_operation_with_a_nonfinite_gradient_is_named_with_its_line() -> None:
    playback = of_output(lambda x: (x - x.detach()).square().sum(1).sqrt())
    node = find_first_nonfinite(playback)
    assert node is not None
    assert (node.kind, node.nonfinite, node.entries) == ("Sqrt", 6, 6)
    assert node.call is not None
    assert "sqrt()" in node.call.line


def broadcast(preds_shape, target_shape, function) -> bool:
    batch = torch.randn(*preds_shape), torch.randn(*target_shape)
    model = nn.Linear(preds_shape[-1], preds_shape[-1])
    playback = played(model, batch, lambda m, b: function(m(b[0]), b[1]).mean())
    return find_broadcast(playback, batch) is not None


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_shapes_that_broadcast_are_found_and_equal_ones_are_not() -> None:
    def square(preds: Tensor, target: Tensor) -> Tensor:
        return (preds - target) ** 2

    for function in (F.mse_loss, square):
        assert broadcast((6, 1), (6,), function)
        assert not broadcast((6, 1), (6, 1), function)
    assert not broadcast((6, 4), (6, 1), square)  # quantiles against one target


def test_a_softmax_over_one_entry_is_found_and_one_over_two_is_not() -> None:
    singles = find_singles([of_output(lambda x: x.softmax(1))])
    assert [(s.function, s.dim, s.shape) for s in singles] == [("softmax", 1, (6, 1))]
    assert not find_singles([of_output(lambda x: x.softmax(0))])


def test_a_norm_over_one_entry_must_be_seen_in_every_play() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.GroupNorm(2, 2))
    one = played(model, torch.randn(6, 3), lambda m, x: m(x).sum())
    model.add_module("1", nn.GroupNorm(1, 2))
    other = played(model, torch.randn(6, 3), lambda m, x: m(x).sum())
    assert len(find_singles([one])) == 1
    assert not find_singles([one, other])


def test_labels_under_a_squared_loss_must_be_integers_in_the_batch() -> None:
    labels = torch.arange(12) % 3
    model = nn.Linear(3, 1)

    def squared(m: nn.Module, batch) -> Tensor:
        return F.mse_loss(m(batch[0])[:, 0], batch[1].float())

    batch = torch.randn(12, 3), labels
    found = find_labels(played(model, batch, squared), batch)
    assert found is not None
    assert found.classes == 3
    counts = torch.randn(12, 3), labels.float()
    assert find_labels(played(model, counts, squared), counts) is None


def test_a_turned_sign_is_found_and_a_positive_loss_is_not() -> None:
    batch = torch.randn(6, 3), torch.randn(6, 1)
    for sign in (-1, 1):
        playback = played(
            nn.Linear(3, 1), batch, lambda m, b, s=sign: s * F.mse_loss(m(b[0]), b[1])
        )
        found = find_negative(playback)
        assert (found is not None) is (sign < 0)
        assert found is None or found.sign


def test_rows_with_every_key_masked_are_counted() -> None:
    def attend(m: nn.Module, batch) -> Tensor:
        return m(batch[0], batch[0], batch[0], key_padding_mask=batch[1])[0].sum()

    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1] = True
    batch = torch.randn(4, 5, 8), mask
    found = find_masked_rows(played(nn.MultiheadAttention(8, 2, batch_first=True), batch, attend))
    assert found is not None
    assert (found.rows, found.of) == (1, 4)


def test_triangles_are_told_from_other_masks() -> None:
    lower = torch.ones(5, 5).tril()
    assert triangle(lower)
    assert triangle(~lower.bool())
    assert triangle(torch.where(lower > 0, 0.0, float("-inf")))
    assert not triangle(torch.eye(5))
    assert not triangle(torch.ones(5, 4))


def test_layers_in_a_list_are_named_and_a_foreign_model_is_not() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.rest = nn.Linear(3, 3), [nn.Linear(3, 1)]

        def forward(self, x: Tensor) -> Tensor:
            return self.rest[0](self.first(x))

    x, teacher = torch.randn(6, 3), nn.Linear(3, 1)
    model = Listed()
    playback = played(model, x, lambda m, b: m(b).sum())
    found = find_unregistered(model, [playback], [x], [])
    assert found is not None
    assert set(found.names) == {"rest.0.weight", "rest.0.bias"}
    optimizer = torch.optim.SGD([*model.parameters(), *model.rest[0].parameters()], 0.1)
    assert find_unregistered(model, [playback], [x], [optimizer]) is None
    plain = nn.Linear(3, 1)
    playback = played(plain, x, lambda m, b: (m(b) - teacher(b)).square().sum())
    assert find_unregistered(plain, [playback, playback], [x], []) is None


def test_an_optimiser_of_replaced_parameters_is_told_from_one_that_leaves_some_out() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    old = torch.optim.SGD(model.parameters(), 0.1)
    model[1] = nn.Linear(3, 1)
    playback = played(model, torch.randn(6, 3), lambda m, b: m(b).sum())
    stale = find_stale(model, playback, [old])
    assert stale is not None
    assert stale.names == ("1.weight", "1.bias")
    partial = torch.optim.SGD(model[0].parameters(), 0.1)
    assert find_stale(model, playback, [partial]) is None


def test_the_call_that_cuts_the_loss_off_is_named() -> None:
    model = nn.Linear(3, 2)
    x = torch.randn(6, 3)
    cut = find_cut(model, played(model, x, lambda m, b: m(b).argmax(1).float().mean()))
    assert cut is not None
    assert (cut.function, cut.leaf) == ("argmax", False)
    leaf = find_cut(
        model, played(model, x, lambda m, b: torch.tensor(m(b).sum().item(), requires_grad=True))
    )
    assert leaf is not None
    assert (leaf.function, leaf.leaf) == ("item", True)
    assert find_cut(model, played(model, x, lambda m, b: m(b).sum())) is None


class First(torch.autograd.Function):
    """Passes a gradient to the first of two, and none at all to the second."""

    @staticmethod
    def forward(ctx, one: Tensor, other: Tensor) -> Tensor:
        return one + 0 * other

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def test_what_passes_an_operation_is_noted_and_what_it_does_not_answer_is_left_out() -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 1, bias=False), "b": nn.Linear(3, 1, bias=False)})
    playback = played(
        model, torch.ones(6, 3), lambda m, x: First.apply(m["a"](x), m["b"](x).round()).sum()
    )
    first = next(node for node in trace(playback) if node.kind == "First")
    assert (first.arrived, first.left, first.finite_before) == (True, True, True)
    assert (first.nonfinite, first.entries, first.blocked) == (0, 6, [])
    assert find_blocks(model, playback) == []
