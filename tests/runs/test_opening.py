import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir

from src.config import CONFIG_DIR
from src.config.trust import CheckpointError
from src.runs.evaluation import score_run
from src.runs.opening import open_run
from src.runs.run import run
from src.training.module import RegressionModule


def test_a_folder_stands_for_its_best_checkpoint_and_a_file_for_itself(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    for name in ("best", "last", "epoch_3"):
        (checkpoints / f"{name}.ckpt").touch()
    assert open_run(tmp_path).checkpoint_path == checkpoints / "best.ckpt"
    assert open_run(tmp_path, "last").checkpoint_path == checkpoints / "last.ckpt"
    opened = open_run(str(checkpoints / "epoch_3.ckpt"))
    assert opened.checkpoint_path == checkpoints / "epoch_3.ckpt"
    assert opened.folder == tmp_path


def test_a_run_that_chose_no_best_checkpoint_stands_for_its_last(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert open_run(tmp_path).checkpoint_path.name == "last.ckpt"


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"does not exist: {tmp_path}/absent"):
        open_run(tmp_path / "absent")


def test_a_folder_without_a_checkpoint_says_so_when_its_model_is_asked_for(tmp_path):
    run = open_run(tmp_path)
    with pytest.raises(ValueError, match=rf"holds no checkpoints/best\.ckpt: {tmp_path}"):
        _ = run.module


def test_a_checkpoint_of_something_else_names_what_is_missing(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="not written by this version: no 'hyper_parameters'"):
        _ = open_run(tmp_path / "model.ckpt").module


def test_the_parts_of_a_run_are_made_once_and_belong_together(kept_run):
    run = open_run(kept_run("experiment=price_lstm"))
    assert run.module is run.module
    assert run.predictor.model is run.module
    assert run.report["config"] == run.module.hparams["config"]
    assert run.datamodule.context_length == run.config.data.context_length


def test_the_model_opens_where_its_data_is_not(kept_run, tmp_path):
    folder = kept_run("experiment=price_lstm")
    alone = shutil.copy(folder / "checkpoints" / "best.ckpt", tmp_path / "anywhere.ckpt")
    checkpoint = torch.load(alone, weights_only=True)
    del checkpoint["format"]  # the first one had none, and no checksum
    checkpoint["hyper_parameters"]["config"]["data"]["path"] = str(tmp_path / "absent.csv")
    torch.save(checkpoint, alone)
    run = open_run(alone)
    assert run.module.training is False
    with pytest.raises(ValueError, match=r"absent\.csv"):
        _ = run.datamodule


def test_a_checkpoint_that_names_classes_as_they_were_still_opens(kept_run, tmp_path):
    folder = kept_run(
        "data=scenario",
        "schedule=dead_inputs",
        "model=transformer_tiny",
        "pooling=gated",
        "pooling_prior=recency_kl",
    )
    old = tmp_path / "old.ckpt"
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    del checkpoint["format"]
    config = checkpoint["hyper_parameters"]["config"]
    config["schedule"]["_target_"] = "src.data.Schedule"
    config["model"]["_target_"] = "src.models.TransformerEncoder"
    config["pooling_prior"]["_target_"] = "src.training.prior.PoolingPrior"
    torch.save(checkpoint, old)
    assert open_run(old).module.prior is not None


CHANGED = [
    ("hyper_parameters.data.context_length", 61, "context_length is 61, in its config 60"),
    ("hyper_parameters.data.context_length", -1, "context_length is -1"),
    ("hyper_parameters.data.context_length", True, "context_length is True"),
    ("hyper_parameters.data.features", "evil", "features is evil"),
    ("hyper_parameters.data.features", "bars", "input_scaling is {"),
    ("hyper_parameters.data.feature_mean", [[1.0]], "feature_mean is"),
    ("hyper_parameters.data.feature_mean", [float("nan")], "feature_mean is"),
    ("hyper_parameters.data.feature_mean", [], "feature_mean is"),
    ("hyper_parameters.data.feature_std", [-1.0], "feature_std is"),
    ("hyper_parameters.data.feature_std", [1.0, 2.0], "feature_std is"),
    ("hyper_parameters.data.target_scaling.kind", "evil", "target_scaling is"),
    ("hyper_parameters.data.target_scaling.scale", float("nan"), "target_scaling is"),
    ("hyper_parameters.data.input_scaling.offset", "a", "TypeError"),
    ("hyper_parameters.config.model.hidden_size", "a", "in its config model.hidden_size: exp"),
    ("hyper_parameters.config.model.hidden_size", 10**9, "from 1 to 65536, got 1000000000"),
    ("hyper_parameters.config.model", None, "does not fit its config"),
    ("hyper_parameters.config.norm", "x", "does not fit its config"),
    ("hyper_parameters.config.model", [], "does not fit its config: "),
    ("hyper_parameters.config.data", {}, "Missing key context_length"),
    ("hyper_parameters.config.data", None, "data in its config is no mapping"),
    ("hyper_parameters.config.schedule", 7, "schedule in its config is no mapping"),
    ("hyper_parameters.config.model.num_layers", 10**6, "from 1 to 1000, got 1000000"),
    ("hyper_parameters.config.model.hidden_size", 2**16, "GiB, this machine has"),
    (
        "hyper_parameters.config.data.path",
        7,
        "data.path: expected null or one path or a list of paths, got 7",
    ),
    ("hyper_parameters", None, "not written by this version"),
    ("global_step", "a", "its step is 'a'"),
    ("global_step", -1, "its step is -1"),
]


@pytest.mark.parametrize(("key", "value", "message"), CHANGED)
def test_a_checkpoint_of_impossible_values_is_refused_as_foreign(
    kept_run, tmp_path, key, value, message
):
    folder = kept_run("experiment=price_lstm")
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    del checkpoint["format"]
    *above, last = key.split(".")
    node = checkpoint
    for name in above:
        node = node[name]
    node[last] = value
    torch.save(checkpoint, tmp_path / "x.ckpt")
    run = open_run(tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError) as refused:
        _ = run.module, run.datamodule
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_weights_of_another_model_are_named_by_the_first_that_differs(kept_run, tmp_path):
    checkpoint = torch.load(open_run(kept_run("experiment=price_lstm")).checkpoint_path)
    del checkpoint["format"]
    checkpoint["hyper_parameters"]["config"]["model"]["hidden_size"] = 7
    torch.save(checkpoint, tmp_path / "other.ckpt")
    expected = r"model\.encoder\.rnn\.weight_ih_l0 is \(28, 1\) in the model, \(200, 1\) in the"
    with pytest.raises(CheckpointError, match=expected):
        _ = open_run(tmp_path / "other.ckpt").module


@pytest.mark.parametrize("kind", [torch.int64, torch.complex64])
def test_weights_of_another_kind_of_number_are_refused_and_not_cut_off(kept_run, tmp_path, kind):
    checkpoint = torch.load(open_run(kept_run("experiment=price_lstm")).checkpoint_path)
    del checkpoint["format"]
    name = "model.encoder.rnn.weight_ih_l0"
    checkpoint["state_dict"][name] = checkpoint["state_dict"][name].to(kind)
    torch.save(checkpoint, tmp_path / "other.ckpt")
    expected = rf"weight_ih_l0 is torch\.float32 in the model, {kind} in the checkpoint"
    with pytest.raises(CheckpointError, match=expected):
        _ = open_run(tmp_path / "other.ckpt").module


def test_a_report_is_read_without_torch(kept_run):
    folder = kept_run("experiment=price_lstm")
    code = (
        f"import src, sys; assert src.open_run({str(folder)!r}).report['status'] == 'finished'; "
        "assert not {'torch', 'lightning', 'hydra'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def run_on_a_file(tiny_run, tmp_path):
    """Return a run and the file of prices that it was trained on."""
    file = tmp_path / "prices.csv"
    first = np.datetime64("2001-01-01")
    days = [str(first + n) for n in range(672)]
    closes = 100 + np.random.default_rng(0).standard_normal(len(days)).cumsum()
    lines = [f"{day},{close:.2f}" for day, close in zip(days, closes, strict=True)]
    file.write_text("\n".join(["date,close", *lines]))
    own = ("experiment=price_lstm", f"data.path={file}", "data.context_length=5", "logger=none")
    return tiny_run(*own), file


def test_data_that_changed_since_is_named_with_how(run_on_a_file, capfd):
    folder, file = run_on_a_file
    scores = score_run(str(folder), "test", _trainer())
    assert capfd.readouterr().err == ""
    file.write_text(file.read_text() + "\n2003-01-02,100.00")
    again = score_run(str(folder), "test", _trainer())
    error = capfd.readouterr().err
    assert "is not what this run was trained on: 1 row was added, to 2003-01-02" in error
    assert again != scores


def test_a_run_does_not_go_on_with_other_data(run_on_a_file, composed):
    folder, file = run_on_a_file
    file.write_text(file.read_text().replace("2001-01-01,100", "2001-01-01,101"))
    config, choices = composed(f"resume={folder}", "trainer.max_epochs=3")
    with pytest.raises(ValueError, match=r"resume: .*the same 672 days with other prices"):
        run(config, choices, ["trainer.max_epochs=3"])


def _trainer():
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("evaluate", ["trainer=cpu"])


def test_a_run_in_a_notebook_shows_scores_forecasts_findings_and_picture(kept_run):
    run = open_run(kept_run("experiment=price_lstm", "callbacks=default"))
    assert list(run.scores.columns) == ["model", "tomorrow = today", "ratio"]
    assert run.scores.loc["rmse", "model"] == run.report["test"]["model"]["rmse"]
    assert run.forecasts.index.is_monotonic_increasing
    assert run.forecasts.price.iloc[0] == run.forecasts.last_price.iloc[1]
    assert run.diagnosis is not None
    assert run.diagnosis.to_dict() == run.report["diagnosis"]
    assert "batches" in run.diagnosis._repr_html_()
    assert run.model is run.module.model
    assert run.plot().size == (720, 840)


@pytest.mark.parametrize("kind", [list, np.asarray, pd.Series])
def test_closes_of_any_kind_are_forecast_from_their_last_window(kept_run, kind):
    run = open_run(kept_run("experiment=price_lstm", "callbacks=default"))
    closes = 100 + np.arange(70.0)
    told = run.predict(kind(closes))
    window = run.predictor.windows_of_closes(closes[None, -60:])
    assert told.predicted_price == run.predictor.forecast(window).predicted_price[0]
    assert told.last_price == 169
    assert told.low < told.predicted_price < told.high


@pytest.mark.parametrize("closes", [[1.0] * 59, [[1.0] * 60], 3.0])
def test_too_few_closes_are_said_with_how_many_are_needed(kept_run, closes):
    run = open_run(kept_run("experiment=price_lstm", "callbacks=default"))
    with pytest.raises(ValueError, match="closes must be at least 60 numbers, got shape"):
        run.predict(closes)


def test_lightnings_own_way_to_a_checkpoint_names_the_one_that_works(kept_run):
    path = open_run(kept_run("experiment=price_lstm", "callbacks=default")).checkpoint_path
    with pytest.raises(TypeError, match=r"from src import open_run; module = open_run\('/.*best"):
        RegressionModule.load_from_checkpoint(path)
