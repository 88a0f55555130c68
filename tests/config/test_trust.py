"""What a config may hold, by hand; the hostile ones are in test_hostile_configs.py."""

import pytest
import yaml
from hydra.utils import get_object
from omegaconf import OmegaConf

from src.config import CONFIG_DIR
from src.config.trust import CheckpointError, classes, settled, trusted

CLASSES = [(group, target) for group, known in classes().items() for target in known]

# A run of the first day, as its checkpoint holds it: modules have moved since.
OLD = """
data: {_target_: src.data.PriceDataModule, features: prices, context_length: 60, seed: 0}
schedule:
  _target_: src.data.Schedule
  scale: 0.1
  events: {die: {step: 5, block: position, event: dead}}
model: {_target_: src.models.RecurrentEncoder, _partial_: true, cell: lstm, hidden_size: 50}
pooling: {_target_: src.models.LearnablePooling, _partial_: true, init: uniform}
pooling_prior:
  _target_: src.training.prior.PoolingPrior
  recent_steps: 3
  injection: {_target_: src.callbacks.pooling_prior.GradientInjection, _partial_: true}
  update: {_target_: src.callbacks.pooling_prior.DirectUpdate, _partial_: true, rate: 0.1}
norm: {_target_: src.models.Norm, _partial_: true}
dropout: {input: 0.0, projection: 0.0, encoder: 0.0}
optimizer: {_target_: torch.optim.Adam, _partial_: true, lr: 0.001}
trainer: {_target_: lightning.pytorch.Trainer, max_epochs: 20, gradient_clip_val: null}
callbacks:
  model_checkpoint: {_target_: lightning.pytorch.callbacks.ModelCheckpoint, filename: best}
  early_stopping: null
  gradient_health: {_target_: src.callbacks.GradientHealth, every_n_steps: 50}
  position_gradients: {_target_: src.callbacks.gradient_scaling.GradientScaling, factor: 0.05}
logger:
  tensorboard: {_target_: src.training.loggers.TensorBoardLogger, save_dir: lightning_logs}
name: null
seed: 0
ckpt_path: null
log_dir: lightning_logs
"""


def test_a_config_of_the_first_day_names_todays_classes():
    stored = yaml.safe_load(OLD)
    present = trusted(stored, "old.ckpt")
    targets = [
        present["schedule"]["_target_"],
        present["pooling_prior"]["_target_"],
        present["pooling_prior"]["injection"]["_target_"],
        present["pooling_prior"]["update"]["_target_"],
        present["callbacks"]["position_gradients"]["_target_"],
        present["logger"]["tensorboard"]["_target_"],
    ]
    assert all(isinstance(get_object(target), type) for target in targets)
    assert targets[1:] == [
        "src.interventions.prior.PoolingPrior",
        "src.interventions.logits.GradientInjection",
        "src.interventions.logits.DirectUpdate",
        "src.interventions.gradient_scaling.GradientScaling",
        "src.board.loggers.TensorBoardLogger",
    ]
    # Nothing but the names of classes has changed.
    assert present["model"] == stored["model"] | {"_target_": present["model"]["_target_"]}
    assert present["trainer"] == stored["trainer"]
    assert present["callbacks"]["early_stopping"] is None


@pytest.mark.parametrize(("group", "target"), CLASSES)
def test_every_class_on_the_list_exists(group, target):
    assert isinstance(get_object(target), type)


def test_a_class_that_moved_is_found_by_its_name_alone():
    for known in classes().values():
        names = [target.rpartition(".")[2] for target in known if target.startswith("src.")]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "pandas.read_pickle",
        "builtins.open",
        "src.data.reading.sources.pd.read_pickle",
        "torch.optim.adam.torch.load",
        "hydra.utils.instantiate",
        "torch.optim.Optimizer",
        "src.models.pooling.LastPooling",
        "",
        None,
        ["os.system"],
    ],
)
@pytest.mark.parametrize("place", ["model", "callbacks.extra", "extra", "list.0"])
def test_a_config_can_name_nothing_to_call_that_is_not_on_the_list(target, place):
    node = {"_target_": target, "path": "x"}
    if place == "list.0":
        config = OmegaConf.create({"list": [{"deep": node}]})
    else:
        config = OmegaConf.create({})
        OmegaConf.update(config, place, node, force_add=True)
    with pytest.raises(ValueError, match="not a class this project builds"):
        settled(config)


def test_what_is_checked_is_what_is_built():
    config = OmegaConf.create(
        {"seed": 3, "optimizer": {"_target_": "torch.optim.${name}", "_partial_": True, "lr": 0.1}}
    )
    config.name = "Adam"
    assert settled(config)["optimizer"]["_target_"] == "torch.optim.Adam"
    assert settled(config.optimizer)["_target_"] == "torch.optim.Adam"
    config.name = "Optimizer"
    with pytest.raises(ValueError, match=r"optimizer\._target_: 'torch.optim.Optimizer'"):
        settled(config.optimizer)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (None, "a config is a mapping, got NoneType"),
        ({"name": "${seed}"}, r"name: a plain value is expected, got '\$\{seed\}'"),
        ({"name": b"bytes"}, "name: a plain value is expected, got a bytes"),
        ({3: "x"}, "a key is a plain text, got 3"),
        ({"model": {"_partial_": True}}, "model._target_: None is not a class"),
        (
            {"model": {"_target_": "src.models.RecurrentEncoder"}},
            "model._partial_: true is expected",
        ),
    ],
)
def test_a_stored_config_holds_plain_values_only(stored, message):
    with pytest.raises(CheckpointError, match=f"a/best.ckpt: the config in it.*: {message}"):
        trusted(stored, "a/best.ckpt")
    assert CheckpointError.exit_code == 3


def test_the_classes_of_every_group_are_on_the_list_of_their_own_group():
    known = classes()
    assert known["norm"]["src.models.norm.LayerNorm"] is True
    assert known["trainer"] == {"lightning.pytorch.Trainer": False}
    assert known["optimizer"]["torch.optim.RMSprop"] is True
    assert "src.sweeping.pruning.Pruning" in known["callbacks"]
    assert set(known) <= {folder.name for folder in CONFIG_DIR.iterdir()}
