import csv
import re
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict, read_write
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from src.board.run_page import FIRST, GROUPS, METRICS, hyperparameters
from src.config import CONFIG_DIR
from src.diagnostics.lightning.log_writer import LAYOUT
from src.runs.run import run
from tests.conftest import TINY, report_of

MONITORED = ("callbacks=default", "pooling=learnable", "trainer.log_every_n_steps=1")
MODEL_SMALL = ("model.num_layers=1", "model.hidden_size=8", "model.num_heads=2")


def events_of(folder):
    (file,) = folder.glob("events.*")
    events = EventAccumulator(str(file), size_guidance={"tensors": 0, "images": 0})
    return events.Reload()


def text_of(events, tag):
    tensor = events.Tensors(f"{tag}/text_summary")[-1].tensor_proto
    return tensor.string_val[0].decode()


def hparams_of(events):
    """Return the HParams page's columns, this run's values and its status."""
    content = events.summary_metadata
    parsed = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(content[tag].plugin_data.content)
        for tag in content
        if content[tag].plugin_data.plugin_name == metadata.PLUGIN_NAME
    }
    start = parsed[metadata.SESSION_START_INFO_TAG].session_start_info.hparams
    values = {name: v.string_value or v.number_value for name, v in start.items()}
    end = parsed[metadata.SESSION_END_INFO_TAG].session_end_info.status
    return parsed[metadata.EXPERIMENT_TAG].experiment, values, end


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    """Return one monitored run's folder and events, for the tests that only look at them."""
    overrides = [*TINY, *MONITORED, *MODEL_SMALL]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("train", overrides, return_hydra_config=True)
    choices = dict(config.hydra.runtime.choices)
    with read_write(config), open_dict(config):
        del config["hydra"]
    config.log_dir = str(tmp_path_factory.mktemp("monitored"))
    run(config, choices, overrides)
    (folder,) = Path(config.log_dir).glob("*/*")
    return folder, events_of(folder)


def test_a_run_leaves_one_event_file_that_holds_fit_and_test(monitored):
    folder, events = monitored
    scalars = events.Tags()["scalars"]
    assert {"train/loss", "val/loss", "test/rmse", *METRICS} <= set(scalars)
    assert not list(folder.glob("hparams.yaml"))
    report = report_of(folder)
    assert events.Scalars("best/val_loss")[-1].value == pytest.approx(report["best"]["val_loss"])
    ratio = events.Scalars("test/rmse_ratio")[-1].value
    assert ratio == pytest.approx(report["test"]["ratio"]["rmse"])
    assert events.Scalars("test/skill")[-1].value == pytest.approx(1 - ratio, abs=1e-6)


def test_every_page_has_what_it_is_for(monitored):
    _, events = monitored
    tags = events.Tags()
    assert set(tags["images"]) == {
        "1_story",
        "2_forecasts",
        "dead_rows_blue_and_columns_orange/model.encoder.temporal_projection.weight",
        "gradient_share_over_time/model.pooling",
        "pooling_weights_over_time/model.pooling",
    }
    assert "pooling_weights/model.pooling" in tags["histograms"]
    assert "Benign, nothing to repair: dead_input at" in text_of(events, "diagnosis")
    assert "hidden_size: 8" in text_of(events, "run/config")
    result = text_of(events, "run/result")
    assert result.startswith("**finished**")
    assert "| rmse |" in result


def test_few_scalars_are_shown_by_default(monitored):
    _, events = monitored
    groups = {tag.partition("/")[0] for tag in events.Tags()["scalars"]}
    assert groups == {
        *("train", "val", "test", "best", "epoch", "zeros", "pooling", "gradient_share"),
        *("grad_norm_total", "findings_to_act_on"),
    }
    assert len(events.Tags()["scalars"]) < 35


def test_every_chart_of_the_custom_page_has_something_to_show(monitored):
    _, events = monitored
    (tensor,) = {
        event.tensor_proto.string_val[0] for event in events.Tensors("custom_scalars__config__")
    }
    layout = layout_pb2.Layout.FromString(tensor)
    assert [category.title for category in layout.category] == list(LAYOUT)
    for category in layout.category:
        for chart in category.chart:
            (pattern,) = chart.multiline.tag
            shown = [tag for tag in events.Tags()["scalars"] if re.match(pattern, tag)]
            assert shown, chart.title
            assert len(shown) <= 4, chart.title


