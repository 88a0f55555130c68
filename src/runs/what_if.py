"""The same batches replayed under each option of pooling, norm and dropout: what would change?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from omegaconf import DictConfig, OmegaConf

from src.config import CONFIG_DIR
from src.data import PriceDataModule
from src.diagnostics import ParameterGradient, summarize_gradients
from src.models.contract import parts_used
from src.runs.build import build, build_module
from src.training.module import RegressionModule

GROUPS = ("pooling", "norm", "dropout")


class Replay(NamedTuple):
    """One option's gradients on the batches that every option saw.

    Attributes:
        group: the config group varied.
        option: the option taken.
        current: whether this is what the diagnosed model has.
        gradient: the first weight that multiplies the features; None where the option is refused.
        gradient_norm: norm over all parameters.
        loss: mean loss over the batches, scaled target.
        refused: why the option does not fit the model or the data.
    """

    group: str
    option: str
    current: bool
    gradient: ParameterGradient | None = None
    gradient_norm: float = 0.0
    loss: float = 0.0
    refused: str = ""


def replay_options(
    config: DictConfig,
    datamodule: PriceDataModule,
    batches: Sequence[Any],
    trained: RegressionModule | None = None,
) -> list[Replay]:
    """Replay the batches under each option of each group, all else as it is.

    Every model starts from the config's seed; where a trained module is given, its weights are used
    wherever a name and shape of theirs fits.

    Args:
        config: a composed conf/train.yaml.
        datamodule: the data, set up.
        batches: what every option is shown.
        trained: the module whose weights the options share.

    Returns:
        One row for each option, group by group.
    """
    # Without an encoder there is no weight whose columns are the features.
    if "pooling" not in parts_used(build(config.model)):
        return []
    return [
        _replay(config, group, option, datamodule, batches, trained)
        for group in GROUPS
        for option in sorted(file.stem for file in (CONFIG_DIR / group).glob("*.yaml"))
    ]


def _replay(
    config: DictConfig,
    group: str,
    option: str,
    datamodule: PriceDataModule,
    batches: Sequence[Any],
    trained: RegressionModule | None,
) -> Replay:
    node = OmegaConf.load(CONFIG_DIR / group / f"{option}.yaml")
    current = _same_choice(node, config[group])
    changed = config.copy()
    if not current:
        changed[group] = node
    # A prior may not fit every pooling, and the question here is what the task's gradient does.
    changed.pooling_prior = OmegaConf.load(CONFIG_DIR / "pooling_prior" / "none.yaml")
    pl.seed_everything(config.seed, verbose=False)
    try:
        module = build_module(changed, datamodule)
    except ValueError as error:
        return Replay(group, option, current, refused=str(error))
    if trained is not None:
        _share_weights(trained, module)
    pl.seed_everything(config.seed, verbose=False)
    loss = torch.stack([module.diagnosis_loss(batch) for batch in batches]).mean()
    loss.backward()
    rows = summarize_gradients(module.model)
    norm = sum(row.norm**2 for row in rows) ** 0.5
    first = first_feature_weight(rows, datamodule.num_features)
    return Replay(group, option, current, first, norm, loss.item())


def first_feature_weight(rows: Sequence[ParameterGradient], num_features: int) -> ParameterGradient:
    """Return the first weight whose columns are the input features.

    >>> import torch
    >>> from src.diagnostics import summarize_gradients
    >>> layers = torch.nn.Sequential(torch.nn.LayerNorm(3), torch.nn.Linear(3, 2))
    >>> first_feature_weight(summarize_gradients(layers), num_features=3).name
    '1.weight'
    """
    return next(row for row in rows if len(row.shape) == 2 and row.shape[1] == num_features)


def _same_choice(option: Any, current: Any) -> bool:
    """Whether a group's option is the one in use: the same class, or for plain values the same."""
    if "_target_" not in option:
        return option == current
    return {**option} == {**option, **{k: v for k, v in current.items() if k in option}}


def _share_weights(trained: RegressionModule, module: RegressionModule) -> None:
    own = module.state_dict()
    fitting = {
        name: value
        for name, value in trained.state_dict().items()
        if name in own and own[name].shape == value.shape
    }
    module.load_state_dict(own | fitting)
