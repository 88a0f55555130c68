import torch

from src.config import ALLOWED_TARGETS
from src.runs.folder import find_checkpoint
from src.runs.renamed import RENAMED, with_present_names
from src.runs.restore import restore


def test_present_names_are_those_a_config_may_name_and_old_ones_are_not():
    assert set(RENAMED.values()) <= ALLOWED_TARGETS
    assert not set(RENAMED) & ALLOWED_TARGETS


def test_names_are_changed_at_any_depth_and_nothing_else_is():
    old = {"callbacks": [{"_target_": "src.training.loggers.CSVLogger", "x": [1, None]}]}
    new = {"callbacks": [{"_target_": "src.board.loggers.CSVLogger", "x": [1, None]}]}
    assert with_present_names(old) == new
    assert with_present_names(new) == new


def test_a_checkpoint_that_names_classes_as_they_were_still_opens(tiny_run):
    folder = tiny_run(
        "data=scenario",
        "schedule=dead_inputs",
        "model=transformer_tiny",
        "pooling=gated",
        "pooling_prior=recency_kl",
    )
    path = find_checkpoint(folder)
    checkpoint = torch.load(path, weights_only=True)
    config = checkpoint["hyper_parameters"]["config"]
    config["schedule"]["_target_"] = "src.data.Schedule"
    config["pooling_prior"]["_target_"] = "src.training.prior.PoolingPrior"
    torch.save(checkpoint, path)
    module, datamodule = restore(path)
    assert module.prior is not None
    assert datamodule.changes.step == checkpoint["global_step"]
