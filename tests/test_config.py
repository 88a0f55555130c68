import subprocess
import sys

import pytest

from src.config import CONFIG_DIR
from src.config.compose import check_command_line
from src.train import main

ROOT = CONFIG_DIR.parent


def refused(capsys, *arguments, config_name="train"):
    with pytest.raises(SystemExit) as stopped:
        check_command_line(config_name, list(arguments))
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("poling=mean", "did you mean pooling"),
        ("pooling=atention", "did you mean attention"),
        ("pooling=nonsense", "choose from attention"),
        ("trainer.max_epoch=1", "did you mean trainer.max_epochs"),
        ("lr=0.1", "did you mean optimizer.lr"),
        ("optimizer.learning_rate=0.1", "no such key"),
        ("model.hidden=3", "did you mean model.hidden_size"),
        ("experiment=price_lstn", "did you mean price_lstm"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest_ones(capsys, argument, hint):
    assert hint in refused(capsys, argument)


def test_a_wrong_name_in_a_later_job_of_a_sweep_is_found_before_the_first_runs(capsys):
    assert "did you mean gated" in refused(capsys, "-m", "pooling=mean,gatd")


def test_several_values_without_m_are_refused(capsys):
    assert "add -m" in refused(capsys, "pooling=mean,gated")


def test_a_line_that_cannot_be_parsed_is_one_line(capsys):
    refused(capsys, "pooling=[mean")


@pytest.mark.parametrize(
    "arguments",
    [
        ["pooling=attention"],
        ["experiment=price_lstm", "data.path=my.csv"],
        ["-m", "pooling=mean,learnable", "seed=0,1", "trainer.max_epochs=1"],
        ["-m", "optimizer.lr=choice(1e-3,1e-4)"],
        ["+trainer.limit_train_batches=2"],
        ["--help"],
        ["--cfg", "job"],
    ],
)
def test_a_command_line_that_works_passes(arguments):
    check_command_line("train", arguments)


def test_a_sweeps_setting_without_a_sweep_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train", "sweep.resume=true"])
    with pytest.raises(SystemExit):
        main()
    assert "sweep.resume=true is for a multirun: add -m" in capsys.readouterr().err


def test_a_target_on_the_command_line_is_refused_before_anything_runs(capsys):
    assert "os.system" in refused(capsys, "model._target_=os.system")


def test_help_and_config_answer_without_importing_torch():
    code = (
        "import sys; sys.argv = ['train', '--cfg', 'job']; from src.train import main; main();"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pooling:" in done.stdout
