"""Every cause is named first, in the right module, and borne out; healthy nets raise no alarm."""

import pytest

from tests.diagnostics.faults import FAULTS, healthy


@pytest.mark.parametrize("fault", FAULTS)
def test_seeded_fault_is_named_first_located_and_not_refuted(fault: str) -> None:
    seed, cause, module = FAULTS[fault]
    diagnosis = seed().diagnose()
    assert diagnosis.worst is not None, "nothing found"
    assert (diagnosis.worst.cause, diagnosis.worst.module) == (cause, module), str(diagnosis)
    expected = None if cause == "scaler_collapse" else True
    assert diagnosis.worst.confirmed is expected, diagnosis.worst.evidence
    assert diagnosis.worst.remedy


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_healthy_net_raises_no_alarm_before_and_after_training(seed: int, padded: bool) -> None:
    case = healthy(seed, padded)
    assert not case.diagnose().alarms
    case.step(30)
    assert not case.diagnose().alarms
