import csv
import itertools
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from src import train
from src.config import CONFIG_DIR
from src.runs.build import build_datamodule, build_module
from src.runs.checkpoint import load_checkpoint
from src.runs.opening import open_run
from src.runs.run import run
from tests.conftest import report_of

GROUPS = ("model", "pooling", "pooling_prior", "norm", "dropout", "optimizer")


def options():
    for group in GROUPS:
        for file in sorted((CONFIG_DIR / group).glob("*.yaml")):
            yield f"{group}={file.stem}"


# What an option needs beside it; everything else works with the defaults.
NEEDS = {
    **{
        f"model={name}": ("data=prices", f"model={name}")
        for name in ("arima", "autoregression", "exponential_smoothing", "seasonal_naive")
    },
    "model=har": ("data=prices", "data.target=volatility", "model=har"),
    "model=garch": ("data=prices", "data.target=volatility", "model=garch"),
    "norm=reversible": ("experiment=price_lstm_textbook", "norm=reversible"),
    "pooling_prior=direct_update": ("pooling=learnable", "pooling_prior=direct_update"),
    "pooling_prior=forced": ("pooling=learnable", "pooling_prior=forced"),
    "pooling_prior=gradient_injection": (
        "pooling=learnable",
        "pooling_prior=gradient_injection",
    ),
}


@pytest.mark.parametrize("option", list(options()))
def test_every_option_takes_a_training_step(composed, option):
    config, _ = composed(*NEEDS.get(option, (option,)))
    torch.manual_seed(0)
    datamodule = build_datamodule(config)
    module = build_module(config, datamodule)
    batch = next(iter(datamodule.train_dataloader()))
    loss = module.diagnosis_loss(batch)
    assert math.isfinite(loss.item())
    if option.startswith("model=") and not any(p.requires_grad for p in module.parameters()):
        return  # fitted, or nothing at all: tests/models/fitted
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    optimizer = module.configure_optimizers()
    loss.backward()
    optimizer.step()
    assert any(not torch.equal(before[name], p) for name, p in module.named_parameters())


@pytest.mark.parametrize("option", sorted(f.stem for f in (CONFIG_DIR / "callbacks").glob("*")))
def test_every_callbacks_option_runs_from_end_to_end(tiny_run, option):
    folder = tiny_run("model=transformer_tiny", f"callbacks={option}")
    assert report_of(folder)["status"] == "finished"


@pytest.mark.parametrize("group", ["data", "trainer", "logger", "sweep", "debug"])
def test_every_other_option_composes(composed, group):
    for file in (CONFIG_DIR / group).glob("*.yaml"):
        config, choices = composed(f"{group}={file.stem}")
        assert choices[group] == file.stem
        assert config.seed == 0


@pytest.mark.parametrize("preset", sorted(f.stem for f in (CONFIG_DIR / "experiment").glob("*")))
def test_every_preset_runs_from_end_to_end(tiny_run, preset):
    folder = tiny_run(f"experiment={preset}")
    assert folder.parent.name == preset
    assert report_of(folder)["status"] == "finished"


def test_a_run_folder_holds_all_that_is_needed_to_understand_it(tiny_run):
    folder = tiny_run("experiment=price_lstm", "callbacks=default")
    names = {path.name.split(".")[0] for path in folder.iterdir()}
    assert {"config", "report", "forecasts", "checkpoints", "train", "events"} <= names
    assert Image.open(folder / "forecast.png").size == (720, 840)
    log = (folder / "train.log").read_text()
    assert "model=lstm" in log
    assert "Best validation: 1 of" in log
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    report = report_of(folder)
    assert report["status"] == "finished"
    assert report["seed"] == 0
    assert report["choices"]["model"] == "lstm"
    assert report["test"]["ratio"]["rmse"] == pytest.approx(
        report["test"]["model"]["rmse"] / report["test"]["baseline"]["rmse"]
    )
    assert OmegaConf.load(folder / "config.yaml").model.hidden_size == 50


def test_that_prices_teach_little_is_no_alarm_but_on_made_up_bars_it_would_be(composed):
    for preset, causes in (("price_lstm", ("not_learning",)), ("gradient_death", ())):
        config, _ = composed(f"experiment={preset}")
        assert build_datamodule(config).benign_causes == causes


