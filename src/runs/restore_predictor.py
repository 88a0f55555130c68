"""A trained run opened for forecasts: its checkpoint is enough, the data is not read again."""

import logging
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.config.trust import trusted
from src.data.facts import DataFacts
from src.runs.build import build_module
from src.runs.calibration import Calibration, calibrate, read_calibration
from src.runs.checkpoint import load_checkpoint
from src.runs.folder import find_checkpoint
from src.runs.predictor import Predictor, bitwise_block_size
from src.runs.restore import restore
from src.training.module import RegressionModule

log = logging.getLogger(__name__)


def restore_module(ckpt_path: str | Path) -> tuple[RegressionModule, DataFacts]:
    """Rebuild a run's module from its checkpoint alone.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.

    Returns:
        The module in evaluation mode with the checkpoint's weights, and the facts of its data.

    Raises:
        ValueError: there is no checkpoint, it cannot be read, does not fit its own config, or was
            trained on bars that no market has.
    """
    path = find_checkpoint(Path(ckpt_path))
    checkpoint = load_checkpoint(path)
    try:
        config = OmegaConf.create(trusted(checkpoint["hyper_parameters"]["config"], path))
        facts = DataFacts.from_dict(checkpoint["hyper_parameters"]["data"])
        state = checkpoint["state_dict"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} was not written by this version: no {error}") from None
    assert isinstance(config, DictConfig)
    if facts.features == "scenario" or (config.get("schedule") or {}).get("events"):
        raise ValueError(
            f"{path} was trained on bars that were made up or changed by a schedule: "
            "it forecasts no prices"
        )
    module = build_module(config, facts)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its config: {error}") from None
    return module.eval(), facts


def restore_predictor(ckpt_path: str | Path) -> Predictor:
    """Open a run for forecasts.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.

    Returns:
        The predictor. Its intervals come from the run folder's calibration; for another checkpoint
        the errors are measured anew, and without the data it was trained on there are none.

    Raises:
        ValueError: as `restore_module`.
    """
    module, facts = restore_module(ckpt_path)
    calibration = read_calibration(find_checkpoint(Path(ckpt_path))) or _measure(ckpt_path)
    size = bitwise_block_size(module, facts.context_length, facts.num_features)
    return Predictor(module, facts, calibration, size)


def _measure(ckpt_path: str | Path) -> Calibration | None:
    try:
        return calibrate(*restore(ckpt_path))
    except ValueError as error:
        log.warning("no prediction intervals: the run's own data cannot be read: %s", error)
        return None
