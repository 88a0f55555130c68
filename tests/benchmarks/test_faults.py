"""The list of cases, the rivals' rules, and a run from case to committed files."""

import collections
import json

import pytest
import torch
from rich.console import Console

from benchmarks.faults import rivals
from benchmarks.faults.__main__ import main
from benchmarks.faults.alarms import Alarm
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.cases import Case, ask, case_seed, list_cases, prepare, run_case
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.report import print_summary, run_facts, write_files
from benchmarks.faults.rivals import RIVALS, autotrainer, oscillates, sagemaker, zero_count
from benchmarks.faults.scoring import Answer
from benchmarks.faults.trial import make_trial, run_trial
from src.diagnostics import MEANING


def test_two_architectures_are_tuned_and_the_rest_held_out():
    assert [name for name, item in ARCHITECTURES.items() if item.tuned] == ["mlp", "encoder"]
    assert len(ARCHITECTURES) >= 6


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_seeded_in_two_held_out_architectures(name):
    held_out = [a for a in FAULTS[name].architectures if not ARCHITECTURES[a].tuned]
    assert len(held_out) >= 2


@pytest.mark.parametrize("name", FAULTS)
def test_each_accepted_cause_is_a_known_one_and_further_ones_are_justified(name):
    assert set(FAULTS[name].causes) <= set(MEANING)
    assert bool(FAULTS[name].why) == (len(FAULTS[name].causes) > 1)


@pytest.mark.parametrize("name", FAULTS)
def test_each_accepted_module_exists_after_injection(name):
    for architecture in FAULTS[name].architectures:
        trial = prepare(Case("fault", name, architecture, 0))
        accepted = FAULTS[name].modules
        for path in accepted(trial) if accepted else ():
            trial.model.get_submodule(path)


def test_clean_runs_are_as_many_as_faulty_ones_on_every_architecture_and_seed():
    cases = list_cases(seeds=2)
    counts = collections.Counter((c.architecture, c.seed, c.kind == "fault") for c in cases)
    for architecture in ARCHITECTURES:
        for seed in range(2):
            assert counts[architecture, seed, True] == counts[architecture, seed, False] > 0


def test_every_trap_and_fault_is_run():
    cases = list_cases(seeds=5)
    assert {c.name for c in cases if c.kind == "fault"} == set(FAULTS)
    assert len({c.name for c in cases if c.kind == "trap"}) == 13


def test_cases_on_one_architecture_have_data_of_their_own():
    plain = [c for c in list_cases(seeds=2, architectures=["mlp"]) if c.kind == "plain"]
    assert len({case_seed(c) for c in plain}) == len(set(plain))


def test_a_narrowed_list_keeps_to_the_names_given():
    cases = list_cases(1, ["gru"], ["gain_10", "constant_init"])
    assert {(c.architecture, c.name) for c in cases if c.kind == "fault"} == {("gru", "gain_10")}
    assert len(cases) == 2


def test_a_crash_is_recorded_and_not_hidden():
    def crash(seen):
        raise ZeroDivisionError("by hand")

    answer = ask(crash, None)
    assert answer.alarms == 0
    assert "ZeroDivisionError: by hand" in answer.error


def observe(name, architecture, steps=8):
    trial = prepare(Case("fault", name, architecture, 0))
    trial.steps = min(steps, trial.steps)
    return run_trial(trial)


def test_sagemaker_rules_find_the_faults_they_were_written_for():
    assert Alarm("DeadRelu", ("dead_unit",), "trunk.1") in sagemaker(
        observe("dead_relu_bias", "gru")
    )
    frozen = sagemaker(observe("frozen_layer", "lstm"))
    assert {alarm.rule for alarm in frozen} == {"WeightUpdateRatio", "UnchangedTensor"}
    assert {alarm.module for alarm in frozen} == {"body.rnn"}
    sigmoid = sagemaker(observe("deep_sigmoid", "gru"))
    assert "VanishingGradient" in {alarm.rule for alarm in sigmoid}
    poisoned = sagemaker(observe("nan_cell", "gru", steps=60))
    assert poisoned[0].rule == "ExplodingTensor"


