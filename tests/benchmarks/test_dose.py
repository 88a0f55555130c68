"""Dose and harm: ladders that start harmless, and shares counted over fault and net."""

import math
import subprocess
import sys

import pytest
import torch

from benchmarks.dose.__main__ import with_recorded
from benchmarks.dose.ladders import HALVES, LADDERS, NETS, half_of
from benchmarks.dose.scores import Dose, halves, in_bin, is_named, missed, share, summary
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.trial import make_trial
from src.diagnostics import CAUSES


def dose(harm=2.0, ours=(), ladder="rate", net="gru", rung=3):
    rivals = {"sagemaker": [["dead_unit"], ["learning_rate_too_high"]]}
    named = {"ours": [[cause] for cause in ours], **rivals, "autotrainer": [], "zero_count": []}
    return Dose(ladder, net, 0, rung, 10.0, 0.1 * harm, harm, named, 0.0)


def test_the_first_alarm_counts_and_any_alarm_beside_it():
    right, second = "learning_rate_too_high", ("large_init", "learning_rate_too_high")
    assert is_named(dose(ours=(right,)))
    assert not is_named(dose(ours=second))
    assert is_named(dose(ours=second), first=False)
    assert not is_named(dose(), "sagemaker")
    assert is_named(dose(), "sagemaker", first=False)


def test_shares_are_of_runs_and_their_intervals_of_fault_and_net():
    runs = [dose(ours=("learning_rate_too_high",), rung=rung) for rung in range(8)]
    rate = share([*runs, dose(net="lstm")], is_named)
    assert rate[:2] == (8, 9)
    assert rate.clusters == 2


def test_a_loss_that_is_no_number_hurts_most():
    runs = [dose(harm=1.0), dose(harm=1.6), dose(harm=math.nan), dose(harm=math.inf)]
    assert len(in_bin(runs, 1.5, 3.0)) == 1
    assert len(in_bin(runs, 3.0, math.inf)) == 2
    (wrong,) = missed([dose(harm=1.6), dose(harm=1.0), dose(harm=1.2)])
    assert wrong == ["rate 10", "gru", "1.6", "silent"]
    labels = [row[0] for row in summary(runs)[::4]]
    assert labels == ["below 1.1", "1.1 to 1.5", "1.5 to 3", "from 3"]


def test_each_half_is_scored_by_itself_and_both_together():
    assert {half_of(name, net) for name in LADDERS for net in NETS} == set(HALVES)
    tuned = dose(ours=("learning_rate_too_high",), net="gru")
    reported = dose(net="tcn")
    assert (half_of("rate", "gru"), half_of("rate", "tcn")) == HALVES
    assert [row[:2] for row in halves([tuned, reported])] == [
        ["tune", "1"],
        ["report", "1"],
        ["both", "2"],
    ]
    assert [row[2][:4] for row in halves([tuned, reported])] == ["1.00", "0.00", "0.50"]


def test_committed_answers_are_kept_only_for_the_same_run():
    old = dose(ours=("large_init",))
    asked = dose()._replace(named={"ours": []})
    merged = with_recorded(asked, {old[:4]: old})
    assert (merged.named["ours"], len(merged.named)) == ([], 4)
    with pytest.raises(ValueError, match=r"ended at 0\.4, the committed run at 0\.2"):
        with_recorded(asked._replace(loss=0.4), {old[:4]: old})


@pytest.mark.parametrize("name", LADDERS)
def test_a_ladder_has_eight_doses_and_the_first_is_none(name):
    ladder = LADDERS[name]
    assert len(ladder.doses) == 8
    assert set(ladder.causes) <= set(CAUSES)
    net = next(net for net in NETS if ladder.fits(net))
    trials = [make_trial(ARCHITECTURES[net], seed=0) for _ in range(3)]
    ladder.inject(ladder.doses[0])(trials[1])
    ladder.inject(ladder.doses[-1])(trials[2])
    clean, none, most = (_state(trial) for trial in trials)
    if name != "clipping":  # which goes with another optimiser
        assert clean == none
    assert clean != most


def _state(trial):
    batch = trial.task.select(torch.arange(8))
    trial.model.eval()
    with torch.no_grad():
        preds = trial.model(batch.x, batch.mask)
    return float(preds.sum()), float(batch.y.sum()), trial.lr, trial.clip_norm


@pytest.mark.slow
def test_the_command_runs_its_cases_in_processes_of_their_own() -> None:
    ladder = next(name for name, one in LADDERS.items() if one.fits("mlp"))
    command = [sys.executable, "-m", "benchmarks.dose", "--ladders", ladder, "--nets", "mlp"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "ours" in done.stdout
