"""What a fit's end shows of its layers: planted dead units are counted, the key third is idle."""

from contextlib import nullcontext
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

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


class ByHand(nn.Module):
    """A layer of which everything is known: attention hands on the mean of its values, all 0.

    Of its four units the first two are never above 0; the third is where a bar's first feature is
    the larger one, the fourth everywhere else.
    """

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(2, 1, 4, 0.5, batch_first=True, norm_first=True)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.layer.norm2.weight.fill_(1)
            self.layer.self_attn.out_proj.weight.copy_(torch.eye(2))
            self.layer.linear1.weight[2:, 0] = torch.tensor([1.0, -1.0])
            self.layer.linear1.bias[1] = -1

    def forward(self, x_btf):
        return self.layer(x_btf)[:, -1, :1]

    def diagnosis_loss(self, batch):
        return self(batch.x).mean()


def measured(module, batch):
    """Return a monitor after a fit that last validated on a batch."""
    precision = SimpleNamespace(train_step_context=nullcontext)
    nothing = {"strategy": None, "callbacks": [], "loggers": [], "optimizers": []}
    trainer = SimpleNamespace(precision_plugin=precision, **nothing)
    monitor = LayerMonitor()
    if batch is not None:
        monitor.on_validation_batch_end(trainer, module, None, batch, 0)
    monitor.on_train_end(trainer, module)
    return monitor


def test_a_unit_above_0_once_lives_and_only_the_values_bias_moves_this_forecast():
    x_btf = torch.tensor([0.0, 1.0]).repeat(2, 2, 1)
    x_btf[0, 1] = torch.tensor([1.0, 0.0])  # the one bar where the third unit is above 0
    monitor = measured(ByHand(), SimpleNamespace(x=x_btf))
    idle = {"gradient": 0.0, "shift": 0.0}
    moves = {"gradient": pytest.approx(1.0), "shift": pytest.approx(1.0)}
    assert monitor.dead_units == {"layer": 0.5}
    assert monitor.biases == {"layer": {"query": idle, "key": idle, "value": moves}}
    layers = {"dead_units": monitor.dead_units, "biases": monitor.biases}
    assert monitor.report() == {"layers": layers}


@pytest.mark.parametrize(
    ("module", "batch"), [(nn.Linear(2, 1), "no windows"), (ByHand(), None)], ids=["layer", "batch"]
)
def test_without_a_layer_or_a_validation_nothing_is_measured(module, batch):
    monitor = measured(module, batch)
    assert (monitor.dead_units, monitor.biases) == ({}, {})
