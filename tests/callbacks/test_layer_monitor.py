"""What a fit's end shows of its layers: planted dead units are counted, the key third is idle."""

import lightning.pytorch as pl
import pytest
import torch

from src.callbacks.layer_monitor import LayerMonitor
from src.runs.opening import open_run
from tests.conftest import report_of

MONITORED = (
    "data=scenario",
    "model=transformer_tiny",
    "+callbacks.layer_monitor={_target_:src.callbacks.layer_monitor.LayerMonitor}",
)


def test_a_run_reports_dead_units_and_an_idle_key_third(tiny_run):
    layers = report_of(tiny_run(*MONITORED))["layers"]
    (name,) = layers["dead_units"]
    assert name == "model.encoder.layers.0"
    assert 0 <= layers["dead_units"][name] < 0.2
    thirds = layers["biases"][name]
    assert thirds["query"]["gradient"] > 1e3 * thirds["key"]["gradient"]
    assert thirds["query"]["shift"] > 1e3 * thirds["key"]["shift"]
    assert thirds["value"]["shift"] > 1e3 * thirds["key"]["shift"]


def test_planted_dead_units_are_counted_and_nothing_is_left_behind(kept_run):
    run = open_run(kept_run(*MONITORED))
    module = run.module
    layer = module.model.encoder.layers[0]
    with torch.no_grad():
        layer.linear1.bias[:16] = -1e6  # 16 of 64
    before = {name: value.clone() for name, value in module.state_dict().items()}
    batch = run.datamodule.datasets["val"][torch.arange(40)]
    monitor = LayerMonitor()
    monitor.on_validation_batch_end(None, module, None, batch, 0)
    monitor.on_train_end(_trainer(module), module)
    assert monitor.dead_units["model.encoder.layers.0"] == pytest.approx(0.25, abs=0.02)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not layer.linear1._forward_hooks


def _trainer(module):
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    return trainer
