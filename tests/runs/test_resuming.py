import json
import os
import signal
import time

import pytest
import torch
import yaml

from benchmarks.torture.campaigns import kill_at_random, kill_at_steps
from benchmarks.torture.traces import scalars
from benchmarks.torture.trials import VARIANTS
from src.config import CONFIG_DIR
from src.config.resuming import going_on
from src.config.trust import CheckpointError
from src.files import LOCK, locked
from src.runs import stopping
from src.runs.checkpoint import AtomicCheckpointIO, load_checkpoint
from src.runs.opening import open_run
from src.runs.run import run
from tests.conftest import TINY, report_of

PRESETS = sorted(file.stem for file in (CONFIG_DIR / "experiment").glob("*.yaml"))
LSTM = ("experiment=price_lstm", "callbacks.progress_bar=null", "logger=tensorboard_csv")


@pytest.fixture
def go_on(composed):
    """Resume a run as the command line would, with further overrides."""

    def _go_on(what, *overrides, base=()):
        config, choices = composed(*base, *overrides, f"resume={what}")
        return run(config, choices, [*overrides])

    return _go_on


def state_of(folder, name="last"):
    return load_checkpoint(folder / "checkpoints" / f"{name}.ckpt")


@pytest.mark.parametrize(
    ("variant", "steps"),
    [
        ("each_epoch", (16,)),
        ("dropout_each_step", (45,)),
        pytest.param("monitored", (37,), marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_bitwise_like_one_that_was_not(tmp_path, variant, steps):
    tried = list(kill_at_steps(VARIANTS[variant], steps, tmp_path))
    assert tried == [(step, []) for step in steps]


@pytest.mark.slow
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_kills_at_every_seventh_step_lose_nothing(tmp_path, variant):
    assert [found for _, found in kill_at_steps(VARIANTS[variant], range(0, 60, 7), tmp_path)] == (
        [[]] * 9
    )


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_and_leave_no_temporary_file(tmp_path):
    tried = kill_at_random(VARIANTS["dropout_each_step"], 8, 1, tmp_path)
    assert [found for _, found in tried] == [[]] * 8


@pytest.mark.parametrize(
    "preset", [p if p == "price_lstm" else pytest.param(p, marks=pytest.mark.slow) for p in PRESETS]
)
def test_a_finished_run_goes_on_as_the_readme_says(tiny_run, go_on, preset):
    folder = tiny_run(f"experiment={preset}", "callbacks.progress_bar=null")
    go_on(folder, "trainer.max_epochs=3")
    report = report_of(folder)
    assert report["best"]["epochs_trained"] == 3
    assert report["best"]["steps_trained"] == 6
    assert [again["changes"] for again in report["resumed"]] == [["trainer.max_epochs: 1 -> 3"]]
    assert yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["max_epochs"] == 3


def test_a_run_that_went_on_has_one_history(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    go_on(folder, "trainer.max_epochs=3", "trainer.log_every_n_steps=1")
    curves = scalars(folder)
    del curves["epoch"]  # Lightning adds it to whatever it logs, several times at one step
    for tag, points in curves.items():
        steps = [step for step, _ in points]
        assert len(steps) == len(set(steps)), tag
    assert [point["step"] for point in report_of(folder)["validation"]] == [2, 4, 6]


def test_a_setting_that_makes_another_run_is_refused_and_nothing_is_written(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    for override in ("data.target=residual", "seed=1", "optimizer=sgd", "model.hidden_size=3"):
        with pytest.raises(ValueError, match=r"resume: .*makes it another run"):
            go_on(folder, override, "trainer.max_epochs=3")
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_what_says_the_same_as_the_run_is_no_change(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    go_on(folder, "experiment=price_lstm", "model=lstm", "seed=0", "trainer.max_epochs=2")
    assert report_of(folder)["resumed"][0]["changes"] == ["trainer.max_epochs: 1 -> 2"]


def test_what_a_preset_chooses_counts_also_where_it_is_what_no_preset_says(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    with pytest.raises(ValueError, match=r"resume: .*makes it another run"):
        go_on(folder, "experiment=bars_transformer", "trainer.max_epochs=2")


def test_a_callback_that_is_taken_away_is_gone_and_said_to_be(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    go_on(folder, "~callbacks.early_stopping", "trainer.max_epochs=2")
    assert report_of(folder)["config"]["callbacks"]["early_stopping"] is None
    changes = report_of(folder)["resumed"][0]["changes"]
    assert "callbacks.early_stopping.patience: 5 -> None" in changes


@pytest.mark.parametrize("override", ["~callbacks.last_state", "callbacks.last_state=null"])
def test_what_a_run_goes_on_by_cannot_be_taken_away(tiny_run, go_on, override):
    folder = tiny_run(*LSTM)
    with pytest.raises(ValueError, match=r"resume: callbacks\.last_state .* has to stay"):
        go_on(folder, override, "trainer.max_epochs=2")


def test_what_makes_it_another_run_is_refused_also_when_taken_away(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    with pytest.raises(ValueError, match=r"pooling\..* -> None makes it another run"):
        go_on(folder, "~pooling", "trainer.max_epochs=2")


def test_a_run_elsewhere_names_its_own_folders_for_the_next_commands(tiny_run, go_on, capfd):
    folder = tiny_run(*LSTM)
    go_on(folder, "trainer.max_epochs=2", "log_dir=elsewhere")
    assert f"tensorboard --logdir {folder.parent.parent}\n" in capfd.readouterr().out


def test_another_learning_rate_is_applied(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    before = state_of(folder)["state_dict"]
    go_on(folder, "trainer.max_epochs=2", "optimizer.lr=0.0")
    after = state_of(folder)
    assert all(torch.equal(before[name], after["state_dict"][name]) for name in before)
    assert after["optimizer_states"][0]["param_groups"][0]["lr"] == 0.0
    assert report_of(folder)["config"]["optimizer"]["lr"] == 0.0


def test_an_option_that_makes_another_state_of_the_optimizer_is_refused(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    with pytest.raises(ValueError, match=r"optimizer\.amsgrad: None -> True makes it another"):
        go_on(folder, "+optimizer.amsgrad=true", "trainer.max_epochs=2")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("last_state", "epoch", "a"),
        ("last_state", "place", 7),
        ("last_state", "validation", [{"step": 1, "loss": None}]),
        ("last_state", "random", {"python": 3}),
        ("last_state", "history", {"metrics.csv": 1.5}),
        ("loops", "fit_loop", []),
        ("optimizer_states", 0, {"state": {}, "param_groups": []}),
    ],
)
def test_states_that_no_such_run_has_are_refused_as_foreign(tiny_run, go_on, part, key, value):
    folder = tiny_run(*LSTM)
    checkpoint = state_of(folder)
    checkpoint[part][key] = value
    AtomicCheckpointIO().save_checkpoint(checkpoint, folder / "checkpoints" / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last\.ckpt (cannot be gone on from|does not say)"):
        go_on(folder, "trainer.max_epochs=2")


def test_nothing_of_a_file_that_a_stored_config_names_is_quoted(tiny_run, go_on, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("root:hunter2\n" * 9)
    folder = tiny_run(*LSTM)
    file = folder / "checkpoints" / "last.ckpt"
    checkpoint = load_checkpoint(file)
    checkpoint["hyper_parameters"]["config"]["data"]["path"] = str(secret)
    AtomicCheckpointIO().save_checkpoint(checkpoint, file)
    (folder / "config.yaml").unlink()
    for attempt in (
        lambda: go_on(folder, "trainer.max_epochs=2"),
        lambda: open_run(file).datamodule,
    ):
        with pytest.raises(ValueError, match="cannot be read as prices any more") as refused:
            attempt()
        assert "hunter2" not in str(refused.value)


def test_another_score_to_go_by_is_named_beside_its_validation_loss(tiny_run):
    folder = tiny_run(
        *LSTM,
        "trainer.max_epochs=3",
        "callbacks.model_checkpoint.monitor=val/skill",
        "+callbacks.model_checkpoint.mode=max",
    )
    report = report_of(folder)
    best = report["best"]
    step = state_of(folder, "best")["global_step"]
    losses = {point["step"]: point["loss"] for point in report["validation"]}
    assert best["val_loss"] == losses[step]
    assert best["monitor"] == "val/skill"
    assert best["score"] == pytest.approx(scores_at(folder, step))


def scores_at(folder, step):
    """Return the skill that was logged at the validation after a step."""
    return dict(scalars(folder)["val/skill"])[step - 1]


def test_a_better_score_of_before_stays_the_best(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    best = report_of(folder)["best"]["val_loss"]
    go_on(folder, "trainer.max_epochs=2", "optimizer.lr=10.0")
    assert report_of(folder)["best"]["val_loss"] == best
    assert state_of(folder, "best")["global_step"] == 2


def test_a_folder_that_was_moved_goes_on_all_the_same(tiny_run, go_on, tmp_path):
    folder = tiny_run(*LSTM)
    best = report_of(folder)["best"]["val_loss"]
    moved = folder.rename(tmp_path / "moved")
    go_on(moved, "trainer.max_epochs=2", "optimizer.lr=10.0")
    assert report_of(moved)["best"]["val_loss"] == best
    assert report_of(moved)["best"]["checkpoint"] == str(moved / "checkpoints" / "best.ckpt")


def test_a_finished_run_without_more_to_do_is_refused(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    with pytest.raises(
        ValueError, match=r"trainer\.max_epochs ended it after 1 epochs and 2 steps"
    ):
        go_on(folder)
    with pytest.raises(ValueError, match=r"has trained 2 already: .* trainer\.max_steps=4 goes on"):
        go_on(folder, "trainer.max_steps=1")


def test_early_stopping_keeps_its_patience_and_says_that_it_ended_the_training(tiny_run, go_on):
    folder = tiny_run(*LSTM, "optimizer.lr=0.0", "trainer.max_epochs=3")
    assert report_of(folder)["ended_by"] == "trainer.max_epochs"
    go_on(folder, "trainer.max_epochs=9")
    report = report_of(folder)
    assert report["best"]["epochs_trained"] == 6
    assert report["ended_by"].startswith("early stopping: 5 validations without a val/loss below")
    with pytest.raises(ValueError, match="early stopping ended it after 6 epochs"):
        go_on(folder)


def test_auto_takes_the_newest_unfinished_run_of_the_same_config(tiny_run, go_on, tmp_path):
    folders = [tiny_run(*LSTM, f"seed={seed}") for seed in (0, 0, 1)]
    for folder in folders[:2]:
        report = report_of(folder) | {"status": "running"}
        (folder / "report.json").write_text(json.dumps(report))
    os.utime(folders[1] / "config.yaml", ns=(1, 1))
    base = (*TINY, *LSTM)
    go_on("auto", "trainer.max_epochs=2", base=base)
    assert [report_of(folder)["status"] for folder in folders] == [
        "finished",
        "running",
        "finished",
    ]
    assert report_of(folders[0])["best"]["epochs_trained"] == 2
    assert report_of(folders[0])["resumed"][0]["after"] == "running"
    go_on("auto", "seed=7", base=base)
    assert len(list((tmp_path / "lightning_logs").glob("*/*"))) == 4


def as_before_it_had(folder, *keys):
    """Take keys out of all that a run says of its config, as if it had been made without them."""

    def without(config):
        for *parents, last in (key.split(".") for key in keys):
            node = config
            for parent in parents:
                node = node[parent]
            del node[last]
        return config

    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(yaml.safe_dump(without(yaml.safe_load(text))))
    for file in (folder / "checkpoints").glob("*.ckpt"):
        checkpoint = load_checkpoint(file)
        without(checkpoint["hyper_parameters"]["config"])
        AtomicCheckpointIO().save_checkpoint(checkpoint, file)
    report = report_of(folder) | {"status": "running"}
    (folder / "report.json").write_text(json.dumps(report))


def test_runs_from_before_a_key_go_on_with_what_they_did_without_it(tiny_run, go_on, tmp_path):
    folder = tiny_run(*LSTM)
    keys = ("evaluation", "output", "data.horizon", "data.volatility_estimator")
    as_before_it_had(folder, *keys, "model.forget_bias")
    go_on("auto", "trainer.max_epochs=2", "data.horizon=1", base=(*TINY, *LSTM))
    assert len(list((tmp_path / "lightning_logs").glob("*/*"))) == 1
    assert report_of(folder)["resumed"][0]["changes"] == ["trainer.max_epochs: 1 -> 2"]
    with pytest.raises(ValueError, match=r"data\.horizon: 1 -> 2 makes it another run"):
        go_on(folder, "data.horizon=2", "trainer.max_epochs=3")


def test_a_run_whose_process_is_gone_was_killed_and_one_that_holds_its_lock_runs(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    report = report_of(folder) | {"status": "running"}
    (folder / "report.json").write_text(json.dumps(report))
    assert open_run(folder).status == "killed"
    with locked(folder / LOCK):
        assert open_run(folder).status == "running"
        with pytest.raises(ValueError, match="is running"):
            go_on(folder, "trainer.max_epochs=2")


def test_what_a_killed_process_left_half_written_goes_at_the_next_start(tiny_run):
    folder = tiny_run(*LSTM)
    for left in (folder / ".report.json.1.tmp", folder / "checkpoints" / ".last.ckpt.1.tmp"):
        left.write_text("half")
    tiny_run(*LSTM)
    assert not list(folder.rglob(".*.tmp"))


def test_a_changed_config_file_is_refused(tiny_run, go_on):
    folder = tiny_run(*LSTM)
    file = folder / "config.yaml"
    text = file.read_text()
    file.write_text(text.replace("hidden_size: 50", "hidden_size: 51"))
    with pytest.raises(ValueError, match=r"model\.hidden_size: 50 -> 51 makes it another run"):
        go_on(folder, "trainer.max_epochs=2")
    file.write_text("a: [")
    with pytest.raises(CheckpointError, match=r"config\.yaml cannot be read"):
        go_on(folder, "trainer.max_epochs=2")


def test_a_key_that_replaces_a_part_leaves_nothing_of_it():
    stored = {"logger": {"tensorboard": {"a": 1}}, "callbacks": {"stop": {"b": 2}}}
    now, changes = going_on(stored, {"logger": {"csv": {"c": 3}}, "callbacks.stop": None})
    assert now == {"logger": {"csv": {"c": 3}}, "callbacks": {"stop": None}}
    assert changes == [
        "logger.tensorboard.a: 1 -> None",
        "callbacks.stop.b: 2 -> None",
        "logger.csv.c: None -> 3",
    ]


def test_signals_end_at_once_what_has_nothing_to_write():
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with pytest.raises(SystemExit) as raised, stopping.listening():
            os.kill(os.getpid(), number)
        assert raised.value.code == code


def test_a_signal_that_is_held_back_is_answered_afterwards():
    def work():
        with stopping.listening():
            with stopping.held_back():
                with stopping.held_back():
                    os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
            stopping.check()

    with pytest.raises(SystemExit) as raised:
        work()
    assert raised.value.code == 143


def test_an_exit_that_python_cannot_raise_says_nothing_and_is_made_up_for(capsys):
    class Deaf:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    def work():
        with stopping.listening():
            Deaf()
            stopping.check()

    with pytest.raises(SystemExit) as raised:
        work()
    assert raised.value.code == 130
    assert capsys.readouterr().err == ""


def test_a_training_has_time_to_answer_a_signal_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(stopping, "PATIENCE_S", 0.05)

    def train():
        with stopping.listening():
            stopping.training_begins()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopping.received == signal.SIGTERM
            signal.pause()

    with pytest.raises(SystemExit) as raised:
        train()
    assert raised.value.code == 143
