"""What only the data, the machine or a constructor can refuse leaves nothing either."""

import pytest

from src.config.values import SCORES
from src.runs.build import build_trainer
from src.runs.opening import open_run
from src.runs.run import run
from src.training.tasks import TASKS
from tests.conftest import TINY


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+trainer.nonsense=1", "trainer: .*unexpected keyword argument 'nonsense'"),
        ("+trainer.max_time=abc", "trainer: .*not a valid duration"),
        ("+model.nonsense=1", "model: .*unexpected keyword argument 'nonsense'"),
        ("+optimizer.nonsense=1", "optimizer: .*unexpected keyword argument 'nonsense'"),
        ("+callbacks.early_stopping.nonsense=1", "callbacks.early_stopping: .*nonsense"),
        ("trainer.devices=500", r"trainer.devices: this machine has \d+ processor cores, got 500"),
        ("trainer.limit_val_batches=0.01", "limit_val_batches: 0.01 of 2 batches is none"),
        ("trainer.val_check_interval=3", "val_check_interval: an epoch has 2 batches, got 3"),
    ],
)
def test_what_cannot_be_built_is_one_error_that_names_its_part(
    composed, tmp_path, override, message
):
    config, choices = composed("experiment=price_lstm", *TINY, override)
    with pytest.raises(ValueError, match=message):
        run(config, choices, [override])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(composed, tmp_path):
    config, choices = composed("experiment=price_lstm", *TINY)
    (tmp_path / "file").write_text("in the way")
    config.log_dir = str(tmp_path / "file" / "logs")
    with pytest.raises(OSError, match="file/logs"):
        run(config, choices, [])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_that_were_there_before_a_refusal_stay(composed, tmp_path):
    config, choices = composed("experiment=price_lstm", *TINY, "+trainer.max_time=abc")
    (tmp_path / "lightning_logs").mkdir()
    with pytest.raises(ValueError, match="not a valid duration"):
        run(config, choices, [])
    assert [path.name for path in tmp_path.rglob("*")] == ["lightning_logs"]


def test_the_scores_that_may_be_monitored_are_those_a_validation_ends_with(kept_run, composed):
    opened = open_run(kept_run("experiment=price_lstm"))
    config, _ = composed("experiment=price_lstm", *TINY, "logger=none")
    trainer = build_trainer(config, [], None)
    (found,) = trainer.validate(opened.module, opened.datamodule.val_dataloader(), verbose=False)
    others = {f"val/{name}" for task in TASKS.values() for name in task.scores} - set(found)
    assert set(found) | others == set(SCORES)
