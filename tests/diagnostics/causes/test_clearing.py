"""Gradients never cleared: seen in the gradients themselves, or in their recorded norms."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from src.diagnostics import TrainingContext, diagnose
from src.diagnostics.causes import CAUSES, clearing
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.causes.clearing import find_accumulating
from src.diagnostics.causes.experiment import Experiment
from src.diagnostics.symptoms.replay import find_symptoms
from src.diagnostics.symptoms.symptoms import ParameterSymptoms, Symptoms


def symptoms(entry, grads, **facts):
    weight = ParameterSymptoms("w", "", torch.ones(2), True, True, torch.tensor(entry))
    weight.grads = [torch.tensor(grad) for grad in grads]
    seen = Symptoms(parameters={"w": weight}, context=TrainingContext(**facts))
    seen.loss_values = [1.0] * len(grads)
    return seen


def test_what_a_batch_leaves_of_a_gradient_is_the_step_before():
    # (3, 4) + (3, 0), which was not cleared: without the second batch the norm is 5
    found = find_accumulating(symptoms([6.0, 4.0], [[0.0, 9.0], [3.0, 0.0]], grad_norms=[5.0, 7.2]))
    assert found[0].evidence["left"] == found[0].evidence["step_before"] == 5.0
    assert found[0].evidence["batches"] == [1]


@pytest.mark.parametrize("norms", [None, [7.2], [4.9, 7.2], [0.0, 7.2], [math.nan, 7.2]])
def test_without_the_norm_of_the_step_before_nothing_is_shown(norms):
    assert not find_accumulating(symptoms([6.0, 4.0], [[3.0, 0.0]], grad_norms=norms))


def test_a_cleared_gradient_leaves_nothing():
    assert not find_accumulating(symptoms([3.0, 4.0], [[3.0, 4.0]], grad_norms=[5.0, 5.0]))


def test_a_gradient_that_clipping_shortened_is_found_again():
    facts = {"grad_norms": [10.0, 7.2], "clip_norm": 5.0}
    assert find_accumulating(symptoms([6.0, 4.0], [[3.0, 0.0]], **facts))


def test_what_no_optimizer_holds_nobody_clears():
    seen = symptoms([6.0, 4.0], [[3.0, 0.0]], grad_norms=[5.0, 7.2])
    seen.parameters["w"].optimized = False
    assert not find_accumulating(seen)


def test_a_step_of_two_batches_adds_their_mean():
    grads, facts = [[2.0, 0.0], [0.0, 2.0]], {"accumulate_grad_batches": 2}
    assert find_accumulating(symptoms([4.0, 5.0], grads, grad_norms=[5.0, 6.4], **facts))
    assert not find_accumulating(symptoms([1.0, 1.0], grads, grad_norms=[5.0, 1.4], **facts))


def trained(clears, rate=0.05, steps=12, accumulate=1):
    """Train until before the last step; return what `diagnose` takes, with the whole record."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
    model.append(nn.Linear(16, 1))
    x = torch.randn(256, 4)
    batches = list(zip(x.split(32), x[:, :2].sum(1, keepdim=True).split(32), strict=True))
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    norms, losses, turn = [], [], 0

    def loss_fn(model, batch):
        return mse_loss(model(batch[0]), batch[1])

    for step in range(steps + 1):
        used = [batches[(turn + i) % len(batches)] for i in range(accumulate)]
        total = torch.stack([loss_fn(model, batch) for batch in used]).mean()
        total.backward()
        turn += accumulate
        norms.append(float(nn.utils.get_total_norm([p.grad for p in model.parameters()])))
        losses.append(float(total.detach()))
        if step < steps and math.isfinite(losses[-1]):
            optimizer.step()
            if clears:
                optimizer.zero_grad()
        else:
            break
    context = TrainingContext(
        grad_norms=norms, losses=losses, step=step, accumulate_grad_batches=accumulate
    )
    others = [batch for batch in batches if not any(batch is b for b in used)]
    return (model, used + others, loss_fn, optimizer), context


