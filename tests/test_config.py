import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from src.config import CONFIG_DIR
from src.train import main

ROOT = CONFIG_DIR.parent


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
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


@pytest.mark.parametrize("line", [["~model"], ["pooling=[]"], ["-m", "~sweep"], ["-m", "sweep=[]"]])
def test_a_part_that_is_taken_away_is_missed(capsys, line):
    assert "nothing is chosen" in refused(capsys, *line)


def test_several_values_without_m_are_refused(capsys):
    assert "pooling has several values: python -m src.train -m" in refused(
        capsys, "pooling=mean,gated"
    )


def test_a_line_that_cannot_be_parsed_is_one_line(capsys):
    refused(capsys, "pooling=[mean")


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        ([], "pooling._target_", "src.models.pooling.AttentionPooling"),
        (["experiment=price_lstm", "data.path=my.csv"], "data.path", "my.csv"),
        (["pooling=gated", "pooling.init=recency_log"], "pooling.init", "recency_log"),
        (["+trainer.limit_train_batches=2"], "trainer.limit_train_batches", 2),
        (["--seed", "3"], "data.seed", 3),
        (["name='a, b'"], "name", "a, b"),
    ],
)
def test_a_command_line_that_works_is_shown_as_it_would_run(capsys, arguments, key, value):
    main([*arguments, "--cfg", "job"])
    config = OmegaConf.create(capsys.readouterr().out)
    assert OmegaConf.select(config, key) == value
    assert not {"hydra", "sweep"} & set(config)


def test_a_config_is_shown_as_plain_values_too(capsys):
    main(["experiment=gradient_death", "--cfg", "job", "--resolve"])
    assert OmegaConf.create(capsys.readouterr().out).trainer.max_steps == 1200


@pytest.mark.parametrize(
    "argument", ["sweep.resume=true", "sweep=poolings", "hydra/launcher=joblib", "hydra.verbose=1"]
)
def test_what_a_sweep_is_told_is_refused_without_a_sweep(capsys, argument):
    assert f"{argument} is for a multirun: python -m src.train -m" in refused(capsys, argument)


def test_a_target_on_the_command_line_is_refused_before_anything_runs(capsys):
    assert "os.system" in refused(capsys, "model._target_=os.system")


def test_a_config_is_shown_without_importing_torch():
    code = (
        "import sys; from src.train import main; main(['--cfg', 'job']);"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pooling:" in done.stdout
