"""Scaled columns: which, by how much, when, and why Adam does not mind."""

from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from src.interventions.gradient_scaling import GradientScaling, feature_columns, scale_columns

GROUPS = {"market": slice(0, 4), "position": slice(4, 10)}


class Module(pl.LightningModule):
    def __init__(self, optimizer: type = torch.optim.SGD) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.ModuleDict({"temporal_projection": nn.Linear(10, 3)})
        self.optimizer = optimizer

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.model["temporal_projection"](batch) - 1).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters(), lr=0.01)


class Data(pl.LightningDataModule):
    feature_groups = GROUPS

    def train_dataloader(self) -> DataLoader:
        x = torch.randn(5, 8, 10, generator=torch.Generator().manual_seed(1))
        return DataLoader(x, batch_size=None)


class Recorder(pl.Callback):
    def __init__(self) -> None:
        self.grads: list[Tensor] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.grads.append(pl_module.model["temporal_projection"].weight.grad.clone())


def fit(callbacks: list[pl.Callback], optimizer: type = torch.optim.SGD, **options: Any) -> Module:
    module = Module(optimizer)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **options,
    )
    trainer.fit(module, Data())
    return module


def test_columns_of_a_gradient_are_scaled_in_place() -> None:
    grad = torch.ones(2, 4)
    scale_columns(grad, slice(2, 4), 0.5)
    assert grad.tolist() == [[1, 1, 0.5, 0.5]] * 2


@pytest.mark.parametrize(
    ("features", "columns"),
    [
        ("position", [4, 5, 6, 7, 8, 9]),
        ("market", [0, 1, 2, 3]),
        (0.2, [8, 9]),
        (1.0, [*range(10)]),
    ],
)
def test_features_are_a_group_or_a_share_from_the_last_column(
    features: str | float, columns: list[int]
) -> None:
    assert list(range(10))[feature_columns(features, 10, GROUPS)] == columns


@pytest.mark.parametrize("accumulate", [1, 2])
def test_those_columns_alone_are_scaled_once_a_step_after_measurement(accumulate: int) -> None:
    before, after = Recorder(), Recorder()
    callbacks = [before, GradientScaling(), after]
    fit(callbacks, accumulate_grad_batches=accumulate)
    factor = torch.ones(10)
    factor[4:] = 0.05
    assert len(before.grads) == (5 if accumulate == 1 else 3)
    for measured, scaled in zip(before.grads, after.grads, strict=True):
        torch.testing.assert_close(scaled, measured * factor)


def test_a_constant_factor_cancels_in_adam_but_not_in_sgd() -> None:
    weights = {
        (name, scaled): fit([GradientScaling()] if scaled else [], optimizer)
        .model["temporal_projection"]
        .weight.detach()
        for name, optimizer in (("adam", torch.optim.Adam), ("sgd", torch.optim.SGD))
        for scaled in (False, True)
    }
    torch.testing.assert_close(weights["adam", True], weights["adam", False], atol=1e-5, rtol=0)
    assert (weights["sgd", True] - weights["sgd", False])[:, 4:].abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameter": "projection.weight"}, "exactly one matrix, got projection.weight, .* none"),
        ({"parameter": "temporal_projection.bias"}, "exactly one matrix, got temporal_proj.*bias"),
        ({"features": "volume"}, "features must be one of market, position, got volume"),
        ({"features": 0.0}, r"a share in \(0, 1\], got 0.0"),
        ({"features": 1.5}, r"a share in \(0, 1\], got 1.5"),
    ],
)
def test_what_cannot_be_scaled_is_refused_before_training(
    options: dict[str, Any], message: str
) -> None:
    callback, trainer, module = (
        GradientScaling(**options),
        SimpleNamespace(datamodule=Data()),
        Module(),
    )
    with pytest.raises(ValueError, match=message):
        callback.on_fit_start(trainer, module)


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf")])
def test_a_factor_that_makes_no_sense_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=f"factor must be at least 0 and finite, got {factor}"):
        GradientScaling(factor=factor)
