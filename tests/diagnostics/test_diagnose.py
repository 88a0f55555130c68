"""Every cause is named first, in the right module, and borne out; healthy nets raise no alarm."""

import dataclasses

import pytest
import torch
from torch import nn

from src.diagnostics import diagnose
from tests.diagnostics.faults import FAULTS, healthy


@pytest.mark.parametrize("fault", FAULTS)
def test_seeded_fault_is_named_first_located_and_not_refuted(fault: str) -> None:
    seed, cause, module = FAULTS[fault]
    diagnosis = seed().diagnose()
    assert diagnosis.worst is not None, "nothing found"
    assert (diagnosis.worst.cause, diagnosis.worst.module) == (cause, module), str(diagnosis)
    expected = None if cause in ("scaler_collapse", "not_learning") else True
    assert diagnosis.worst.confirmed is expected, diagnosis.worst.evidence
    assert diagnosis.worst.remedy


@pytest.mark.parametrize(
    "fault", ["zero features", "large feature", "dead ReLU", "saturated tanh", "sigmoid tower"]
)
def test_in_bfloat16_a_seeded_fault_is_named_first_and_located_all_the_same(fault: str) -> None:
    seed, cause, module = FAULTS[fault]
    worst = dataclasses.replace(seed(), half=True).diagnose().worst
    assert worst is not None, "nothing found"
    assert (worst.cause, worst.module) == (cause, module)
    assert worst.confirmed is not False


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_healthy_net_raises_no_alarm_before_and_after_training(seed: int, padded: bool) -> None:
    case = healthy(seed, padded)
    assert not case.diagnose().alarms
    case.step(30)
    assert not case.diagnose().alarms


@pytest.mark.parametrize(
    "loss_fn",
    [nn.MSELoss(), nn.functional.mse_loss, lambda model: model, 3.0],
    ids=["nn.MSELoss()", "mse_loss", "one argument", "a number"],
)
def test_what_is_no_loss_of_a_model_and_a_batch_is_refused_with_the_signature(loss_fn):
    with pytest.raises(ValueError, match=r"a function \(model, batch\) -> scalar loss") as refused:
        diagnose(nn.Linear(3, 1), [torch.randn(4, 3)], loss_fn)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("loss_fn", "returned"),
    [
        (lambda model, batch: model(batch) ** 2, r"returned a Tensor of shape \(4, 1\)"),
        (lambda model, batch: {"loss": model(batch).mean()}, "returned a dict"),
        (lambda model, batch: float(model(batch).mean()), "returned a float"),
        (lambda model, batch: None, "returned a NoneType"),
    ],
)
def test_a_loss_that_is_no_single_number_is_refused_by_what_it_is(loss_fn, returned):
    with pytest.raises(ValueError, match=returned):
        diagnose(nn.Linear(3, 1), [torch.randn(4, 3)], loss_fn)