@pytest.mark.parametrize("rival", RIVALS)
def test_every_rival_is_silent_on_a_plain_run(rival):
    seen = run_trial(make_trial(ARCHITECTURES["gru"], seed=0))
    # Two noisy losses ten steps apart are compared, as documented: that alarms once converged.
    assert {alarm.rule for alarm in RIVALS[rival](seen)} <= {"LossNotDecreasing"}


def losses_seen(*losses):
    seen = run_trial(make_trial(ARCHITECTURES["gru"], seed=0))
    seen.losses = list(losses)
    return seen


@pytest.mark.parametrize(
    ("last", "alarms"), [(0.99, 0), (0.9995, 1), (1.0005, 1), (1.04, 0), (1.06, 1)]
)
def test_a_loss_has_to_fall_by_a_thousandth_in_ten_steps_and_may_rise_by_five_percent(last, alarms):
    seen = losses_seen(*[1.0] * 10, last)
    assert len(list(rivals.loss_not_decreasing(seen))) == alarms


def test_a_start_is_poor_only_where_the_loss_stalls_for_five_steps():
    falling = losses_seen(*[1.0 - 0.01 * step for step in range(11)])
    stalled = losses_seen(*[1.0] * 11)
    for seen in (falling, stalled):
        seen.first_grads = {n: 1e-6 * torch.ones_like(g) for n, g in seen.first_grads.items()}
    assert list(rivals.poor_initialization(falling)) == []
    (alarm,) = rivals.poor_initialization(stalled)
    assert alarm.rule == "PoorWeightInitialization"


def test_autotrainer_names_an_explosion_and_a_dying_net():
    assert autotrainer(observe("target_scale", "lstm"))[0].rule == "exploding gradient"
    dying = observe("fp16_underflow", "gru", steps=20)
    assert autotrainer(dying) == [Alarm("dying ReLU", ("dead_unit",))]


def test_oscillation_counts_peaks_and_dips_three_percent_apart():
    assert oscillates([0.5, 0.9, 0.5, 0.9, 0.5, 0.9])
    assert not oscillates([0.5, 0.51, 0.5, 0.51, 0.5, 0.51])
    assert not oscillates([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_zero_count_alarms_above_half():
    seen = observe("equal_targets", "gru", steps=1)
    seen.grads = {"a": torch.tensor([0.0, 0.0, 1.0]), "b": None}
    assert zero_count(seen)[0].rule == "zero count"
    seen.grads["a"] = torch.tensor([0.0, 1.0])
    assert zero_count(seen) == []


def test_a_case_runs_from_training_to_committed_files(tmp_path):
    cases = [Case("fault", "equal_targets", "gru", 0), Case("trap", "uniform_attention", "mlp", 0)]
    results = [run_case(case) for case in cases]
    assert set(results[0].answers) == {"ours", *RIVALS}
    results.append(results[0]._replace(answers={n: Answer(0) for n in results[0].answers}))
    write_files(results, run_facts(results, 1, 2.0, "by hand"), tmp_path)
    record = json.loads((tmp_path / "faults.json").read_text())
    assert record["facts"]["faulty"] == 2
    assert record["facts"]["torch"] == torch.__version__
    assert len(record["runs"]) == 3
    assert record["scores"]["held out"]["ours"]["recall"]["total"] == 2
    page = (tmp_path / "faults.md").read_text()
    assert "| equal_targets/gru | 0 | degenerate_target | silent |" in page
    console = Console(record=True, width=200)
    print_summary(results, console)
    assert "held out" in console.export_text()


def test_list_prints_the_cases_and_runs_none(capsys):
    main(["--seeds", "1", "--architectures", "rnn", "--list"])
    printed = capsys.readouterr().out
    assert "fault/recurrent_gain/rnn/0" in printed
    assert "4 cases" in printed
