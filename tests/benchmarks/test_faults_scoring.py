"""The arithmetic of the fault benchmark, on results made by hand."""

import doctest
import math

import pytest

from benchmarks.faults import report, scoring
from benchmarks.faults.scoring import Answer, Rate, Result, group, is_at, is_silent, score


def result(kind="fault", modules=("a",), answer=None, name="f", causes=("x", "y"), tuned=False):
    answers = {"ours": answer or Answer(0)}
    return Result(kind, name, "net", tuned, 0, causes if kind == "fault" else (), modules, answers)


def said(cause, module="a"):
    return Answer(1, "rule", (cause,), module)


def test_rates_count_the_first_alarm_of_every_faulty_run():
    results = [
        result(answer=said("x")),
        result(answer=said("y")),
        result(answer=said("z")),
        result(answer=said("x", module="b")),
        result(),
    ]
    scores = score(results, "ours")
    assert scores.recall[:2] == (4, 5)
    assert scores.cause[:2] == (3, 5)
    assert scores.primary[:2] == (2, 5)
    assert scores.module[:2] == (3, 5)
    assert scores.false_alarms[:2] == (0, 0)


def test_intervals_count_pairs_of_fault_and_net_and_not_their_seeds():
    ten = [result(answer=said("x"), name=f"f{seed % 2}") for seed in range(10)]
    recall = score(ten, "ours").recall
    assert recall == Rate(10, 10, 2)
    assert recall.interval == Rate(2, 2).interval


def test_a_cause_named_by_any_alarm_counts_where_all_alarms_were_recorded():
    both = Answer(2, "rule", ("z",), "a", any_causes=("z", "x"))
    scores = score([result(answer=both), result(answer=said("x"))], "ours")
    assert scores.any_alarm[:2] == (1, 1)
    assert scores.cause[:2] == (1, 2)


def test_a_fault_without_a_place_does_not_enter_the_module_rate():
    scores = score([result(modules=None, answer=said("x"))], "ours")
    assert scores.cause[:2] == (1, 1)
    assert scores.module[:2] == (0, 0)


def test_clean_runs_enter_the_false_alarms_and_nothing_else():
    results = [result("plain", None), result("trap", None, said("x")), result(answer=said("x"))]
    scores = score(results, "ours")
    assert scores.false_alarms[:2] == (1, 2)
    assert scores.recall[:2] == (1, 1)


def test_a_crash_is_a_miss_on_a_fault_and_an_alarm_on_a_clean_run():
    crash = Answer(0, error="ValueError: no")
    assert score([result(answer=crash)], "ours").recall[:2] == (0, 1)
    assert score([result("plain", None, crash)], "ours").false_alarms[:2] == (1, 1)
    assert not is_silent(crash)


def test_a_rule_that_stands_for_several_causes_is_right_when_one_of_them_is():
    answer = Answer(1, "rule", ("p", "y"), None)
    scores = score([result(answer=answer)], "ours")
    assert scores.cause[:2] == (1, 1)
    assert scores.primary[:2] == (0, 1)
    assert scores.module[:2] == (0, 1)


@pytest.mark.parametrize(
    ("module", "accepted", "expected"),
    [
        ("body.0", ("body.0",), True),
        ("body.0.linear", ("body.0",), True),
        ("body.01", ("body.0",), False),
        ("body", ("body.0",), False),
        ("", ("",), True),
        ("body", ("",), False),
        (None, ("",), False),
    ],
)
def test_a_module_is_right_at_an_accepted_place_or_beneath_it(module, accepted, expected):
    assert is_at(module, accepted) is expected


def test_wilson_interval_equals_the_hand_computed_one():
    z = 1.959963984540054
    low, high = Rate(9, 10).interval
    centre = (0.9 + z**2 / 20) / (1 + z**2 / 10)
    half = z * math.sqrt(0.9 * 0.1 / 10 + z**2 / 400) / (1 + z**2 / 10)
    assert low == pytest.approx(centre - half)
    assert high == pytest.approx(centre + half)
    assert (round(low, 4), round(high, 4)) == (0.5958, 0.9821)


def test_wilson_interval_stays_inside_the_unit_interval_and_is_open_for_nothing():
    assert Rate(0, 5).interval[0] == 0.0
    assert Rate(5, 5).interval[1] == pytest.approx(1.0)
    assert math.isnan(Rate(0, 0).value)
    assert all(math.isnan(bound) for bound in Rate(0, 0).interval)


def test_groups_keep_the_order_of_first_appearance():
    groups = group([result(name=n) for n in "bab"], lambda r: r.name)
    assert {name: len(part) for name, part in groups.items()} == {"b": 2, "a": 1}
    assert list(groups) == ["b", "a"]


@pytest.mark.parametrize("module", [scoring, report], ids=lambda m: m.__name__)
def test_examples_in_the_docstrings_hold(module):
    tested = doctest.testmod(module)
    assert tested.attempted > 0
    assert tested.failed == 0


def test_what_was_written_is_read_and_scored_the_same(tmp_path):
    whole_net = Answer(1, "rule", ("x",), "", any_causes=("x",))
    runs = [result(modules=("",), answer=whole_net), result("plain", None)]
    facts = {"command": "c", "faulty": 1, "clean": 1, "seeds": 1, "seconds": 1.0, "cores": 1}
    facts |= {"torch": "2", "tuned": [], "held_out": ["net"]}
    report.write_files(runs, facts, tmp_path)
    again = report.read_results(tmp_path / "faults.json")
    assert score(again, "ours") == score(runs, "ours")
