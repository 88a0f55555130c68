"""Posted programs are named, and their repaired twins are left in peace."""

import pytest

from benchmarks.posted.__main__ import judge, rates, summary
from benchmarks.posted.program import PROGRAMS, start, train

AT_THE_START = [name for name in PROGRAMS if name != "schedule_to_zero"]
A_FEW = AT_THE_START[::8]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", A_FEW)
def test_fault_is_named_first_and_the_twin_is_silent(name: str) -> None:
    faulty, repaired = (judge(PROGRAMS[name], twin, trained=False) for twin in (True, False))
    assert faulty.right, faulty
    assert repaired.right, repaired


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", sorted({*AT_THE_START} - {*A_FEW}))
def test_fault_is_named_first_and_the_twin_is_silent_before_training(name: str) -> None:
    faulty, repaired = (judge(PROGRAMS[name], twin, trained=False) for twin in (True, False))
    assert faulty.right, faulty
    assert repaired.right, repaired


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", PROGRAMS)
def test_fault_is_named_first_and_the_twin_is_silent_after_training(name: str) -> None:
    faulty, repaired = (judge(PROGRAMS[name], twin, trained=True) for twin in (True, False))
    assert faulty.right, faulty
    assert repaired.right, repaired


def test_twins_start_from_the_same_batches_and_training_is_repeatable() -> None:
    program = PROGRAMS["rents"]
    one, other = start(program, True), start(program, False)
    assert all((a[0] == b[0]).all() for a, b in zip(one.batches, other.batches, strict=True))
    weights = [next(train(program, False).model.parameters()) for _ in range(2)]
    assert (weights[0] == weights[1]).all()


def test_rates_count_the_first_name_and_silence() -> None:
    program = PROGRAMS["rents"]
    right = judge(program, True, False)
    missed, silent = right._replace(named=[]), right._replace(faulty=False, named=[])
    shown = {name: (r.hits, r.total) for name, r in rates([right, missed, silent]).items()}
    assert shown["detected"] == shown["first cause"] == (1, 2)
    assert shown["silent twins"] == (1, 1)
    assert len(summary([right, missed])) == 1
