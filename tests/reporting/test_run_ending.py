from pathlib import Path

import pytest

from src.reporting.run_ending import (
    fitting_line,
    gradient_lines,
    length_line,
    next_lines,
    written_lines,
)

FINDING = {
    "cause": "dead_input",
    "module": "fc",
    "parameter": "fc.weight",
    "fraction": 0.5,
    "benign": False,
    "confirmed": True,
    "remedy": "Drop it.",
}


def test_the_best_validation_is_told_against_no_model():
    report = {
        "ended_by": "early stopping: 2 validations without a val/loss below 0.4",
        "best": {"epochs_trained": 3, "steps_trained": 30, "val_loss": 0.4},
        "validation": [
            {"step": 10, "loss": 0.4, "skill": -0.1},
            {"step": 20, "loss": 0.5, "skill": -0.2},
        ],
    }
    line = length_line(report)
    assert "Trained 3 epochs, 30 steps, ended by early stopping" in line
    assert 'Best validation: 1 of 2, at step 10, loss 0.4000, RMSE 10.0% above that of "' in line


def test_a_skill_that_rounds_to_nothing_is_called_even():
    report = {
        "ended_by": "trainer.max_epochs",
        "best": {"epochs_trained": 1, "steps_trained": 9, "val_loss": 0.1},
        "validation": [{"step": 9, "loss": 0.1, "skill": -0.0004}],
    }
    assert length_line(report).endswith('RMSE even with that of "tomorrow = today".')


def test_a_skill_that_is_no_number_is_not_told():
    report = {
        "ended_by": "trainer.max_epochs",
        "best": {"epochs_trained": 1, "steps_trained": 9, "val_loss": 0.1},
        "validation": [{"step": 9, "loss": 0.1, "skill": float("nan")}],
    }
    assert length_line(report).endswith("at step 9, loss 0.1000.")


def test_a_run_without_anything_to_train_says_so():
    assert length_line({"best": {}}) == "Nothing to train."


def test_a_healthy_run_has_one_line():
    few = FINDING | {"benign": True, "fraction": 0.33}
    whole = FINDING | {"benign": True, "cause": "not_learning", "parameter": None}
    bias = FINDING | {"benign": True, "cause": "structural", "fraction": 1.0}
    (line,) = gradient_lines({"diagnosis": {"findings": [few, whole, bias], "num_batches": 8}})
    assert line == "Gradients: healthy, nothing to act on (replayed batches: 8)."


def test_half_a_gradient_of_zeros_is_told_though_nothing_is_lost_by_it():
    many = FINDING | {"benign": True, "cause": "dead_unit"}
    _, line = gradient_lines({"diagnosis": {"findings": [many], "num_batches": 8}})
    assert line == ("  No alarm, but worth knowing: dead_unit in fc.weight, 50.0% of its gradient.")


def test_a_finding_has_its_place_proof_first_step_and_remedy():
    diagnosis = {"findings": [FINDING], "num_batches": 8}
    head, line = gradient_lines({"diagnosis": diagnosis, "alerts": [FINDING | {"step": 600}]})
    assert "1 finding to act on" in head
    assert line == (
        "  dead_input in fc.weight: 50.0% of its gradient, confirmed by intervention, "
        "reported at step 600. Drop it."
    )


def test_a_run_that_was_not_watched_says_nothing_of_its_gradients():
    assert list(gradient_lines({})) == []


def test_what_was_written_and_what_comes_next_can_be_pasted():
    folder = Path("lightning_logs/a/b")
    lines = list(written_lines(folder, ["forecast.png"]))
    assert lines[0] == "run folder: lightning_logs/a/b"
    assert lines[1].split()[0] == "forecast.png"
    assert len(lines) == 2
    typed = list(next_lines(folder, "lightning_logs", forecasts=False))
    assert "  python -m src.diagnose lightning_logs/a/b" in typed
    assert not any("predict" in line for line in typed)


def ending(skill, **more):
    best = {"epochs_trained": 1, "steps_trained": 9, "val_loss": 0.1}
    found = {"ended_by": "trainer.max_epochs", "best": best}
    return {**found, "validation": [{"step": 9, "loss": 0.1, "skill": skill}], **more}


@pytest.mark.parametrize(
    ("skill", "said"), [(0.0007, "0.1% below"), (-0.0007, "0.1% above"), (0.0005, "0.1% below")]
)
def test_a_skill_of_half_a_tenth_of_a_per_cent_is_told(skill, said):
    assert length_line(ending(skill)).endswith(f'RMSE {said} that of "tomorrow = today".')


def test_a_skill_is_that_of_the_target():
    line = length_line(ending(0.25, config={"data": {"target": "volatility"}}))
    assert line.endswith('QLIKE 25.0% below that of "as before".')


def test_a_model_that_is_fitted_says_what_was_chosen():
    tried = [{"lags": 1, "val_loss": 0.5}]
    fitting = {"chosen": {"lags": 1}, "tried": tried}
    said = "Fitted to the training part; lags=1, the only one."
    assert length_line({"best": {}, "fitting": fitting}) == said
    nothing = {"chosen": {}, "tried": tried}
    assert fitting_line(nothing) == "Fitted to the training part; nothing to tune."


def test_gradients_that_cannot_be_replayed_are_not_called_healthy():
    diagnosis = {"findings": [], "num_batches": 0, "not_replayed": "no batch is left"}
    assert list(gradient_lines({"diagnosis": diagnosis})) == [
        "Gradients: not known: no batch is left."
    ]
    found = diagnosis | {"findings": [FINDING | {"confirmed": False}, FINDING | {"parameter": ""}]}
    assert list(gradient_lines({"diagnosis": found})) == [
        "Gradients: 2 findings to act on (replayed batches: 0).",
        "  dead_input in fc.weight: 50.0% of its gradient, not confirmed. Drop it.",
        "  dead_input in fc: 50.0% of its gradient, confirmed by intervention. Drop it.",
    ]


def test_what_comes_next_follows_from_what_the_run_is():
    both = list(next_lines(Path("a"), "logs", forecasts=True))
    assert [line.split()[2] for line in both[1:3]] == ["src.diagnose", "src.predict"]
    neither = list(next_lines(Path("a"), "logs", forecasts=False, gradients=False))
    assert neither == ["Next:", "  tensorboard --logdir logs"]
