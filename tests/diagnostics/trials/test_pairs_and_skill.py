"""What a loss compares, and how good it is, by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from src.diagnostics.trials import program_facts
from src.diagnostics.trials.pairs import Activation, LossCalls, Pair, natural_loss
from src.diagnostics.trials.program_facts import find_facts
from src.diagnostics.trials.skill import mean_skill, skill
from tests.diagnostics.trials.programs import batched, drawn, labels_as_shares, net


def column(*values):
    return torch.tensor(values)[:, None]


def test_half_of_the_spread_explained_is_a_skill_of_one_half():
    # Targets -1 and 1 have a spread of 2; errors of sqrt(1/2) each leave 1 of it.
    off = math.sqrt(0.5)
    pair = Pair("mse_loss", column(-1.0 + off, 1.0 - off), column(-1.0, 1.0))
    assert skill([pair]) == pytest.approx(0.5)


def test_each_column_is_judged_against_its_own_mean():
    target = torch.tensor([[0.0, 100.0], [2.0, 102.0]])
    means = torch.tensor([[1.0, 101.0], [1.0, 101.0]])
    assert skill([Pair("mse_loss", means, target)]) == 0.0


def test_skill_is_the_same_for_targets_on_another_scale():
    preds, target = drawn(1), drawn(1, seed=1)
    before = skill([Pair("mse_loss", preds, target)])
    assert skill([Pair("l1_loss", 5 + 1e3 * preds, 5 + 1e3 * target)]) == pytest.approx(before)


def test_frequencies_are_the_best_constant_of_classes():
    labels = torch.tensor([0, 0, 0, 1])
    shares = torch.tensor([[0.75, 0.25]]).repeat(4, 1)
    assert skill([Pair("cross_entropy", shares.log(), labels)]) == pytest.approx(0.0)
    assert skill([Pair("nll_loss", shares.log(), labels)]) == pytest.approx(0.0)
    sure = 50.0 * F.one_hot(labels, 2).float()
    assert skill([Pair("cross_entropy", sure, labels)]) == pytest.approx(1.0)


def test_two_batches_are_judged_together():
    first, second = column(0.0, 0.0), column(1.0, 1.0)
    pairs = [Pair("mse_loss", first, first), Pair("mse_loss", second, second)]
    assert skill(pairs) == 1.0
    assert math.isnan(skill(pairs[:1]))  # there a constant is all


def test_what_is_not_finite_has_no_skill():
    assert math.isnan(skill([Pair("mse_loss", column(math.nan, 1.0), column(0.0, 1.0))]))


def test_losses_that_can_be_judged_are_averaged():
    target = column(0.0, 2.0)
    good, bad = Pair("mse_loss", target, target), Pair("mse_loss", column(1.0, 1.0), target)
    constant = Pair("mse_loss", target, column(1.0, 1.0))
    assert mean_skill([[good, bad, constant]]) == pytest.approx(0.5)


def test_a_loss_function_and_a_hand_written_difference_are_seen_alike():
    x, y, layer = drawn(2), drawn(1), nn.Linear(2, 1)
    with LossCalls() as by_function:
        F.mse_loss(input=layer(x), target=y)
    with LossCalls() as by_hand:
        (layer(x) - y).square().mean()
    for seen in (by_function, by_hand):
        (pair,) = seen.pairs
        assert torch.equal(pair.target, y)
        assert torch.equal(pair.preds, layer(x))


def test_another_target_is_put_in_place_on_either_side_of_a_difference():
    x, y, layer = drawn(2), drawn(1), nn.Linear(2, 1)
    with LossCalls(0, lambda _, pair: torch.zeros_like(pair.target)):
        loss = (y - layer(x)).square().sum()
    assert loss.item() == pytest.approx(layer(x).square().sum().item())


def test_the_activation_before_the_loss_is_found_through_reshaping():
    model = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
    with LossCalls() as seen:
        preds = model(drawn(2)).squeeze(1)
    assert seen.activation_of(preds) == Activation("sigmoid", 1)
    with LossCalls(skipped=frozenset([Activation("sigmoid", 1)])):
        logits = model(drawn(2))
    assert torch.equal(logits, model[:3](drawn(2)))


def test_the_natural_loss_brings_both_to_one_shape():
    preds, target = column(1.0, 2.0), torch.tensor([1.0, 4.0])
    assert float(natural_loss(Pair("mse_loss", preds, target), 0)) == 2.0
    labels = column(1.0, 0.0)
    both = float(natural_loss(Pair("mse_loss", torch.zeros(2, 2), labels), 2))
    assert both == pytest.approx(math.log(2))


def test_labels_under_a_binary_loss_are_classes_and_counts_are_numbers():
    model, batches, loss_fn, _ = labels_as_shares()
    (facts,) = find_facts(model, batches, loss_fn).losses
    assert (facts.classes, facts.columns) == (4, 1)

    counts = batched(drawn(2), torch.arange(512.0)[:, None] % 5)
    square = find_facts(net(), counts, lambda m, b: F.mse_loss(m(b[0]), b[1]))
    assert square.losses[0].classes == 0
    assert square.losses[0].mean == pytest.approx(2.0, abs=0.01)


def test_targets_are_told_from_inputs_by_what_the_loss_does_with_them():
    x, y = drawn(2), drawn(1)
    batches = [{"y": y, "x": x} for y, x in batched(y.exp(), x)]
    facts = find_facts(net(), batches, lambda m, b: F.mse_loss(m(b["x"]), b["y"].log()))
    assert facts.targets == {0}
    assert set(facts.inputs) == {1}
    standard = facts.inputs[1].standardised(x)
    assert standard.mean(0).abs().max() < 1e-5
    assert standard.std(0, correction=0) == pytest.approx(torch.ones(2).numpy(), abs=1e-5)


def test_what_is_not_finite_is_filled_with_the_mean():
    x = drawn(2)
    x[3, 1] = math.nan
    scale = find_facts(net(), batched(x, drawn(1)), lambda m, b: F.mse_loss(m(b[0]), b[1])).inputs
    assert float(scale[0].standardised(x)[3, 1]) == 0.0


def test_classes_that_are_left_out_do_not_count():
    labels = torch.tensor([0, -100, 1, 2])
    sure = 50.0 * F.one_hot(labels.clamp(0, 1), 2).float()
    assert skill([Pair("cross_entropy", sure, labels)]) == pytest.approx(1.0)
    assert math.isnan(skill([Pair("cross_entropy", sure, labels[:3])]))
    assert math.isnan(skill([Pair("cross_entropy", sure[0], labels)]))


def test_classes_of_each_step_and_shares_of_classes_are_judged_entry_by_entry():
    labels = torch.tensor([[0, 1, 1], [1, 0, 0]])
    sure = 50.0 * F.one_hot(labels, 2).float().movedim(-1, 1)  # (samples, classes, steps)
    assert skill([Pair("cross_entropy", sure, labels)]) == pytest.approx(1.0)
    shares = F.one_hot(labels, 2).float().movedim(-1, 1)
    assert skill([Pair("cross_entropy", sure, shares)]) == pytest.approx(1.0)


def test_logits_and_log_rates_are_brought_to_what_they_stand_for():
    target = column(0.0, 1.0)
    logits = Pair("binary_cross_entropy_with_logits", column(-50.0, 50.0), target)
    assert skill([logits]) == pytest.approx(1.0)
    rates = Pair("poisson_nll_loss", column(0.0, math.log(3.0)), column(1.0, 3.0))
    assert skill([rates]) == pytest.approx(1.0)
    assert skill([Pair("mse_loss", column(-50.0, 50.0), target)]) < -1


def test_sequences_of_different_lengths_are_judged_step_by_step():
    one = Pair("mse_loss", torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]]))
    two = Pair("mse_loss", torch.tensor([[2.0, 3.0, 4.0]]), torch.tensor([[2.0, 3.0, 4.0]]))
    assert skill([one, two]) == 1.0
    assert math.isnan(skill([]))
    assert math.isnan(skill([Pair("mse_loss", torch.ones(2), torch.ones(3))]))
    assert math.isnan(skill([Pair("mse_loss", torch.ones(0), torch.ones(0))]))


def test_the_natural_loss_of_shares_is_the_binary_cross_entropy():
    pair = Pair("mse_loss", torch.zeros(2, 1), torch.tensor([0.0, 1.0]))
    assert float(natural_loss(pair, 1)) == pytest.approx(math.log(2))
    steps = Pair("cross_entropy", torch.zeros(2, 4, 3), torch.zeros(2, 3, dtype=torch.long))
    assert float(natural_loss(steps, 4)) == pytest.approx(math.log(4))


def test_of_several_differences_the_one_that_is_the_loss_counts():
    x, y, layer = drawn(2), drawn(1), nn.Linear(2, 1)
    for chosen, target in ((0, 2 * y), (1, y), (None, y)):
        with LossCalls(chosen) as seen:
            _ = 2 * y - layer(x), layer(x) - y
            _ = x - 1.0, layer(x) - layer(x), layer(x) - y.new_zeros(())
        assert len(seen.differences) == 2
        (pair,) = seen.pairs
        assert torch.equal(pair.target, target)
    with LossCalls() as both:
        _ = layer(x) - 2 * y, F.mse_loss(layer(x), y)
    (pair,) = both.pairs
    assert pair.function == "mse_loss"


def test_a_loss_can_be_replaced_and_its_targets_numbered():
    x, y, layer = drawn(2), drawn(1), nn.Linear(2, 1)
    numbers = []

    def retarget(number, pair):
        numbers.append(number)
        return pair.target + number

    with LossCalls(None, retarget, replace=lambda n, pair: pair.target.sum() + n) as seen:
        first, second = F.mse_loss(layer(x), y), F.l1_loss(layer(x), target=y)
    assert numbers == [0, 1]
    assert [pair.function for pair in seen.pairs] == ["mse_loss", "l1_loss"]
    assert float(first) == pytest.approx(float(y.sum()), abs=1e-4)
    assert float(second) == pytest.approx(float((y + 1).sum()) + 1, abs=1e-3)


@pytest.mark.parametrize(
    ("target", "function", "columns", "classes"),
    [
        (torch.tensor([0.0, 0.25, 1.0]), "binary_cross_entropy", 1, 1),
        (torch.tensor([0.0, 1.0, 1.0]), "binary_cross_entropy", 1, 1),
        (torch.tensor([0.0, 2.0, 1.0]), "binary_cross_entropy", 1, 3),
        (torch.tensor([0.0, 2.0, 1.0]), "binary_cross_entropy_with_logits", 2, 1),
        (torch.tensor([0.0, 1000.0, 1.0]), "binary_cross_entropy", 1, 1),
        (torch.tensor([-1.0, 2.0, 1.0]), "binary_cross_entropy", 1, 1),
        (torch.tensor([0.0, 2.0, 1.0]), "cross_entropy", 7, 7),
        (torch.tensor([0.0, 2.0, 1.0]), "mse_loss", 1, 3),
        (torch.tensor([0.0, 1.0, 1.0]), "mse_loss", 1, 2),
        (torch.tensor([0.0, 0.0, 0.0]), "mse_loss", 1, 0),
        (torch.tensor([0.0, 2.0, 1.0]), "mse_loss", 2, 0),
        (torch.tensor([0.0, 2.5, 1.0]), "mse_loss", 1, 0),
        (torch.tensor([0.0, 1000.0, 1.0]), "mse_loss", 1, 0),
        (torch.tensor([0.0, 999.0, 1.0]), "mse_loss", 1, 1000),
        (torch.tensor([-1.0, 2.0, 1.0]), "mse_loss", 1, 0),
    ],
)
def test_how_many_classes_targets_name_follows_from_numbers_and_loss(
    target, function, columns, classes
):
    pair = Pair(function, torch.zeros(3, columns), target)
    found = program_facts._classes(pair, columns, target.double(), (target.long(), target))
    assert found == classes
    if function == "mse_loss":
        assert program_facts._classes(pair, columns, target.double(), (target,)) == 0


def test_a_scale_brings_channels_or_features_to_mean_0_and_spread_1():
    scale = program_facts.Scale(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0]))
    assert scale.standardised(torch.tensor([[3.0, -2.0]])).tolist() == [[1.0, -1.0]]
    image = torch.tensor([3.0, -2.0])[None, :, None, None].repeat(1, 1, 2, 3)
    assert scale.standardised(image)[0, :, 1, 2].tolist() == [1.0, -1.0]
    odd = torch.tensor([[math.inf, math.nan], [-math.inf, 2.0]])
    assert scale.standardised(odd).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    one = program_facts.Scale(torch.tensor([1.0]), torch.tensor([2.0]))
    assert one.standardised(torch.tensor([[3.0, 1.0]])).tolist() == [[1.0, 0.0]]


def test_switches_targets_and_whole_numbers_have_no_scale():
    switches = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    numbers = torch.tensor([[0.0, 5.0], [2.0, 5.0]])
    batch = (switches, numbers, numbers, numbers.long(), torch.tensor(2.0), numbers[:, 0])
    scales = program_facts._inputs([batch, batch], frozenset({2}))
    assert set(scales) == {1, 5}
    assert scales[1].mean.tolist() == [1.0, 5.0]
    assert scales[1].std.tolist() == [1.0, 1.0], "what does not vary keeps its size"
    assert scales[5].std.tolist() == [1.0]


def test_whole_numbers_that_a_loss_compares_are_the_targets_whatever_their_shape():
    labels = torch.arange(6)[:, None] % 3
    batch = (torch.randn(6, 2), labels + 1, labels, torch.zeros(5, 1).long())
    model = nn.Linear(2, 3)
    targets, heard = program_facts._targets(
        model, batch, lambda m, b: F.cross_entropy(m(b[0]), b[2].flatten())
    )
    assert (targets, heard) == ({2}, {0})
    assert program_facts._same_numbers(labels, labels.float().flatten())
    assert not program_facts._same_numbers(labels, labels[:5])
