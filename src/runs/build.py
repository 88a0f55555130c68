"""From a composed config to the objects of one run: data, module, callbacks, trainer."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.config.trust import settled
from src.config.values import SCORES
from src.data import PriceDataModule
from src.data.facts import DataFacts
from src.data.identity import identity_of
from src.interventions.schedule import Schedule
from src.models.contract import PARTS, parts_used
from src.models.fitted.fitted import FittedRegressor
from src.models.output import PointOutput
from src.models.regressor import build_regressor
from src.runs.checkpoint import AtomicCheckpointIO
from src.runs.folder import CHECKPOINTS
from src.runs.last_state import LastState
from src.runs.observers import guarded
from src.training.module import RegressionModule
from src.training.tasks import TASKS

GIB = 1 << 30
_COPIES = 4
"""Of a number that is trained: itself, its gradient, and two moments of the optimiser."""


def build(config: Any, **facts: Any) -> Any:
    """Instantiate a config node; a constructor's own error comes through unwrapped."""
    plain = settled(config)
    with answered(str(config._get_full_key(None) or "config")):
        try:
            return instantiate(plain, **facts)
        except InstantiationException as error:
            raise (error.__cause__ or error) from None


@contextmanager
def answered(part: str) -> Iterator[None]:
    """Turn whatever a constructor trips over into a line that names the part of the config.

    Args:
        part: the group or key that is being built.

    Raises:
        ValueError: the constructor refused its options, in whichever way.
    """
    try:
        yield
    except (ValueError, OSError):
        raise
    except Exception as error:  # TypeError, ImportError, Lightning's own: the options are at fault
        raise ValueError(f"{part}: {error or type(error).__name__}") from error


def build_datamodule(config: DictConfig) -> PriceDataModule:
    """Return the data, read, checked and split.

    Raises:
        ValueError: a file or an option cannot be used.
    """
    # A checkpoint of earlier times knows of no schedule.
    schedule = build(config.schedule) if "schedule" in config else None
    datamodule = build(config.data, changes=schedule or None)
    if evaluation := config.get("evaluation"):  # a checkpoint of earlier times knows of none
        if type(datamodule) is not PriceDataModule:
            raise ValueError("evaluation=walk_forward needs prices: data=prices or data=bars")
        datamodule.walk = build(evaluation)
    datamodule.setup()
    return datamodule


def schedule_of(data: PriceDataModule | DataFacts) -> Schedule | None:
    """Return what happens while a model trains on the data; None for nothing."""
    changes = getattr(data, "changes", None)
    return changes if isinstance(changes, Schedule) else None


def build_module(config: DictConfig, data: PriceDataModule | DataFacts) -> RegressionModule:
    """Return the LightningModule for what the data is: its T, F, statistics and baseline.

    Its hyperparameters hold the config and these facts, so that a checkpoint is enough to predict.

    Raises:
        ValueError: the options do not fit each other or the data.
    """
    facts = data if isinstance(data, DataFacts) else DataFacts.of(data)
    encoder, pooling, norm = (build(config[group]) for group in ("model", "pooling", "norm"))
    # A checkpoint of earlier times knows of no output.
    output = build(config.output) if "output" in config else PointOutput()
    if output.levels and facts.target.kind == "direction":
        raise ValueError("data.target=direction forecasts a probability as it is: use output=point")
    with answered("model"):
        _refuse_too_large(encoder, facts, copies=1 if facts is data else _COPIES)
        model = build_regressor(
            encoder,
            pooling,
            norm,
            dict(config.dropout),
            context_length=facts.context_length,
            num_features=facts.num_features,
            feature_mean=facts.feature_mean,
            feature_std=facts.feature_std,
            persistence=facts.persistence,
            history=facts.history,
            num_outputs=facts.target.num_outputs,
            output=output,
        )
        if facts is not data and isinstance(model, FittedRegressor):
            model.refuse(facts.target.kind)
    prior = build(config.pooling_prior)
    if prior is not None:
        prior.check(getattr(model, "pooling", None))
    optimizer = _clippable(build(config.optimizer), config.get("trainer") or {})
    _refuse_bad_optimizer(optimizer, model.parameters())
    if schedule := schedule_of(data):
        schedule.attach(model)
    return RegressionModule(
        model,
        to_price=facts.to_price,
        optimizer=optimizer,
        prior=prior,
        hyperparameters={
            "config": OmegaConf.to_container(config, resolve=True),
            "data": facts.to_dict(),
            **({} if isinstance(data, DataFacts) else {"prices": identity_of(data.tables)}),
        },
        task=TASKS[facts.target_scaling.kind],
        output=output,
    )