@pytest.mark.parametrize(
    ("tag", "chart"),
    [
        ("train/loss", "training loss"),
        ("loss_epoch", "training loss"),
        ("val_loss", "validation loss"),
        ("best/val_loss", None),
        ("test/loss", None),
        ("train/aux_loss", None),
        ("loss_scale", None),
        ("zeros/first_weight", "zeros in the first weight's gradient"),
        ("zeros/first_weight_in_dead_columns", "the part in dead columns: features"),
        ("zero_grad_fraction/model.head.weight", None),
        ("pooling/model.pooling/std", "std of the weights over time"),
        ("pooling/model.pooling/entropy", None),
    ],
)
def test_a_chart_shows_its_own_tags_and_no_others(tag, chart):
    charts = {title: kind[1][0] for page in LAYOUT.values() for title, kind in page.items()}
    shown = [title for title, pattern in charts.items() if re.match(pattern, tag)]
    assert shown == ([chart] if chart else [])


def test_the_hparams_row_says_what_was_compared_in_flat_values(monitored):
    _, events = monitored
    experiment, values, status = hparams_of(events)
    columns = [info.name for info in experiment.hparam_infos]
    assert set(columns) == {*GROUPS, "lr", "batch_size", "seed", "other"} == set(values)
    assert {info.name for info in experiment.hparam_infos if info.differs} == FIRST
    assert [info.name.tag for info in experiment.metric_infos] == list(METRICS)
    assert values["pooling"] == "learnable"
    assert values["seed"] == "0"
    assert values["lr"] == pytest.approx(1e-3)
    assert "hidden_size=8" in values["other"]
    assert status == 1  # STATUS_SUCCESS of tensorboard/plugins/hparams/api.proto


def test_a_run_that_fails_has_a_row_with_the_same_columns_and_its_reason(
    tiny_run, tmp_path, monkeypatch
):
    def broken(self, batch):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("src.training.module.RegressionModule._losses", broken)
    with pytest.raises(RuntimeError):
        tiny_run("model=linear")
    (folder,) = (tmp_path / "lightning_logs").glob("*/*")
    events = events_of(folder)
    _, values, status = hparams_of(events)
    assert set(values) == {*GROUPS, "lr", "batch_size", "seed", "other"}
    assert values["pooling"] == "-"
    assert status == 2  # STATUS_FAILURE
    assert "RuntimeError: out of memory" in text_of(events, "run/result")


def test_hyperparameters_are_strings_and_numbers_whatever_the_config_lacks():
    report = {"choices": {"model": "naive", "norm": None}, "config": {}, "seed": 3}
    values = hyperparameters(report, ["+data.columns=[a,b]", "optimizer.lr=1", "model=naive"])
    assert values["norm"] == "-"
    assert values["other"] == "columns=[a,b]"
    assert all(isinstance(value, (str, float)) for value in values.values())


@pytest.mark.slow
def test_graph_and_profile_are_shown_on_request_and_change_no_weight(tiny_run):
    def weights(folder):
        state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        return torch.cat([value.flatten().float() for value in state.values()])

    base = (*MONITORED, *MODEL_SMALL, "dropout=projection")
    plain = tiny_run(*base)
    asked = tiny_run(*base, "logger.tensorboard.log_graph=true", "+trainer.profiler=simple")
    assert torch.equal(weights(plain), weights(asked))
    assert not events_of(plain).Tags()["graph"]
    events = events_of(asked)
    names = {node.name for node in _graph(events).node}
    assert any("encoder" in name for name in names)
    assert "run_training_batch" in text_of(events, "run/profile")


def _graph(events):
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    return GraphDef.FromString(events.Graph().SerializeToString())


def test_the_profile_preset_names_a_profiler(composed):
    config, _ = composed("debug=profile")
    assert config.trainer.profiler == "simple"


def test_several_loggers_write_the_same_run_together(tiny_run):
    folder = tiny_run(*MONITORED, *MODEL_SMALL, "logger=tensorboard_csv")
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = {tag for row in rows for tag, value in row.items() if value}
    assert set(METRICS) <= written
    assert {"train/loss", "pooling/model.pooling/std"} <= written
    assert "pooling: learnable" in (folder / "hparams.yaml").read_text()
    assert events_of(folder).Tags()["scalars"]


def test_without_a_logger_a_run_still_reports(tiny_run):
    folder = tiny_run("model=linear", "logger=none")
    assert report_of(folder)["status"] == "finished"
    assert not list(folder.glob("events.*"))


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_a_logger_whose_package_is_missing_is_refused_with_the_command_to_install_it(
    tiny_run, tmp_path, monkeypatch, package
):
    monkeypatch.setattr("src.board.loggers.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"logger={package}.*pip install.*\[{package}\]"):
        tiny_run("model=linear", f"logger={package}")
    assert not list((tmp_path / "lightning_logs").glob("*/*"))
