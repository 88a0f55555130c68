"""A trained run opened again: its data, its model, its best weights."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.config.trust import trusted
from src.data import PriceDataModule
from src.runs.build import build_datamodule, build_module, schedule_of
from src.runs.checkpoint import load_checkpoint
from src.runs.folder import find_checkpoint
from src.training.module import RegressionModule


def restore(ckpt_path: str | Path) -> tuple[RegressionModule, PriceDataModule]:
    """Rebuild the module and the data of a run from its checkpoint.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.

    Returns:
        The module in evaluation mode with the checkpoint's weights, and the data it was trained on.

    Raises:
        ValueError: there is no checkpoint, it cannot be read, or it does not fit its own config.
    """
    path = find_checkpoint(Path(ckpt_path))
    checkpoint = load_checkpoint(path)
    try:
        config = OmegaConf.create(trusted(checkpoint["hyper_parameters"]["config"], path))
        state = checkpoint["state_dict"]
    except KeyError as error:
        raise ValueError(f"{path} was not written by this project: no {error}") from None
    assert isinstance(config, DictConfig)
    datamodule = build_datamodule(config)
    module = build_module(config, datamodule)
    if schedule := schedule_of(datamodule):
        schedule.step = checkpoint["global_step"]
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its config: {error}") from None
    return module.eval(), datamodule