@pytest.mark.parametrize(("rate", "accumulate"), [(0.02, 1), (0.02, 2), (0.05, 1)])
def test_a_training_that_never_clears_is_named_first(rate, accumulate):
    case, context = trained(False, rate, accumulate=accumulate)
    worst = diagnose(*case, context=context).worst
    assert worst is not None
    assert (worst.cause, worst.confirmed) == ("accumulating", True)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_training_that_clears_is_not_accused(accumulate):
    case, context = trained(True, 0.02, accumulate=accumulate)
    assert not diagnose(*case, context=context).alarms


@pytest.mark.parametrize("clears", [False, True])
def test_where_all_is_lost_the_recorded_norms_tell(clears):
    case, context = trained(clears)
    for parameter in case[0].parameters():  # as one more step into infinity leaves it
        parameter.grad.fill_(math.nan)
        parameter.data.fill_(math.nan)
    context.losses[-1] = context.grad_norms[-1] = math.nan
    alarms = diagnose(*case, context=context).alarms
    assert (alarms[0].cause == "accumulating") is not clears
    if not clears:
        assert alarms[0].evidence["unlike_uncleared"] < 2 < alarms[0].evidence["unlike_cleared"]


def test_a_rate_too_high_is_lost_as_well_and_is_no_accumulation():
    case, context = trained(True, 20.0, steps=40)
    assert not math.isfinite(context.losses[-1])
    causes = [finding.cause for finding in diagnose(*case, context=context).alarms]
    assert "accumulating" not in causes


def test_a_copy_goes_on_as_under_a_scaler_where_its_gradients_overflow():
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    batch = torch.full((1, 1), 32.0)

    def loss_fn(model, batch):
        return (model.weight.half() * batch.half()).sum() / 4  # slope 8: more than 8188 x overflows

    context = TrainingContext(loss_scale=65536.0)
    seen = find_symptoms(model, [batch], loss_fn, [optimizer], context)
    experiment = Experiment(model, [batch], loss_fn, [optimizer], seen)
    assert not math.isfinite(experiment.replay().norm)
    copy, optimizers = experiment.copy_all()
    assert experiment.step(copy, optimizers).norm == 8.0
    assert copy.weight.item() == pytest.approx(1 - 8e-3)


@pytest.mark.parametrize(
    ("entry", "grads", "facts", "ratio"),
    [
        ([8.0, 0.0], [[2.0, 0.0]], {}, 4.0),
        ([7.9, 0.0], [[2.0, 0.0]], {}, None),
        ([8.0, 0.0], [[0.0, 1.0], [2.0, 0.0]], {}, 4.0),  # beside the largest fresh one
        ([16.0, 0.0], [[2.0, 0.0]], {"accumulate_grad_batches": 2}, 4.0),
        ([15.9, 0.0], [[2.0, 0.0]], {"accumulate_grad_batches": 2}, None),
        ([0.0, 0.0], [[2.0, 0.0]], {}, None),
        ([8.0, 0.0], [], {}, None),
        ([8.0, 0.0], [[0.0, 0.0]], {}, math.inf),
    ],
)
def test_a_gradient_four_times_a_fresh_one_was_never_cleared(entry, grads, facts, ratio):
    found = find_accumulating(symptoms(entry, grads, **facts))
    assert [c.evidence["ratio"] for c in found] == ([ratio] if ratio else [])
    for candidate in found:
        assert candidate.fraction == 1 - 1 / ratio
        assert candidate.evidence["gradient_on_entry"] == entry[0]
        assert candidate.evidence["fresh_gradient"] == entry[0] / ratio
        assert candidate.remedy == "Call optimizer.zero_grad() before every backward pass."


