"""From a composed config to the objects of one run: data, module, callbacks, trainer."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.data import PriceDataModule, Schedule
from src.data.facts import DataFacts
from src.interventions.unit_death import let_units_die
from src.interventions.unit_schedule import UnitSchedule
from src.models import build_regressor
from src.runs.checkpoint import AtomicCheckpointIO
from src.runs.folder import CHECKPOINTS
from src.training.module import RegressionModule


def build(config: Any, **facts: Any) -> Any:
    """Instantiate a config node; a constructor's own error comes through unwrapped."""
    try:
        return instantiate(config, **facts)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None


def build_datamodule(config: DictConfig) -> PriceDataModule:
    """Return the data, read, checked and split.

    Raises:
        ValueError: a file or an option cannot be used.
    """
    datamodule = build(config.data, schedule=_schedule(config))
    datamodule.setup()
    return datamodule


def _schedule(config: DictConfig) -> Schedule:
    """Return the schedule; one without events for a checkpoint that knows of none."""
    node = config.get("schedule")
    return build(node) if node is not None else Schedule()


def build_module(config: DictConfig, data: PriceDataModule | DataFacts) -> RegressionModule:
    """Return the LightningModule for what the data is: its T, F, statistics and baseline.

    Its hyperparameters hold the config and these facts, so that a checkpoint is enough to predict.

    Raises:
        ValueError: the options do not fit each other or the data.
    """
    facts = data if isinstance(data, DataFacts) else DataFacts.of(data)
    model = build_regressor(
        build(config.model),
        build(config.pooling),
        build(config.norm),
        dict(config.dropout),
        context_length=facts.context_length,
        num_features=facts.num_features,
        feature_mean=facts.feature_mean,
        feature_std=facts.feature_std,
        persistence=facts.persistence,
    )
    prior = build(config.pooling_prior)
    pooling = getattr(model, "pooling", None)
    if prior is not None:
        prior.check(pooling)
    optimizer = build(config.optimizer)
    _refuse_bad_optimizer(optimizer, model.parameters())
    module = RegressionModule(
        model,
        to_price=facts.to_price,
        optimizer=optimizer,
        prior=prior,
        hyperparameters={
            "config": OmegaConf.to_container(config, resolve=True),
            "data": facts.to_dict(),
        },
    )
    module.deaths = let_units_die(model, _schedule(config).unit_events())
    return module


def set_step(datamodule: PriceDataModule, module: RegressionModule, step: int) -> None:
    """Put a schedule where it stood after so many optimiser steps, for weights of that time."""
    datamodule.step = step
    for death in module.deaths:
        death.step = step


def build_callbacks(
    config: DictConfig, module: RegressionModule, folder: Path
) -> list[pl.Callback]:
    """Return the configured callbacks, then the prior's: it acts after the others have measured."""
    callbacks = []
    for node in config.callbacks.values():
        if node is not None:
            is_checkpoint = node._target_.endswith(".ModelCheckpoint")
            facts = {"dirpath": str(folder / CHECKPOINTS)} if is_checkpoint else {}
            callbacks.append(build(node, **facts))
    prior_callbacks = module.prior.callbacks() if module.prior is not None else ()
    schedule = [UnitSchedule(module.deaths)] if module.deaths else []
    return [*schedule, *callbacks, *prior_callbacks]


def build_trainer(
    config: DictConfig, callbacks: list[pl.Callback], folder: Path | None
) -> pl.Trainer:
    """Return the Trainer, with its loggers, if any, writing into the run folder.

    Raises:
        ValueError: a GPU is asked for and there is none.
    """
    if config.trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"trainer.accelerator={config.trainer.accelerator}: this machine has no usable GPU"
        )
    nodes = config.get("logger", {}).values()
    loggers = [build(node, save_dir=str(folder)) for node in nodes if node is not None]
    return build(
        config.trainer,
        callbacks=callbacks,
        logger=loggers or False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
    )


def _refuse_bad_optimizer(
    optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer],
    parameters: Iterable[torch.nn.Parameter],
) -> None:
    """Make the optimiser once, so that a bad option is found before anything is written."""
    trained = [p for p in parameters if p.requires_grad]
    if trained:
        optimizer(trained)
