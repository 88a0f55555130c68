"""A value that no run could use is one line before anything is read, built or written."""

import pytest
from hydra import initialize_config_dir

from src.config import CONFIG_DIR
from src.config.compose import compose_job, compose_line
from src.train import main

BASE = ["experiment=price_lstm"]

REFUSED = [
    ("optimizer.lr=abc", "a finite number of at least 0, got abc"),
    ("optimizer.lr=nan", "a finite number of at least 0, got nan"),
    ("optimizer.lr=inf", "a finite number of at least 0, got inf"),
    ("optimizer.lr=-0.1", "a finite number of at least 0, got -0.1"),
    ("+optimizer.betas=[0.9,1.0]", "two shares from 0 and below 1"),
    ("optimizer.fused=abc", "null or true | false"),
    ("trainer.accelerator=tpu", "auto | cpu | gpu | cuda | mps, got tpu"),
    ("trainer.devices=0", "a whole number of at least 1"),
    ("trainer.devices=[0,0]", "a list of different device numbers"),
    ("trainer.max_epochs=-5", "null or -1 or a whole number of at least 1, got -5"),
    ("trainer.max_epochs=1.5", "a whole number of at least 1, got 1.5"),
    ("trainer.max_epochs=0", "a whole number of at least 1, got 0"),
    ("trainer.max_steps=0", "-1 or a whole number of at least 1"),
    ("trainer.precision=bf16-true", "32-true | bf16-mixed | 16-mixed | 64-true, got bf16-true"),
    ("trainer.precision=16-true", "got 16-true"),
    ("trainer.accumulate_grad_batches=0", "a whole number of at least 1, got 0"),
    ("trainer.log_every_n_steps=0", "a whole number of at least 1, got 0"),
    ("trainer.gradient_clip_val=-1", "null or a finite number of at least 0, got -1"),
    ("trainer.val_check_interval=0", "a whole number of at least 1 or a share"),
    ("trainer.check_val_every_n_epoch=0", "null or a whole number of at least 1"),
    ("trainer.limit_val_batches=0", "null or a whole number of at least 1 or a share"),
    ("+trainer.limit_train_batches=0.0", "a share above 0 and up to 1.0, got 0.0"),
    ("trainer.num_sanity_val_steps=-7", "-1 or a whole number of at least 0"),
    ("trainer.deterministic=abc", "true | false | warn"),
    ("callbacks.model_checkpoint.monitor=val/foo", "val/loss | val/rmse"),
    ("callbacks.early_stopping.monitor=val/foo", "val/loss | val/rmse"),
    ("callbacks.early_stopping.patience=-1", "a whole number of at least 0, got -1"),
    ("callbacks.model_checkpoint.filename=../../y", "best, got ../../y"),
    ("callbacks.pooling_monitor.every_n_steps=abc", "a whole number, got abc"),
    ("callbacks.progress_bar.refresh_rate=-1", "a whole number of at least 0"),
    ("model.hidden_size=abc", "a whole number from 1 to 65536, got abc"),
    ("model.num_layers=1.5", "a whole number from 1 to 1000, got 1.5"),
    ("model.num_layers=null", "got null"),
    ("model.num_layers=1000000", "got 1000000"),
    ("+trainer.plugins=[x]", "nothing, a run says it itself"),
    ("+trainer.logger=false", "nothing, a run says it itself, got false"),
    ("dropout.encoder=1.5", "a share from 0 and below 1, got 1.5"),
    ("data.path=[a.csv,1]", 'null or one path or a list of paths, got ["a.csv", 1]'),
    ("data.tickers=PETR4", "null or all or a list of names, got PETR4"),
    ("data.tickers=[]", "null or all or a list of names, got []"),
    ("data.split=abc", "a list, got abc"),
    ("data.seed=-1", "a whole number of at least 0"),
    ("data.columns.close=0", "null or a whole number of at least 1 or a text, got 0"),
    ("data.columns.open=nan", "a text, got nan"),
    ("name=../../x", "the name of one folder, without a slash, got ../../x"),
    ("name=/tmp/x", "the name of one folder, without a slash, got /tmp/x"),
    ("name='..'", "the name of one folder, without a slash, got .."),
    ("log_dir=''", 'one path, got ""'),
    ("seed=-1", "a whole number from 0 to 4294967295, got -1"),
    ("seed=1.5", "got 1.5"),
]


@pytest.mark.parametrize(("override", "expected"), REFUSED, ids=[item for item, _ in REFUSED])
def test_a_value_that_no_run_could_use_is_refused_by_its_key(override, expected):
    key = override.lstrip("+").partition("=")[0]
    with pytest.raises(ValueError, match="expected") as refused:
        compose_line("train", [*BASE, override])
    assert str(refused.value).startswith(f"{key}: expected ")
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer.lr=0"],
        ["optimizer=sgd", "optimizer.momentum=0"],
        ["+optimizer.betas=[0.5,0.9]"],
        ["trainer.devices=auto"],
        ["trainer.devices=[0,1]"],
        ["trainer.max_epochs=null", "trainer.max_steps=10"],
        ["trainer.limit_val_batches=0.5"],
        ["trainer.gradient_clip_val=1"],
        ["callbacks.early_stopping.patience=0"],
        ["callbacks.early_stopping.monitor=val/skill", "+callbacks.early_stopping.mode=max"],
        ["callbacks.early_stopping=null"],
        ["data.path=prices.csv"],
        ["name=2018"],
        ["+callbacks.x={_target_:src.interventions.gradient_scaling.GradientScaling,features:0.2}"],
    ],
    ids=" ".join,
)
def test_a_value_that_works_is_let_through(overrides):
    compose_line("train", [*BASE, *overrides])


@pytest.mark.parametrize(
    ("command", "override"),
    [
        ("train", "+evil=1"),
        ("train", "++evil.deeper=1"),
        ("train", "+hydra.launcher.evil=1"),
        ("train", "+sweep.evil=1"),
        ("evaluate", "+evil=1"),
        ("predict", "+evil=1"),
        ("predict", "+data.evil=1"),
        ("diagnose", "+evil=1"),
        ("report", "+evil=1"),
    ],
)
def test_a_key_that_nobody_reads_is_refused(command, override):
    with (
        initialize_config_dir(str(CONFIG_DIR), version_base="1.3"),
        pytest.raises(ValueError, match=r"evil.*: no such key"),
    ):
        compose_job(command, [override])


def test_the_worst_weights_are_not_kept_as_the_best():
    with pytest.raises(ValueError, match=r"mode: expected max for val/skill, got min"):
        compose_line("train", [*BASE, "callbacks.model_checkpoint.monitor=val/skill"])


def test_a_refused_value_is_one_line_and_leaves_nothing(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main([*BASE, f"log_dir={tmp_path}/logs", "optimizer.lr=abc"])
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.err == "error: optimizer.lr: expected a finite number of at least 0, got abc\n"
    assert not list(tmp_path.iterdir())


def test_a_bad_value_in_a_later_job_of_a_sweep_is_found_before_the_first_runs(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["-m", *BASE, f"log_dir={tmp_path}/logs", "trainer.max_epochs=1,-5"])
    assert stopped.value.code == 2
    assert "trainer.max_epochs: expected" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