def test_the_middle_parameter_decides_and_rounding_takes_no_part():
    seen = symptoms([8.0, 0.0], [[1.0, 0.0]])
    for name, entry in (("b", 1.0), ("c", 1e-6), ("d", 1e-6)):
        other = symptoms([entry, 0.0], [[entry, 0.0]]).parameters["w"]
        other.name, seen.parameters[name] = name, other
    (found,) = find_accumulating(seen)
    assert found.evidence["ratio"] == 4.5, "the middle of 8 and 1"
    assert found.evidence["gradient_on_entry"] == 9.0
    seen.parameters["c"].entry = torch.tensor([1e-3, 0.0])
    seen.parameters["c"].grads = [torch.tensor([1e-3, 0.0])]
    assert find_accumulating(seen) == []


def test_what_is_left_is_told_with_its_share_of_the_present_norm():
    (found,) = find_accumulating(symptoms([6.0, 4.0], [[3.0, 0.0]], grad_norms=[5.0, 8.0]))
    told = {"gradient_on_entry": 8.0, "left": 5.0, "step_before": 5.0, "batches": [0]}
    assert found.evidence == told
    assert found.fraction == 5 / 8
    (much,) = find_accumulating(symptoms([6.0, 4.0], [[3.0, 0.0]], grad_norms=[5.0, 4.0]))
    assert much.fraction == 1.0


def test_half_of_what_is_left_must_be_of_parameters_that_somebody_clears():
    for cleared, found in ((4.0, True), (2.0, False)):
        other = (25.0 - cleared**2) ** 0.5
        seen = symptoms([cleared, 1.0], [[0.0, 1.0]], grad_norms=[5.0, 7.0])
        seen.parameters["w"].optimized = True
        kept = symptoms([other, 0.0], [[0.0, 0.0]]).parameters["w"]
        kept.name, kept.optimized, seen.parameters["kept"] = "kept", False, kept
        assert bool(clearing._step_before(seen)) is found


def test_a_batch_that_reaches_but_a_part_shows_no_step_before():
    seen = symptoms([6.0, 4.0], [[0.0, 9.0], [3.0, 0.0]], grad_norms=[5.0, 7.2])
    assert clearing._step_before(seen)
    seen.loss_values.append(1.0)
    assert not clearing._step_before(seen)
    seen.parameters["w"].grads = []
    assert clearing._of_one_step(seen) == [range(0, 1), range(1, 2), range(2, 3)]


@pytest.mark.parametrize(("left", "same"), [(5.00004, True), (5.00006, True), (5.0001, False)])
def test_two_norms_are_the_same_up_to_rounding_of_the_larger_one(left, same):
    assert clearing._is_same(left, 5.0, 8.0) is same
    assert clearing._is_same(left, 5.0, 1.0) is (left < 5.00006)
    assert clearing._is_same(5.0 - (left - 5.0), 5.0, 8.0) is same


def test_series_are_compared_from_their_starts_and_by_their_middle():
    assert clearing.unlikeness([2.0, 2.0, 2.0, 2.0], [1.0, 2.0, 4.0, 1.0]) == math.log(2)
    assert clearing.unlikeness([1.0, 0.0, 4.0], [1.0, 9.0, 1.0]) == math.log(4)
    assert clearing.unlikeness([1.0, math.inf, 4.0], [1.0, 9.0, 1.0]) == math.log(4)
    assert clearing.unlikeness([1.0, 4.0], [1.0, math.inf]) == math.inf
    assert clearing.unlikeness([1.0], [1.0]) == math.inf


@pytest.mark.parametrize(
    ("norms", "losses", "step", "lost"),
    [
        ([1.0] * 3, [1.0, 2.0, 10.1], 3, True),
        ([1.0] * 3, [1.0, 2.0, 10.0], 3, False),
        ([1.0] * 3, [1.0, 2.0, math.nan], 3, True),
        ([1.0] * 3, [1.0, 2.0, 10.1], 2, True),
        ([1.0] * 3, [1.0, 2.0, 10.1], 1, False),  # more is on record than there were steps
        ([1.0] * 3, [1.0, 2.0, 10.1], 4, False),  # less is
        ([1.0] * 3, [1.0, 10.1], 3, False),
        ([1.0] * 3, [1.0, 2.0, 10.1], None, False),
    ],
)
def test_a_training_is_lost_above_ten_times_its_first_loss_with_all_steps_on_record(
    norms, losses, step, lost
):
    context = TrainingContext(grad_norms=norms, losses=losses, step=step)
    assert clearing._is_known_and_lost(context) is lost


