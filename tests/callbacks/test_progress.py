from itertools import count
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from src.callbacks import progress
from src.callbacks.progress import RichProgressBar


def bar(max_epochs=-1, max_steps=-1):
    one = RichProgressBar()
    one._trainer = SimpleNamespace(
        max_epochs=max_epochs,
        max_steps=max_steps,
        progress_bar_metrics={"val/loss": 0.5},
        loggers=[],
    )
    return one


def test_the_training_loss_is_the_one_that_was_logged_last():
    module = SimpleNamespace(training_losses=[{"loss": loss} for loss in (3.0, 2.0, 1.0)])
    one = bar()
    shown = one.get_metrics(one.trainer, module)
    assert shown["train/loss"] == 1.0
    assert shown["val/loss"] == 0.5


def test_before_anything_is_logged_nothing_is_shown_of_it():
    one = bar()
    assert "train/loss" not in one.get_metrics(one.trainer, SimpleNamespace(training_losses=[]))


def test_where_steps_end_a_training_the_bar_says_which():
    assert bar(max_steps=1200)._get_train_description(9).strip() == "Epoch 9, to step 1,200"
    assert bar(max_steps=0)._get_train_description(0).strip() == "Epoch 0, to step 0"
    assert bar()._get_train_description(9).strip() == "Epoch 9"
    assert bar(max_epochs=20)._get_train_description(9).strip() == "Epoch 9/19"


class Told(RichProgressBar):
    """Keeps how far the bar was moved."""

    def __init__(self):
        super().__init__()
        self.moves = []

    def _update(self, task, current, *args, **kwargs):
        self.moves.append(current)
        super()._update(task, current, *args, **kwargs)


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.line(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def moves(seconds_a_step, monkeypatch, tmp_path, **ends):
    clock = count(0.0, seconds_a_step)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    told = Told()
    trainer = pl.Trainer(
        **ends,
        accelerator="cpu",
        callbacks=[told],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Line(), DataLoader(torch.ones(40, 1), batch_size=1))
    return told.moves


@pytest.mark.filterwarnings("ignore:.*num_workers:UserWarning")
def test_the_bar_is_moved_ten_times_a_second_and_at_an_epochs_end(monkeypatch, tmp_path):
    assert moves(1 / 32, monkeypatch, tmp_path, max_epochs=1) == [*range(1, 40, 4), 40, 40]
    assert moves(0.0, monkeypatch, tmp_path, max_epochs=2) == [1, 40, 40, 40, 40]
    assert moves(0.2, monkeypatch, tmp_path, max_epochs=1) == [*range(1, 41), 40]


@pytest.mark.filterwarnings("ignore:.*num_workers:UserWarning")
def test_steps_that_end_a_training_amid_an_epoch_end_the_bar_there(monkeypatch, tmp_path):
    assert moves(0.0, monkeypatch, tmp_path, max_steps=7) == [1, 7]
