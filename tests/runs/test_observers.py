import pickle

import lightning.pytorch as pl
import pytest
import torch

from src.callbacks import GradientHealth, PoolingMonitor
from src.callbacks.pooling_hooks import PoolingHooks
from src.interventions.gradient_scaling import GradientScaling
from src.runs.checkpoint import load_checkpoint
from src.runs.observers import guarded
from tests.conftest import report_of

WATCHED = (
    "data=bars",
    "model=transformer_tiny",
    "callbacks=default",
    "callbacks.progress_bar=null",
    "callbacks.gradient_health.every_n_steps=1",
    "callbacks.gradient_health.details_every_n_steps=1",
    "callbacks.pooling_monitor.every_n_steps=1",
)


def weights(folder):
    return load_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]


def broken(*_, **__):
    raise RuntimeError("broken on purpose")


@pytest.mark.parametrize(
    ("owner", "method", "hook"),
    [
        (GradientHealth, "_measure", "on_before_optimizer_step"),
        (GradientHealth, "_note_measurement", "on_before_optimizer_step"),
        (GradientHealth, "_diagnose", "on_train_end"),
        (GradientHealth, "state_dict", "state_dict"),
        (PoolingMonitor, "_send", "on_train_batch_end"),
        (PoolingMonitor, "report", "report"),
    ],
)
def test_a_failing_monitor_is_said_once_and_the_training_is_the_same(
    tiny_run, kept_run, monkeypatch, capfd, owner, method, hook
):
    monkeypatch.setattr(owner, method, broken)
    folder = tiny_run(*WATCHED)
    (failure,) = report_of(folder).get("failed_callbacks", [None])[:1] or [None]
    error = capfd.readouterr().err
    assert error.count(f"{owner.__name__} failed in {hook}") == 1
    assert error.count("RuntimeError: broken on purpose (test_observers.py:") == 1
    assert failure is None or failure["method"] == hook
    expected = weights(kept_run(*WATCHED))
    found = weights(folder)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_hook_that_fails_within_the_forward_pass_does_not_end_it(tiny_run, monkeypatch, capfd):
    monkeypatch.setattr("src.callbacks.pooling_hooks.is_pooled", broken)
    folder = tiny_run(*WATCHED)
    assert report_of(folder)["status"] == "finished"
    assert "PoolingMonitor failed in on_train_batch_end at step 1" in capfd.readouterr().err


def test_hooks_keep_their_error_for_later(monkeypatch):
    monkeypatch.setattr("src.callbacks.pooling_hooks.is_pooled", broken)
    layer = torch.nn.Linear(1, 1)
    hooks = PoolingHooks([("layer", layer)])
    layer(torch.ones(1, 1))
    assert str(hooks.error) == "broken on purpose"


def test_what_changes_the_training_may_end_it():
    scaling = guarded(GradientScaling())
    assert "on_before_optimizer_step" not in vars(scaling)
    assert "on_train_end" in vars(guarded(GradientHealth()))
    assert "on_fit_end" not in vars(guarded(GradientHealth()))  # it has none of its own


def test_signals_pass_through_a_guard():
    class Stops(PoolingMonitor):
        def on_train_end(self, trainer, pl_module):
            raise SystemExit(143)

    Stops.__module__ = "src.callbacks.tried"
    with pytest.raises(SystemExit):
        guarded(Stops()).on_train_end(None, None)


def test_a_guarded_callback_can_be_sent_to_another_process():
    copy = pickle.loads(pickle.dumps(guarded(pl.callbacks.LearningRateMonitor())))
    assert copy.on_train_start.callback is copy
