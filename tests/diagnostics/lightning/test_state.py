from collections import deque

import pytest
import torch

from src.callbacks import GradientHealth
from src.diagnostics.findings import Diagnosis, Finding
from src.diagnostics.lightning.callback import History
from src.diagnostics.lightning.state import from_state, to_state
from src.diagnostics.measuring.counts import GradientStats, Measurement
from src.diagnostics.measuring.suspicion import Suspicion, SuspicionWindows
from tests.diagnostics.lightning.small_modules import DEAD, Plain, fit

STATS = GradientStats(6, 5, 1, 0.1, 0.25, None)
SPARSE = GradientStats(4, 4, 0, 2.0, 1.0, 2)


def through_a_file(value, tmp_path):
    torch.save(to_state(value), tmp_path / "state")
    return from_state(torch.load(tmp_path / "state", weights_only=True))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, "text", True],
        {"a": (1, {"b"}), 3: frozenset({Suspicion("dead rows", "w")})},
        deque([1, 2], maxlen=5),
        Diagnosis(findings=(Finding(cause="dead_input", indices=("volume", 3)),), loss=0.5),
        [
            Measurement(0, {"w": STATS, "b": SPARSE}, ("c",), 1024.0),
            Measurement(1, {"b": SPARSE}),
            Measurement(2, {"w": STATS, "b": SPARSE}, ("c",), 512.0),
        ],
    ],
)
def test_what_is_remembered_comes_back_from_a_file_that_can_run_nothing(value, tmp_path):
    assert through_a_file(value, tmp_path) == value


def test_a_history_goes_on_being_thinned_where_it_was(tmp_path):
    whole, half = History(most=3), History(most=3)
    for step in range(11):
        whole.add({"step": step})
        half.add({"step": step})
        if step == 5:
            half = through_a_file(half, tmp_path)
    assert half.records == whole.records


def test_windows_of_measurements_come_back_with_what_they_have_seen(tmp_path):
    windows = SuspicionWindows()
    windows.add(Measurement(0, {"w": STATS}))
    windows.sightings.add("w", torch.tensor([True, False]), torch.tensor([True]))
    back = through_a_file(windows, tmp_path)
    assert back.sightings.dead("w") == windows.sightings.dead("w") == ((1,), ())
    assert back._measurements == windows._measurements


def test_what_is_no_plain_value_is_refused():
    with pytest.raises(TypeError, match="a checkpoint cannot hold a object"):
        to_state({"a": object()})


def test_a_run_that_goes_on_reports_what_it_measured_before(tmp_path):
    health = GradientHealth(every_n_steps=1, details_every_n_steps=1)
    fit(Plain(), [health], tmp_path)
    torch.save(health.state_dict(), tmp_path / "state")
    other = GradientHealth(every_n_steps=1, details_every_n_steps=1)
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    other.on_fit_start(None, Plain())
    assert other.report() == health.report()
    assert other.report()["gradient_history"]["dead"]["columns"] == list(DEAD)
