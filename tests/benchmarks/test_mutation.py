"""The planting of faults: each is small, runs the right tests, and leaves the code as it was."""

import ast
import subprocess
from pathlib import Path

import pytest

from benchmarks.mutation import trial
from benchmarks.mutation.calls import Calls
from benchmarks.mutation.mutants import mutants_of, sample

ROOT = Path(__file__).parents[2]
CODE = '''
"""Words."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from a import b

@dataclass(frozen=True)
class Kept:
    """Say."""

def larger(a: "int", b: int = 1) -> int | None:
    """Say."""
    if a > b and a:
        return a + b
    raise ValueError(f"{a + 1}")

def name() -> str:
    torch.manual_seed(0)
    return "a" + "b"
'''


def test_a_fault_is_one_change_and_never_in_types_messages_or_texts(tmp_path):
    file = tmp_path / "code.py"
    file.write_text(CODE)
    found = mutants_of(file, tmp_path)
    assert [(m.line, m.what) for m in found] == [
        (11, "1 -> 2"),
        (13, "not: not (a > b and a)"),
        (13, "a > b and a -> a > b or a"),
        (13, "a > b -> a >= b"),
        (14, "return a + b -> return None"),
        (14, "a + b -> a - b"),
        (19, "return 'a' + 'b' -> return None"),
    ]
    sound = ast.unparse(ast.parse(CODE)).splitlines()
    for mutant in found:
        changed = [a for a, b in zip(sound, mutant.source.splitlines(), strict=True) if a != b]
        assert len(changed) == 1
    assert file.read_text() == CODE


def test_a_sample_is_the_same_for_the_same_seed():
    files = [ROOT / "src" / "training" / "metrics.py"]
    first, again, other = (sample(files, ROOT, 5, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len(first) == 5


def test_the_tests_of_a_file_are_its_own_first_and_then_those_of_its_folder():
    found = trial.tests_of("src/training/metrics.py", ROOT)
    assert [Path(name).relative_to(ROOT).as_posix() for name in found] == [
        "tests/training/test_metrics.py",
        "tests/training",
    ]


@pytest.fixture
def project(tmp_path):
    """Return a small project of its own, known to git."""
    for name, text in {
        "src/__init__.py": "",
        "src/room/__init__.py": "",
        "src/room/code.py": "def twice(x):\n    return x + x\n\n\ndef unused():\n    return 1\n",
        "tests/room/test_code.py": "from src.room.code import twice\n\n\n"
        "def test_twice():\n    assert twice(2) == 4\n    assert twice(3) == 6\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.slow
def test_a_noticed_fault_is_killed_another_survives_and_a_red_room_is_refused(project):
    file = project / "src/room/code.py"
    with trial.Trials(project, seconds=60) as trials:
        trials.check(project / "src/room")
        fates = {m.what: trials.fate(m) for m in mutants_of(file, project)}
    assert fates == {
        "return x + x -> return None": "killed",
        "x + x -> x - x": "killed",
        "return 1 -> return None": "survived",
        "1 -> 2": "survived",
    }
    file.write_text("def twice(x):\n    return x\n")
    with trial.Trials(project, seconds=60) as trials, pytest.raises(RuntimeError, match="killed"):
        trials.check(project / "src/room")


def test_a_fault_is_shown_to_the_tests_that_call_its_function_the_fastest_first(tmp_path):
    (tmp_path / "code.py").write_text(
        "A = 1\n\n\ndef f():\n    def g():\n        return 1\n\n    return g()\n\n\n"
        "class C:\n    @property\n    def h(self):\n        return 2\n"
    )
    calls = Calls(
        {"code.py:4": ["t::slow"], "code.py:5": ["t::quick", "t::slow"], "code.py:12": ["t::h"]},
        {"t::slow": 2.0, "t::quick": 1.0},
    )
    found = {line: calls.of("code.py", line, tmp_path) for line in (1, 4, 6, 8, 14)}
    assert found == {
        1: ["t::h", "t::quick", "t::slow"],
        4: ["t::quick", "t::slow"],
        6: ["t::quick", "t::slow"],
        8: ["t::quick", "t::slow"],
        14: ["t::h"],
    }


def test_of_many_tests_the_fastest_run_file_by_file_and_then_the_others_beside_them():
    seconds = {"a::1": 1.0, "b::1": 2.0, "a::2": 3.0, "b::2": 30.0, "b::3": 0.1, "c::1": 0.1}
    calls = Calls({}, seconds)
    calling = ["a::1", "b::1", "a::2", "b::2"]
    assert calls.within(calling, 6.0) == ["a::1", "a::2", "b::1"]
    assert calls.within(["b::2"], 6.0) == ["b::2"], "one at least"
    assert calls.within([], 6.0) == []
    assert calls.beside(calling) == ["b::3"]


def test_tests_that_go_deepest_into_a_file_come_first():
    calls = Calls({"a.py:1": ["t::1", "t::2"], "a.py:5": ["t::2"], "b.py:1": ["t::1"] * 3})
    assert calls.deepest("a.py", ["t::1", "t::2"]) == ["t::2", "t::1"]