def compile_model(module: RegressionModule, accelerator: str) -> None:
    """Have a model run on kernels that `torch.compile` makes of it, if this machine can make any.

    Args:
        module: its `model` is compiled in place; weights and their names stay.
        accelerator: `trainer.accelerator`.

    Raises:
        ValueError: with why it cannot: no compiler for the processor, no Triton for the GPU.
    """
    device = "cuda" if torch.cuda.is_available() and accelerator != "cpu" else "cpu"
    try:
        torch.compile(torch.sin)(torch.zeros(8, device=device))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"compile: this machine cannot, use compile=false: {reason}") from error
    module.model.compile()


def _refuse_too_large(
    encoder: Callable[..., torch.nn.Module], facts: DataFacts, copies: int
) -> None:
    """Refuse sizes that this machine's memory cannot hold, before any of it is taken.

    Raises:
        ValueError: with what is needed and what there is.
    """
    if "pooling" not in parts_used(encoder):  # a baseline is as large as a window
        return
    with torch.device("meta"):
        without_memory = encoder(facts.num_features, facts.context_length)
    numbers = sum(p.numel() for p in without_memory.parameters())
    needed, there = 4 * copies * numbers, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise ValueError(
            f"{numbers:,} numbers take {needed / GIB:,.1f} GiB, this machine has {there / GIB:,.1f}"
        )


def effective_choices(choices: Mapping[str, Any], module: RegressionModule) -> dict[str, Any]:
    """Return the choices that matter: groups that the model does not use have none.

    Args:
        choices: config groups and the option chosen in each.
        module: what was built of them.
    """
    without = set(PARTS - parts_used(module.model))
    if "pooling" in without:
        without.add("pooling_prior")
    if not any(p.requires_grad for p in module.parameters()):
        without.add("optimizer")
    return {group: None if group in without else option for group, option in choices.items()}


def build_callbacks(
    config: DictConfig, module: RegressionModule, data: PriceDataModule, folder: Path
) -> list[pl.Callback]:
    """Return the configured callbacks, then what acts after they have measured."""
    callbacks = []
    for node in config.callbacks.values():
        if node is not None:
            is_checkpoint = node._target_.endswith((".ModelCheckpoint", ".LastState"))
            facts: dict[str, Any] = {"dirpath": str(folder / CHECKPOINTS)} if is_checkpoint else {}
            if node.get("save_last"):  # of an earlier config: its last one was the last best
                facts["save_last"] = False
            _refuse_other_score(node.get("monitor"), module, data)
            callbacks.append(guarded(build(node, **facts)))
    if "last_state" not in config.callbacks:
        callbacks.append(LastState(str(folder / CHECKPOINTS)))
    prior_callbacks = module.prior.callbacks() if module.prior is not None else ()
    schedule = schedule_of(data)
    return [*callbacks, *prior_callbacks, *([schedule] if schedule else [])]


def _refuse_other_score(monitor: Any, module: RegressionModule, data: PriceDataModule) -> None:
    """Refuse to wait for a score of another kind of target."""
    own = {"val/loss", "val/skill", *(f"val/{name}" for name in module.task.scores)}
    if monitor in SCORES and monitor not in own:
        raise ValueError(
            f"{monitor} is no score of data.target={data.target}: {', '.join(sorted(own))}"
        )