def test_the_forecasts_file_gives_the_scores_of_the_report(tiny_run):
    folder = tiny_run("experiment=price_lstm")
    with (folder / "forecasts.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = [float(r["predicted_price"]) - float(r["price"]) for r in rows]
    rmse = math.sqrt(sum(e * e for e in errors) / len(errors))
    assert rmse == pytest.approx(report_of(folder)["test"]["model"]["rmse"], rel=1e-4)
    assert [r["date"] for r in rows] == sorted(r["date"] for r in rows)
    # Tomorrow's "last price" is today's price: the windows are neither early nor late by a day.
    assert all(a["price"] == b["last_price"] for a, b in itertools.pairwise(rows))


def test_the_naive_model_scores_exactly_as_its_own_baseline(tiny_run):
    scores = report_of(tiny_run("experiment=price_lstm", "model=naive"))["test"]
    assert scores["ratio"]["rmse"] == pytest.approx(1.0, abs=1e-5)


def weights_of(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize(
    "preset", [("experiment=price_lstm",), ("data=bars", "model=transformer_tiny")], ids=" ".join
)
def test_two_runs_with_one_seed_give_bitwise_equal_weights(tiny_run, preset):
    overrides = (*preset, "dropout=input", "callbacks=default", "seed=0")
    first, second = weights_of(tiny_run(*overrides)), weights_of(tiny_run(*overrides))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights(tiny_run):
    overrides = ("experiment=price_lstm", "logger=none")
    first, second = (weights_of(tiny_run(*overrides, f"seed={s}")) for s in (0, 1))
    assert not torch.equal(first["model.head.weight"], second["model.head.weight"])


def test_a_run_opened_again_predicts_what_it_reported(tiny_run):
    folder = tiny_run("experiment=price_lstm", "callbacks=default")
    run = open_run(folder)
    module, datamodule = run.module, run.datamodule
    batch = next(iter(datamodule.test_dataloader()))
    with torch.no_grad():
        prices = datamodule.to_price(module(batch.x), batch.last_price)
    with (folder / "forecasts.csv").open() as file:
        reported = [float(row["predicted_price"]) for row in csv.DictReader(file)]
    assert prices.flatten().tolist() == pytest.approx(reported[: len(prices)], rel=1e-6)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model.num_heads=3",), "num_heads"),
        (("data.context_length=6000",), "6000"),
        (("data.batch_size=0",), "batch_size"),
        (("dropout.input=1.5",), "1.5"),
        (("optimizer.lr=-1",), "-1"),
        (("optimizer.lr=nan",), "nan"),
        (("resume=nowhere",), "no such run folder or checkpoint: nowhere"),
        (("data.path=nowhere.csv",), "nowhere.csv"),
        (("norm=reversible",), "reversible"),
    ],
)
def test_a_config_that_cannot_work_is_refused_before_anything_is_written(
    composed, tmp_path, overrides, message
):
    config, choices = composed(*overrides)
    with pytest.raises(ValueError, match=message):
        run(config, choices, [])
    assert not list(tmp_path.glob("lightning_logs/*/*"))


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(
    composed, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config, choices = composed("trainer=gpu")
    with pytest.raises(ValueError, match="no usable GPU"):
        run(config, choices, [])
    assert not list(tmp_path.glob("lightning_logs/*/*"))


def test_the_logged_training_loss_is_that_of_its_own_step(tiny_run):
    def losses(every):
        folder = tiny_run(
            "experiment=price_lstm",
            "logger=csv",
            "trainer.limit_train_batches=7",
            "trainer.max_epochs=2",
            f"trainer.log_every_n_steps={every}",
        )
        with (folder / "metrics.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["train/loss"]]
        return {int(row["step"]): float(row["train/loss"]) for row in rows}

    every_step, every_third = losses(1), losses(3)
    assert len(every_step) == 14
    assert every_third == {step: every_step[step] for step in (2, 5, 8, 11)}


def test_a_loss_that_is_not_a_number_stops_the_run_before_the_weights_change(
    tiny_run, tmp_path, monkeypatch
):
    def broken(self, batch):
        return torch.tensor(math.nan, requires_grad=True), torch.tensor(0.0)

    monkeypatch.setattr("src.training.module.RegressionModule._losses", broken)
    with pytest.raises(FloatingPointError, match="step 0"):
        tiny_run("experiment=price_lstm")
    (folder,) = (tmp_path / "lightning_logs").glob("*/*")
    assert report_of(folder)["status"] == "failed"
    assert "nan at step 0" in report_of(folder)["reason"]
    assert load_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == 0
    assert not (folder / "checkpoints" / "best.ckpt").exists()


def command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(CONFIG_DIR.parent)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_commands_work_as_typed_in_another_folder(tmp_path):
    tiny = ("experiment=price_lstm", "debug=fast", "trainer=cpu", "callbacks=basic")
    done = command("src.train", "-m", "pooling=mean,last", "seed=0,1", *tiny, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folders = sorted(p.name for p in (tmp_path / "lightning_logs/price_lstm").iterdir())
    assert folders == [
        f"lstm-{pooling}-seed{seed}-0" for pooling in ("last", "mean") for seed in (0, 1)
    ]
    path = f"ckpt_path=lightning_logs/price_lstm/{folders[0]}"
    scored = command("src.evaluate", path, "json=true", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert '"rmse"' in scored.stdout


def test_a_bad_option_ends_with_exit_code_2_one_line_and_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        train.main(["model.num_heads=3"])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "num_heads" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_told_to_stop_keeps_its_checkpoint_and_never_looks_like_success(tmp_path, sent, code):
    running = subprocess.Popen(
        [sys.executable, "-m", "src.train", f"log_dir={tmp_path}", "experiment=price_lstm"],
        cwd=CONFIG_DIR.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob("*/*/checkpoints/last.ckpt")):
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(sent)
    assert running.wait(60) == code
    (folder,) = tmp_path.glob("*/*")
    assert report_of(folder)["status"] == "interrupted"
    assert open_run(folder, "last").module


def test_the_defaults_list_names_every_group():
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("train")
    groups = {folder.name for folder in CONFIG_DIR.iterdir() if folder.is_dir()}
    assert groups - {"experiment", "debug", "hydra"} <= set(config)
