"""Whatever the precision of the layers, losses, prices and scores are float32 or better."""

import csv

import pytest
import torch

from src.runs.opening import open_run
from tests.conftest import report_of

PRECISIONS = ["bf16-mixed", "16-mixed", "64-true"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("preset", ["price_lstm", "forced_pooling"])
def test_every_precision_scores_as_full_precision_does(kept_run, preset, precision):
    full = report_of(kept_run(f"experiment={preset}"))
    folder = kept_run(f"experiment={preset}", f"trainer.precision={precision}")
    report = report_of(folder)
    assert report["test"]["baseline"] == full["test"]["baseline"]
    assert report["best"]["val_loss"] == pytest.approx(full["best"]["val_loss"], rel=0.01)
    for name in ("rmse", "mae", "mape"):
        expected = full["test"]["model"][name]
        assert report["test"]["model"][name] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_gradients_are_clipped_in_every_precision(kept_run, optimizer, precision):
    options = [f"optimizer={optimizer}", f"trainer.precision={precision}"]
    folder = kept_run("experiment=price_lstm", "trainer.gradient_clip_val=1e-3", *options)
    assert report_of(folder)["status"] == "finished"


def test_no_forecast_under_autocast_is_rounded_to_the_last_price(kept_run):
    folder = kept_run("experiment=price_lstm", "trainer.precision=bf16-mixed")
    with (folder / "forecasts.csv").open() as file:
        moves = [float(r["predicted_price"]) - float(r["last_price"]) for r in csv.DictReader(file)]
    assert len(moves) > 500
    assert 0 not in moves
    assert len(set(moves)) > 0.5 * len(moves)


def test_what_a_training_under_autocast_scores_is_what_its_run_forecasts(kept_run):
    folder = kept_run("experiment=price_lstm", "trainer.precision=bf16-mixed")
    run = open_run(folder)
    module, data = run.module, run.datamodule
    batch = data.datasets["test"][torch.arange(data.windows("test"))]
    with torch.inference_mode():
        preds = module(batch.x)
        forecast, _ = module.read(preds, batch.reference, batch.series)
    with (folder / "forecasts.csv").open() as file:
        written = torch.tensor([float(row["predicted_price"]) for row in csv.DictReader(file)])
    moves = forecast.flatten() - batch.reference.flatten()
    assert (written - forecast.flatten()).abs().max() < 0.001 * moves.abs().mean()
