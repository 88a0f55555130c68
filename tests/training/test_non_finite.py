"""A number that is none never reaches the weights, nor a checkpoint, and the run fails."""

import math

import pytest
import torch

from src.runs.checkpoint import load_checkpoint
from src.training.module import RegressionModule
from tests.conftest import report_of

LSTM = ("experiment=price_lstm", "callbacks.progress_bar=null", "logger=none")


def failed_run(tmp_path):
    (folder,) = tmp_path.glob("lightning_logs/*/*")
    assert report_of(folder)["status"] == "failed"
    return folder


def weights(folder, name="last"):
    return load_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]


@pytest.fixture
def broken_at(monkeypatch):
    """Add to the loss of one step what has a finite value, 0, and a gradient of NaN."""

    def _broken_at(step):
        original = RegressionModule._losses

        def losses(self, batch):
            loss, aux_loss = original(self, batch)
            if self.trainer.global_step == step:
                loss = loss + (self.model.head.bias.sum() * 0).sqrt()
            return loss, aux_loss

        monkeypatch.setattr(RegressionModule, "_losses", losses)

    return _broken_at


def test_a_finite_loss_with_a_gradient_of_nan_never_reaches_the_weights(
    tiny_run, tmp_path, broken_at
):
    broken_at(1)  # the epoch's last step: nothing would look at the loss again
    expected = r"the gradient of model\.head\.bias is not finite at step 1: stopped before"
    with pytest.raises(FloatingPointError, match=expected):
        tiny_run(*LSTM, "callbacks.last_state.every_n_steps=1")
    folder = failed_run(tmp_path)
    assert all(value.isfinite().all() for value in weights(folder).values())
    assert not (folder / "checkpoints" / "best.ckpt").exists()


def test_a_gradient_with_a_norm_too_large_for_float32_is_no_fault(tiny_run, monkeypatch):
    original = RegressionModule._losses
    monkeypatch.setattr(
        RegressionModule,
        "_losses",
        lambda self, batch: tuple(part * 1e30 for part in original(self, batch)),
    )
    folder = tiny_run(*LSTM, "optimizer=sgd", "optimizer.lr=1e-33")
    assert report_of(folder)["status"] == "finished"


def test_a_validation_loss_of_nan_ends_the_run_and_is_never_the_best(
    tiny_run, tmp_path, monkeypatch
):
    original = RegressionModule.validation_step

    def validation_step(self, batch, batch_idx):
        original(self, batch._replace(y=batch.y * math.nan), batch_idx)

    monkeypatch.setattr(RegressionModule, "validation_step", validation_step)
    with pytest.raises(FloatingPointError, match="validation loss is nan at step 2"):
        tiny_run(*LSTM)
    assert not (failed_run(tmp_path) / "checkpoints" / "best.ckpt").exists()


def test_weights_that_a_step_made_infinite_are_not_written(tiny_run, tmp_path, monkeypatch):
    original = RegressionModule.on_validation_epoch_end

    def on_validation_epoch_end(self):
        original(self)
        with torch.no_grad():
            self.model.head.bias.fill_(math.inf)

    monkeypatch.setattr(RegressionModule, "on_validation_epoch_end", on_validation_epoch_end)
    with pytest.raises(
        FloatingPointError, match=r"model\.head\.bias is not finite at step 2: .*best"
    ):
        tiny_run(*LSTM)
    assert all(value.isfinite().all() for value in weights(failed_run(tmp_path)).values())


def test_steps_that_a_loss_scaler_skips_are_no_fault(tiny_run, broken_at, monkeypatch):
    monkeypatch.setattr(
        "lightning.pytorch.plugins.precision.Precision.scaler", object(), raising=False
    )
    broken_at(7)
    folder = tiny_run(*LSTM)
    assert report_of(folder)["status"] == "finished"


def test_a_training_that_diverged_is_said_to_have(tiny_run, capfd):
    folder = tiny_run(*LSTM, "optimizer.lr=1e6")
    report = report_of(folder)
    assert report["status"] == "finished"
    assert "the training diverged: its best validation loss is" in report["warning"]
    assert report["warning"] in capfd.readouterr().err
    assert "warning" not in report_of(tiny_run(*LSTM))
