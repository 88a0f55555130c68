"""Training in two processes is training in one with batches twice as large, as a command."""

import json
import os
import subprocess
import sys

import pytest


def trained(folder, *overrides):
    """Run the command, and return the report of its one run."""
    command = [sys.executable, "-m", "src.train", "experiment=price_lstm", f"log_dir={folder}"]
    command += ["model.hidden_size=4", "data.context_length=20", "trainer.max_epochs=1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, "logger=csv", *overrides], env=environment, check=True, capture_output=True
    )
    (report,) = folder.glob("*/*/report.json")
    return json.loads(report.read_text())


@pytest.mark.slow
def test_two_processes_train_and_diagnose_like_one_with_the_doubled_batch(tmp_path):
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "data.batch_size=128")
    two = trained(tmp_path / "two", *ddp)
    one = trained(tmp_path / "one", "trainer=cpu", "data.batch_size=256")
    assert two["best"]["val_loss"] == pytest.approx(one["best"]["val_loss"], abs=1e-6)
    assert two["best"]["steps_trained"] == one["best"]["steps_trained"]
    assert two["test"]["model"]["rmse"] == pytest.approx(one["test"]["model"]["rmse"], rel=1e-5)
    causes = [[f["cause"] for f in run["diagnosis"]["findings"]] for run in (one, two)]
    assert causes[0] == causes[1]
    assert one["diagnosis"]["num_batches"] == two["diagnosis"]["num_batches"] > 0
    assert one["zero_grad_fraction"] == two["zero_grad_fraction"]
