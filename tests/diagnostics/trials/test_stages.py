"""The way through the trials, on a bench whose outcomes are made up: each verdict, both sides."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from src.diagnostics import Finding
from src.diagnostics.trials import trials
from src.diagnostics.trials.program import NotApplicableError
from src.diagnostics.trials.repairs import (
    ADAM,
    ALL_AT_ONCE,
    FRESH,
    INPUTS,
    LOWER_RATE,
    STATE,
    TARGETS,
    both,
    standard_repairs,
)
from src.diagnostics.trials.result import Help, Row, shown
from src.diagnostics.trials.trials import Stages, _rises, _skills

FLAT, RISING = (0.0, 0.0, 0.0), (0.0, 0.2, 0.4)
STUCK = (0.3, 0.3, 0.3)


class Bench:
    """Gives rows with made-up skills by the name of the change, and remembers what was tried."""

    def __init__(self, as_is: tuple[float, ...] = FLAT, *alarms: Finding, **more: Any) -> None:
        self.alarms, self.rows, self.untried = list(alarms), list[Row](), list[str]()
        self.facts = SimpleNamespace(losses=more.get("losses", ("mse_loss",)))
        self.batches, self.steps = [1], 30
        self.skills = {"": as_is, **more.get("skills", {})}
        self.planted: dict[str, tuple[float, ...]] = more.get("planted", {})
        self.confirms = [alarm.cause for alarm in alarms]
        self.no_time = more.get("no_time", False)

    def find(self, name: str) -> Row | None:
        return next((r for r in self.rows if r.change == name and not r.planted), None)

    def run(self, repair: Any = None, planted: Any = None, enough: float = 0.0) -> Row | None:
        name = repair.name if repair else ""
        if self.no_time and not name:
            return None
        if repair and not planted and self.find(name):
            return self.find(name)
        known = self.planted if planted else self.skills
        values = known.get(name, self.skills[""] if not planted else FLAT)
        reference = self.find(FRESH.name if name.startswith(f"{FRESH.name} +") else "")
        before = max(reference.skill, 0.0) if reference else 0.0
        row = Row(
            change=name,
            skills=dict(zip((3, 10, 30), values, strict=True)),
            gain=max(values[-1], 0.0) - before,
            planted=bool(planted),
            confirms=bool(repair and set(self.confirms) & set(repair.causes)),
            changes=repair.family.count("+") + 1 if repair else 1,
        )
        self.rows.append(row)
        return row


@pytest.fixture(autouse=True)
def plants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "Planted", lambda facts, batches, steps: steps)


def verdict(*arguments: Any, **more: Any) -> Any:
    return Stages(Bench(*arguments, **more)).go()  # type: ignore[arg-type]


def learns(to: float) -> tuple[float, ...]:
    return 0.0, to / 2, to


CONFIRMED = {"confirmed": True}
SCALE = Finding(cause="misscaled_target", module="head", **CONFIRMED)


@pytest.mark.parametrize(
    ("skill", "name"), [(0.8, "learns"), (0.79, "program"), (math.nan, "program")]
)
def test_from_a_skill_of_08_on_nothing_is_needed(skill: float, name: str) -> None:
    told = verdict((skill, skill, skill), skills={ALL_AT_ONCE: FLAT})
    if skill == 0.79:  # it learns something, and nothing makes it learn more
        assert told.words == (
            "It learns (skill 0.79, 0.79, 0.79 after 3, 10, 30 steps), and all repairs at once "
            "make it learn no more. Nothing is needed."
        )
    else:
        assert told.name == name


def test_what_learns_all_the_same_is_told_with_what_a_replay_names() -> None:
    dead = Finding(cause="dead_input", module="fc")
    told = verdict((0.8, 0.85, 0.9), dead, dead, Finding(cause="unused"))
    assert told.name == "learns"
    assert told.words == (
        "It learns: skill 0.80, 0.85, 0.90 after 3, 10, 30 steps. All the same, diagnose() names "
        "dead_input, unused."
    )


def test_without_losses_or_time_nothing_is_judged() -> None:
    assert verdict(losses=()).name == "unjudged"
    told = verdict(no_time=True)
    assert (told.name, told.words) == ("unclear", "30 steps take longer than the time given.")


def test_a_finding_that_no_repair_answers_is_the_answer_even_where_it_learns() -> None:
    masked = Finding(cause="masked", module="attention", remedy="Invert.")
    told = verdict(learns(0.9), masked)
    assert told.name == "finding"
    assert told.words == (
        "masked at attention: the mask hides the real steps and keeps the padding. Invert."
    )


@pytest.mark.parametrize(("gain", "name"), [(0.1, "repair"), (0.09, "program")])
def test_a_tenth_of_skill_is_help(gain: float, name: str) -> None:
    told = verdict(FLAT, skills={ALL_AT_ONCE: learns(gain), TARGETS.name: learns(gain)})
    assert told.name == name


def test_the_repair_that_helps_is_told_with_both_skills() -> None:
    skills = {ALL_AT_ONCE: learns(0.9), TARGETS.name: learns(0.85), ADAM.name: learns(0.2)}
    told = verdict(FLAT, skills=skills)
    assert [row.change for row in told.rows] == [TARGETS.name], "the other is not close"
    assert told.words == (
        "As it is it does not learn (skill 0.00, 0.00, 0.00 after 3, 10, 30 steps). What helps: "
        "targets standardised (skill 0.00, 0.42, 0.85 after 3, 10, 30 steps)."
    )
    half = verdict(STUCK, skills={**skills, TARGETS.name: learns(0.9)})
    assert half.words.startswith("As it is it learns less than it could (skill 0.30, 0.30, 0.30")


def test_all_within_90_percent_of_the_best_are_to_choose_from_confirmed_ones_first() -> None:
    skills = {
        ALL_AT_ONCE: learns(0.95),
        ADAM.name: learns(0.9),
        INPUTS.name: learns(0.89),
        TARGETS.name: learns(0.82),
        LOWER_RATE.name: learns(0.8),
    }
    told = verdict(FLAT, SCALE, skills=skills)
    assert [row.change for row in told.rows] == [TARGETS.name, ADAM.name, INPUTS.name]
    quiet = verdict(FLAT, skills=skills)
    assert [row.change for row in quiet.rows] == [ADAM.name, INPUTS.name, TARGETS.name]


def test_where_no_single_repair_is_enough_pairs_are_tried_and_else_all_are_told() -> None:
    pair = both(TARGETS, INPUTS).name
    single = {INPUTS.name: learns(0.3), TARGETS.name: learns(0.2)}
    told = verdict(FLAT, skills={ALL_AT_ONCE: learns(0.9), **single, pair: learns(0.85)})
    assert [row.change for row in told.rows] == [pair]
    alone = verdict(FLAT, skills={ALL_AT_ONCE: learns(0.9)})
    assert [row.change for row in alone.rows] == [ALL_AT_ONCE]


def test_slow_is_what_rises_and_all_repairs_at_once_bring_further() -> None:
    told = verdict(RISING, skills={ALL_AT_ONCE: learns(0.9)})
    assert told.name == "slow"
    assert told.words == (
        "It is slow, not broken: skill 0.00, 0.20, 0.40 after 3, 10, 30 steps, and still rising. "
        "Train longer. All repairs at once get to 0.90."
    )
    told = verdict(RISING, skills={ALL_AT_ONCE: FLAT})
    assert (told.name, told.words[-14:]) == ("slow", " Train longer.")
    suggested = verdict(RISING, SCALE, skills={ALL_AT_ONCE: learns(0.9)})
    assert suggested.name == "repair", "a finding says what is slow about it"


@pytest.mark.parametrize(
    ("skills", "rises"),
    [
        ((0.0, 0.25, 0.27), True),
        ((0.0, 0.25, 0.269), False),
        ((0.1, 0.08, 0.2), True),
        ((0.1, 0.07, 0.2), False),  # it fell before
        ((-5.0, -3.0, -1.0), False),  # worse than a constant all the way
        ((math.nan, 0.0, 0.5), True),
        ((0.0, 0.5, math.nan), False),
        ((0.5,), False),
        ((0.0, 0.5), True),
    ],
)
def test_a_skill_rises_by_two_hundredths_without_having_fallen(
    skills: tuple[float, ...], rises: bool
) -> None:
    assert _rises(Row(change="", skills=dict(enumerate(skills)))) is rises


PLANTS = [
    ({"": learns(0.3)}, "targets", "The program can learn: a planted target"),
    ({"": learns(0.29)}, "program", "The program cannot learn even a planted target"),
    ({ALL_AT_ONCE: learns(0.3)}, "program", "Its own targets are learnt under no repair, a plan"),
]


@pytest.mark.parametrize(("planted", "name", "words"), PLANTS)
def test_a_planted_target_tells_data_from_program(planted: Any, name: str, words: str) -> None:
    told = verdict(FLAT, skills={ALL_AT_ONCE: FLAT}, planted=planted)
    assert told.name == name
    assert told.words.startswith(words)


def test_what_cannot_be_planted_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise NotApplicableError("no input is a tensor of numbers")

    monkeypatch.setattr(trials, "Planted", refuse)
    told = verdict(FLAT)
    assert told.name == "unclear"
    words = "Nothing is learnt, under no repair, and no input is a tensor of numbers."
    assert told.words == words


def test_a_confirmed_finding_outlives_trials_that_show_nothing() -> None:
    assert verdict(FLAT, SCALE).name == "finding"
    doubted = Finding(cause="misscaled_target", module="head")
    assert verdict(FLAT, doubted).name == "program"
    bench = Bench(FLAT)
    bench.untried = ["clipping"]
    told = Stages(bench).go()  # type: ignore[arg-type]
    assert (told.name, told.words) == (
        "unclear",
        "Nothing is learnt, under no repair; no time was left to plant a target.",
    )


def test_after_steps_at_too_high_a_rate_fresh_weights_are_tried_first() -> None:
    for taken, first in ((True, FRESH.name), (False, LOWER_RATE.name)):
        rate = Finding(cause="learning_rate_too_high", evidence={"steps_taken": taken})
        bench = Bench(FLAT, rate, skills={ALL_AT_ONCE: learns(0.9)})
        Stages(bench).go()  # type: ignore[arg-type]
        assert bench.rows[2].change == first, "after the program as it is, and all at once"
    stages = Stages(Bench(FLAT, SCALE))  # type: ignore[arg-type]
    assert not stages._is_spoilt()
    assert not Stages(Bench(FLAT))._is_spoilt()  # type: ignore[arg-type]


def test_a_trial_that_breaks_down_says_with_what() -> None:
    assert _skills(Row(change="", skills={}, error="ValueError: odd")) == (
        "it stops with ValueError: odd"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(-9.99, "-9.99"), (-10.0, "< -9.99"), (1.0, "1.00"), (math.nan, "diverged")]
)
def test_a_skill_is_shown_with_two_digits(value: float, text: str) -> None:
    assert shown(value) == text


def test_a_row_has_the_last_skill_and_a_title() -> None:
    row = Row(change="clip", skills={1: 0.5, 2: 0.25})
    assert (row.skill, row.title) == (0.25, "clip")
    assert Row(change="", skills={1: math.nan}).skill == -math.inf
    assert Row(change="", skills={}).skill == -math.inf
    assert Row(change="", skills={}, planted=True).title == "none, planted target"
    assert (row.start, row.changes, row.planted, row.gain) == ("as found", 1, False, 0.0)
    assert (row.cause, row.do, row.confirms, row.error) == ("", "", False, "")
    plain = Row(change="", skills={1: math.nan}, gain=math.inf).to_dict()
    assert (plain["change"], plain["skills"], plain["gain"]) == ("none", {"1": "nan"}, "inf")


@pytest.mark.parametrize(
    ("name", "alarm"),
    [
        *(("repair", True), ("finding", True), ("program", True), ("learns", False)),
        *(("slow", False), ("targets", False), ("unclear", False), ("unjudged", False)),
    ],
)
def test_slow_is_no_alarm_and_neither_are_the_data(name: str, alarm: bool) -> None:
    told = Help(verdict=name, words="Words.")
    assert told.alarm is alarm
    assert told.summary() == "Words."
    assert told.to_dict()["alarm"] is alarm


def test_the_table_shows_what_is_to_choose_from_beside_the_program_as_it_is() -> None:
    as_is = Row(change="", skills={1: 0.0, 10: 0.5})
    failed = Row(change="b", skills={}, error="odd")
    best = Row(change="a", skills={1: 0.25}, cause="frozen", do="Thaw.")
    told = Help(verdict="repair", words="Words.", rows=(best,), trials=(as_is, failed, best))
    heads = ["change", "start", "skill at 1", "skill at 10", "cause", "what to do"]
    first = ["none", "as found", "0.00", "0.50", "", ""]
    assert told.cells() == [heads, first, ["a", "as found", "0.25", "", "frozen", "Thaw."]]
    assert told.summary().splitlines() == [
        "Words.",
        "",
        "change  start     skill at 1  skill at 10  cause   what to do",
        "none    as found  0.00        0.50",
        "a       as found  0.25                     frozen  Thaw.",
    ]
    every = Help(verdict="unclear", words="", trials=(as_is, failed))
    assert every.cells()[2] == ["b", "as found", "failed", "", "", "odd"]


def test_repairs_of_two_families_become_one_with_fresh_weights_first_and_optimisers_last() -> None:
    joined = both(ADAM, FRESH)
    assert joined.name == "fresh weights + Adam at 1e-3"
    assert joined.family == "weights + optimizer"
    assert joined.do == f"{FRESH.do} {ADAM.do}"
    assert list(joined.causes) == list(dict.fromkeys([*FRESH.causes, *ADAM.causes]))
    assert both(LOWER_RATE, TARGETS).name.startswith(TARGETS.name)
    assert both(TARGETS, INPUTS).name.startswith(TARGETS.name), "else in their order"


def test_all_standard_repairs_are_one_with_what_findings_suggest_beside_them() -> None:
    applied: list[str] = []

    def noting(repair: Any, fails: bool = False) -> Any:
        def apply(_: Any) -> None:
            applied.append(repair.name)
            if fails:
                raise NotApplicableError("nothing to change")

        return replace(repair, apply=apply)

    state, rate = noting(STATE, fails=True), noting(LOWER_RATE)
    everything = standard_repairs([state, rate])
    assert (everything.name, everything.family) == (ALL_AT_ONCE, "all")
    program: Any = SimpleNamespace(
        model=SimpleNamespace(modules=list, parameters=list, named_modules=list),
        optimizers=[],
        facts=SimpleNamespace(losses=[], inputs={}),
        around=[],
        change_batch=[],
    )
    everything.apply(program)
    assert applied == [STATE.name], "of the optimiser there is a standard one"
    assert program.clip_norm == 1.0
    assert len(program.around) == 1
