from types import SimpleNamespace

import pytest

from src.sweeping import job
from src.sweeping.pruning import Pruning


def trial(losses, **options):
    """Run one trial with these losses; return the epoch it was pruned at, if it was."""
    pruning = Pruning(**options)
    trainer = SimpleNamespace(
        sanity_checking=False, training=True, should_stop=False, is_global_zero=True
    )
    for epoch, loss in enumerate(losses):
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val/loss": loss}
        pruning.on_validation_end(trainer, None)
        if trainer.should_stop:
            break
    pruning.on_fit_end(trainer, None)
    return pruning.report().get("pruned_at_epoch")


@pytest.fixture
def trials(tmp_path, monkeypatch):
    """Run one trial after the other in a sweep."""

    def _trials(*curves, **options):
        results = []
        for index, losses in enumerate(curves):
            monkeypatch.setattr(job, "current", (tmp_path, index))
            results.append(trial(losses, **options))
        return results

    return _trials


def test_a_trial_worse_than_the_median_ends_after_the_warm_up(trials):
    good = [[3, 2, 1]] * 2
    assert trials(*good, [9, 9, 9], startup_trials=2, warmup_epochs=1) == [None, None, 1]


def test_a_trial_as_good_as_the_median_runs_to_its_end(trials):
    assert trials([3, 2, 1], [3, 2, 1], [3, 2, 1], startup_trials=2) == [None] * 3


def test_the_best_loss_so_far_counts(trials):
    assert trials([3, 2], [3, 2], [1, 9], startup_trials=2, warmup_epochs=0) == [None] * 3


def test_a_pruned_trial_is_no_yardstick(trials):
    bad = [[9, 9]] * 3
    results = trials([1, 1], [1, 1], *bad, [5, 5], startup_trials=2, warmup_epochs=0)
    assert results == [None, None, 0, 0, 0, 0]


def test_a_loss_that_is_not_a_number_ends_a_trial(trials):
    assert trials([1.0], [1.0], [float("nan")], startup_trials=2, warmup_epochs=0)[2] == 0


def test_outside_a_sweep_nothing_is_pruned():
    assert trial([1, 2, 3], startup_trials=0, warmup_epochs=0) is None


def test_by_default_four_trials_run_to_their_end_and_every_one_has_two_epochs(trials):
    good = [[3, 2, 1]] * 3
    assert trials(*good, [9, 9, 9], [9, 9, 9]) == [None, None, None, None, 1]


def test_a_trial_is_compared_with_those_that_came_as_far(trials):
    results = trials([1], [1], [9, 9], startup_trials=2, warmup_epochs=1)
    assert results == [None, None, None]


@pytest.mark.parametrize("state", [{"sanity_checking": True}, {"training": False}])
def test_only_validations_of_the_training_count(tmp_path, monkeypatch, state):
    monkeypatch.setattr(job, "current", (tmp_path, 0))
    pruning = Pruning(startup_trials=0, warmup_epochs=0)
    given = {"sanity_checking": False, "training": True, "callback_metrics": {"val/loss": 1.0}}
    pruning.on_validation_end(SimpleNamespace(**given | state), None)
    assert pruning.losses == []


def test_of_several_processes_one_leaves_the_losses(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "current", (tmp_path, 3))
    pruning = Pruning()
    pruning.losses = [2.0, 1.0]
    pruning.on_fit_end(SimpleNamespace(is_global_zero=False), None)
    assert not (tmp_path / "curves").exists()
    pruning.on_fit_end(SimpleNamespace(is_global_zero=True), None)
    assert (tmp_path / "curves" / "3.json").read_text() == "[2.0, 1.0]"


def test_a_trial_that_goes_on_keeps_its_epochs():
    first, again = Pruning(), Pruning()
    first.losses, first.pruned_at = [2.0, 1.0], 1
    again.load_state_dict(first.state_dict())
    assert (again.losses, again.report()) == ([2.0, 1.0], {"pruned_at_epoch": 1})
