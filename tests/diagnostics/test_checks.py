"""What was looked at is told: found, ruled out, or not to be looked for, and why."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.diagnostics import CAUSES, Diagnosis, Finding, diagnose, explain
from src.diagnostics.causes.cause import Cause
from src.diagnostics.checks import list_checks, summary
from src.diagnostics.explain import parts
from src.diagnostics.findings import Check
from src.diagnostics.output import alarms, read_baseline, to_sarif, write_baseline
from src.diagnostics.symptoms.symptoms import Symptoms
from src.diagnostics.testing import assert_healthy
from tests.diagnostics.faults import FAULTS, healthy, set_columns, with_x

DEAD = "dead_input@project.weight"


@pytest.fixture(scope="module")
def dead() -> Diagnosis:
    return with_x(set_columns(slice(4, 9), 0.0)).diagnose()


def outcome_of(diagnosis: Diagnosis, cause: str) -> tuple[str, str]:
    return next((c.outcome, c.why) for c in diagnosis.checks if c.cause == cause)


def test_every_cause_is_told_of_once_in_their_order(dead: Diagnosis) -> None:
    assert [check.cause for check in dead.checks] == list(CAUSES)


def test_what_is_found_ruled_out_and_not_to_be_looked_for_is_told_apart(dead: Diagnosis) -> None:
    assert outcome_of(dead, "dead_input") == ("failed", "at project.weight")
    assert outcome_of(dead, "duplicate_input") == ("passed", "")
    assert outcome_of(dead, "masked") == ("not applicable", "no mask over time steps was met")
    assert outcome_of(dead, "overclipped") == ("not applicable", "no clipping is known of")
    assert outcome_of(dead, "structural")[0] == "passed"


def test_without_an_optimiser_nothing_is_said_of_rates() -> None:
    case = healthy()
    told = diagnose(case.model, case.batches, case.loss_fn)
    for cause in ("learning_rate_too_high", "not_optimized", "stale_optimizer"):
        assert outcome_of(told, cause) == ("not applicable", "no optimizer was given")


def test_a_consequence_is_told_with_its_root() -> None:
    diagnosis = FAULTS["huge rate"][0]().diagnose()
    failed = [check for check in diagnosis.checks if check.outcome == "failed"]
    assert failed[0].cause == "learning_rate_too_high"
    assert {check.cause for check in failed} == {finding.cause for finding in diagnosis.alarms}


def test_checks_and_identifiers_survive_json(dead: Diagnosis) -> None:
    told = json.loads(json.dumps(dead.to_dict(), allow_nan=False))
    assert told["findings"][0]["id"] == DEAD
    assert Diagnosis.from_dict(told).checks == dead.checks


def test_sarif_holds_rules_places_levels_and_fingerprints(dead: Diagnosis) -> None:
    (run,) = to_sarif(dead.to_dict(), known=[DEAD])["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(CAUSES)
    first, *others = run["results"]
    assert (first["ruleId"], first["level"]) == ("dead_input", "error")
    place = first["locations"][0]["logicalLocations"][0]
    assert place["fullyQualifiedName"] == "project.weight"
    assert first["partialFingerprints"] == {"whygrad/v1": DEAD}
    assert first["baselineState"] == "unchanged"
    assert {other["level"] for other in others} == {"note"}


def test_sarif_has_what_code_hosts_ask_for(dead: Diagnosis) -> None:
    told = dead.to_dict()
    told["findings"][0]["evidence"]["line"] = "my net.py:12: return x.round()"
    (run,) = to_sarif(told, source="conf/model.yaml")["runs"]
    for rule in run["tool"]["driver"]["rules"]:
        parts = ("shortDescription", "fullDescription", "help")
        assert all(rule[part]["text"] for part in parts)
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert places[0]["artifactLocation"]["uri"] == "my%20net.py"
    assert places[0]["region"] == {"startLine": 12}
    assert all(place["artifactLocation"]["uri"] == "conf/model.yaml" for place in places[1:])
    assert all(place["region"]["startLine"] == 1 for place in places[1:])


def test_only_what_a_baseline_does_not_hold_is_new(dead: Diagnosis, tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    write_baseline(path, dead.to_dict())
    assert read_baseline(path) == {DEAD}
    assert alarms(dead.to_dict(), known=read_baseline(path)) == []
    path.write_text('{"known": [1]}')
    with pytest.raises(ValueError, match=r"known.json: expected a baseline"):
        read_baseline(path)


def mean_square(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def test_an_ill_model_fails_a_test_with_place_and_remedy_unless_that_is_known() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    batches = [(torch.cat([x, torch.zeros(64, 1)], 1), x.sum(1, keepdim=True))]
    model = nn.Linear(5, 1)
    with pytest.raises(AssertionError, match=r"dead_input at weight.*Drop these features"):
        assert_healthy(model, batches, mean_square)
    assert_healthy(model, batches, mean_square, known=["dead_input@weight"])
    assert_healthy(nn.Linear(4, 1), [(x, x.sum(1, keepdim=True))], mean_square)


@pytest.mark.parametrize("name", CAUSES)
def test_each_cause_is_explained(name: str) -> None:
    told = explain(name)
    assert told.startswith(f"{name}: {CAUSES[name].meaning}\nfound: ")
    assert "\nproved: " in told or CAUSES[name].benign or CAUSES[name].leftover


def test_an_explanation_tells_what_a_cause_needs_brings_about_and_is_confused_with() -> None:
    told = dict(line.split(": ", 1) for line in explain("misscaled_target").splitlines()[1:])
    assert list(told) == [
        *("found", "proved", "at a low dose", "needs", "confused with", "brings about"),
    ]
    assert "learning_rate_too_low" in told["confused with"]
    assert "learning_rate_too_high" in told["brings about"].split(", ")
    assert "misscaled_target" not in told["brings about"].split(", "), "it does not explain itself"
    by_trial = dict(line.split(": ", 1) for line in explain("learning_rate_too_low").splitlines())
    assert by_trial["proved"] == "The trial that finds it is the proof."
    assert "at a low dose" not in by_trial
    benign = next(name for name, cause in CAUSES.items() if cause.benign)
    assert explain(benign).endswith("alarm: Never: there is nothing to repair.")
    assert "alarm:" not in explain("misscaled_target")
    free = next(name for name, cause in CAUSES.items() if not cause.needs)
    assert "\nneeds:" not in explain(free)


def test_a_cause_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"one of .*dead_input.*got 'dead'"):
        explain("dead")


FROZEN = Finding(cause="frozen", module="a")
ROOT = Finding(cause="zero_init", module="b")


@pytest.mark.parametrize(
    ("proved", "told", "failures", "outcome"),
    [
        ([FROZEN], [FROZEN], {}, ("failed", "at a")),
        ([FROZEN], [FROZEN], {"frozen": "odd"}, ("failed", "at a")),
        ([], [], {"frozen": "odd"}, ("not applicable", "odd")),
        ([], [], {}, ("passed", "")),
        ([FROZEN], [ROOT], {}, ("failed", "at a, as comes of zero_init")),
        (
            [FROZEN],
            [ROOT, Finding(cause="zero_init", module="c"), Finding(cause="masked")],
            {},
            ("failed", "at a, as comes of zero_init, masked"),
        ),
        (
            [Finding(cause="frozen", module="a", confirmed=False)],
            [],
            {},
            ("passed", "suspected at a, and refuted by an intervention"),
        ),
        (
            [Finding(cause="frozen", module="a", benign=True)],
            [],
            {},
            ("passed", "at a, where there is nothing to repair"),
        ),
        (
            [FROZEN],
            [Finding(cause="frozen", module="a", benign=True)],
            {},
            ("passed", "at a, where there is nothing to repair"),
        ),
        (
            [Finding(cause="frozen", module=name) for name in "abca"],
            [Finding(cause="frozen", module=name) for name in "abc"],
            {},
            ("failed", "at a, b, c"),
        ),
        (
            [Finding(cause="frozen", module=name) for name in "abcde"],
            [Finding(cause="frozen", module=name) for name in "abcde"],
            {},
            ("failed", "at a, b, c and 2 more"),
        ),
    ],
)
def test_what_came_of_looking_for_a_cause_is_told_in_words(
    proved: list[Finding], told: list[Finding], failures: dict[str, str], outcome: tuple[str, str]
) -> None:
    checks = list_checks(Symptoms(), proved, told, failures)
    assert [check.cause for check in checks] == list(CAUSES)
    assert [(c.outcome, c.why) for c in checks if c.cause == "frozen"] == [outcome]


def test_outcomes_are_summed_up_in_a_line_each() -> None:
    checks = [
        Check(cause="dead_input", outcome="passed"),
        Check(cause="frozen", outcome="failed", why="at a"),
        Check(cause="masked", outcome="passed", why="at b"),
    ]
    assert list(summary(checks)) == ["failed: frozen (at a)", "passed: dead_input, masked (at b)"]


def sarif(**claims: Any) -> dict[str, Any]:
    told = Diagnosis(findings=(Finding(cause="frozen", **claims),)).to_dict()
    (result,) = to_sarif(told)["runs"][0]["results"]
    return result


@pytest.mark.parametrize(
    ("claims", "level"),
    [
        ({"confirmed": True}, "error"),
        ({"confirmed": None}, "warning"),
        ({"confirmed": False}, "warning"),
        ({"confirmed": True, "benign": True}, "note"),
    ],
)
def test_what_was_confirmed_is_an_error_and_what_is_benign_a_note(
    claims: dict[str, Any], level: str
) -> None:
    assert sarif(**claims)["level"] == level


def test_a_result_has_a_place_in_the_model_and_one_in_a_file() -> None:
    result = sarif(module="a", evidence={"line": "net.py:12: x"}, remedy="Thaw.")
    place = result["locations"][0]
    assert place["logicalLocations"] == [{"fullyQualifiedName": "a", "kind": "member"}]
    assert place["physicalLocation"]["region"] == {"startLine": 12}
    assert result["message"]["text"] == (
        "a parameter that does not require a gradient, at a. Thaw."
    )
    assert result["baselineState"] == "new"
    nowhere = sarif(evidence={"line": "12"})["locations"][0]
    assert nowhere["logicalLocations"][0]["fullyQualifiedName"] == "model"
    assert nowhere["physicalLocation"] == {
        "artifactLocation": {"uri": "model"},
        "region": {"startLine": 1},
    }
    (run,) = to_sarif(Diagnosis().to_dict())["runs"]
    full = run["tool"]["driver"]["rules"][0]["fullDescription"]["text"]
    meaning = next(iter(CAUSES.values())).meaning
    assert full == f"{meaning[0].upper()}{meaning[1:]}."


def test_an_alarm_is_what_is_neither_benign_nor_known() -> None:
    findings = (FROZEN, Finding(cause="unused", parameter="b.weight", module="b"))
    told = Diagnosis(findings=(*findings, Finding(cause="structural", benign=True))).to_dict()
    assert alarms(told) == ["frozen@a", "unused@b.weight"]
    assert alarms(told, ["frozen@a"]) == ["unused@b.weight"]


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_is_explained_by_what_finds_and_proves_it_in_one_paragraph(name: str) -> None:
    cause = CAUSES[name]
    told = dict(parts(cause))
    by_trial = cause.find is Cause.find
    finder = cause.find_by_trial if by_trial else cause.find
    assert finder.__doc__ is not None
    assert told["found"] == " ".join(finder.__doc__.split("\n\n")[0].split())
    assert ("proved" in told) is (cause.prove is not None or by_trial)
    low = not by_trial and cause.find_by_trial is not Cause.find_by_trial
    assert ("at a low dose" in told) is low
    assert told.get("needs", "").count(".") == len(cause.needs)
    assert ("alarm" in told) is cause.benign