GROWING = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


def tried(monkeypatch, recorded, cleared, summed, learns=True):
    """Return what is found where copies that clear, and do not, have these norms."""

    def course(experiment, clears, steps):
        assert steps == len(recorded)
        return (cleared if clears else summed), [1.0, 0.5 if learns else 1.0]

    monkeypatch.setattr(clearing, "_course", course)
    losses = [1.0] * (len(recorded) - 1) + [99.0]
    seen = symptoms(
        [1.0, 1.0], [[1.0, 1.0]], grad_norms=recorded, losses=losses, step=len(recorded)
    )
    return clearing.try_clearing(SimpleNamespace(context=seen.context, symptoms=seen))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True),
        ({"learns": False}, False),
        ({"cleared": [2.9] * 6}, True),
        ({"cleared": [3.1] * 6}, False),
        ({"cleared": [0.34] * 6}, True),
        ({"cleared": [0.33] * 6}, False),
        ({"summed": [1.0] * 6}, False),  # it did not grow as those do that clear nothing
        ({"cleared": GROWING}, False),  # as it would have with them cleared
        ({"recorded": GROWING[:5], "cleared": [1.0] * 5, "summed": GROWING[:5]}, False),
    ],
)
def test_a_lost_training_is_compared_with_copies_that_clear_and_that_do_not(
    monkeypatch, change, found
):
    case = {"recorded": GROWING, "cleared": [1.0] * 6, "summed": GROWING, **change}
    candidates = tried(monkeypatch, **case)
    assert len(candidates) == found
    for candidate in candidates:
        assert (candidate.confirmed, candidate.fraction) == (True, 1.0)
        told = {"unlike_uncleared": 1.0, "unlike_cleared": pytest.approx(8.0), "steps": 6}
        assert candidate.evidence == told


def test_what_came_with_the_model_is_compared_with_the_first_batchs_gradient():
    for entry, verdict in (([3.0, 4.0], False), ([3.0, 4.1], True), ([0.0, 0.0], None)):
        seen = symptoms(entry, [[3.0, 4.0]])
        baseline = SimpleNamespace(grads={"w": torch.tensor([3.0, 4.0])}, norm=5.0)
        experiment = SimpleNamespace(symptoms=seen, baseline=baseline)
        claim = Candidate(evidence={"gradient_on_entry": 7.0})
        told = {"before": 7.0, "after": 5.0}
        assert clearing.clear_and_compare(experiment, claim) == (verdict, told)


def test_the_step_before_must_be_found_again_in_another_replay():
    seen = symptoms([6.0, 4.0], [[3.0, 0.0]])
    for fresh, verdict in (([3.0, 0.0], True), ([2.0, 0.0], False)):

        def replay(batch, fresh=fresh):
            assert batch == 4
            return SimpleNamespace(grads={"w": torch.tensor(fresh)})

        numbers = {"step_before": 5.0, "gradient_on_entry": 7.2, "batches": [4]}
        experiment = SimpleNamespace(symptoms=seen, replay=replay)
        confirmed, told = clearing.clear_and_compare(experiment, Candidate(evidence=numbers))
        assert confirmed is verdict
        assert told["before"] == 5.0


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        ({"ratio": 4.0}, "accumulating"),
        ({"step_before": 5.0}, "accumulating.shown"),
        ({"unlike_cleared": 8.0}, "accumulating.shown"),
    ],
)
def test_an_identity_stands_before_sizes_alone(evidence, name):
    assert CAUSES["accumulating"].standing(Candidate(evidence=evidence)).name == name