def build_trainer(
    config: DictConfig, callbacks: list[pl.Callback], folder: Path | None
) -> pl.Trainer:
    """Return the Trainer, with its loggers, if any, writing into the run folder.

    Raises:
        ValueError: the options do not fit each other or this machine, such as a GPU where none is.
    """
    devices, cores = config.trainer.devices, os.cpu_count() or 1
    if not torch.cuda.is_available() and type(devices) is int and devices > cores:
        raise ValueError(
            f"trainer.devices: this machine has {cores} processor cores, got {devices}"
        )
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


def refuse_empty_parts(trainer: DictConfig, data: PriceDataModule) -> None:
    """Refuse a part of the data, or an interval, that comes to no batch or to no validation.

    Args:
        trainer: the Trainer's node.
        data: set up.

    Raises:
        ValueError: naming the key and how many batches there are.
    """
    loaders = {"train": data.train_dataloader, "val": data.val_dataloader}
    loaders["test"] = data.test_dataloader
    batches = {}
    for part, loader in loaders.items():
        found, limit = len(loader()), trainer.get(f"limit_{part}_batches")
        is_share = type(limit) is float
        batches[part] = int(found * limit) if is_share else min(found, limit or found)
        if batches[part] == 0:
            raise ValueError(f"trainer.limit_{part}_batches: {limit} of {found} batches is none")
    every = trainer.val_check_interval
    if type(every) is int and trainer.check_val_every_n_epoch and every > batches["train"]:
        raise ValueError(
            f"trainer.val_check_interval: an epoch has {batches['train']} batches, got {every}; "
            "with check_val_every_n_epoch=null it counts across epochs"
        )


def _clippable(
    optimizer: Callable[..., torch.optim.Optimizer], trainer: Mapping[str, Any]
) -> Callable[..., torch.optim.Optimizer]:
    """Return the optimiser in a form whose gradients Lightning clips under autocast.

    A fused one takes the loss scale out by itself, after the clipping, so Lightning refuses to
    clip; in bf16-mixed too, where there is no scale.
    """
    is_mixed = str(trainer.get("precision")).endswith("-mixed")
    fused = isinstance(optimizer, partial) and optimizer.keywords.get("fused")
    if fused and is_mixed and trainer.get("gradient_clip_val"):
        return partial(optimizer, fused=False)
    return optimizer


def _refuse_bad_optimizer(
    optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer],
    parameters: Iterable[torch.nn.Parameter],
) -> None:
    """Make the optimiser once, so that a bad option is found before anything is written."""
    trained = [p for p in parameters if p.requires_grad]
    if trained:
        with answered("optimizer"):
            optimizer(trained)


def load_weights(
    module: RegressionModule, datamodule: PriceDataModule | None, checkpoint: Mapping[str, Any]
) -> None:
    """Put a checkpoint's weights into a module, and a schedule where it stood with them.

    Raises:
        ValueError: the weights are not those of such a module; the first that differs is named.
    """
    _refuse_other_weights(module.state_dict(), checkpoint["state_dict"])
    module.load_state_dict(checkpoint["state_dict"])
    if datamodule is not None and (schedule := schedule_of(datamodule)):
        schedule.step = checkpoint["global_step"]


def _refuse_other_weights(own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name in dict.fromkeys([*own, *given]):
        if name not in given or name not in own:
            where = "the model" if name in own else "the checkpoint"
            raise ValueError(f"only {where} has {name}")
        shapes = tuple(own[name].shape), tuple(getattr(given[name], "shape", ()))
        if shapes[0] != shapes[1]:
            raise ValueError(f"{name} is {shapes[0]} in the model, {shapes[1]} in the checkpoint")
        if own[name].is_floating_point() != given[name].is_floating_point():  # would be cut off
            kinds = own[name].dtype, given[name].dtype
            raise ValueError(f"{name} is {kinds[0]} in the model, {kinds[1]} in the checkpoint")
