"""Gradients never cleared: seen in the gradients themselves, or in their recorded norms."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from src.diagnostics import TrainingContext, diagnose
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
