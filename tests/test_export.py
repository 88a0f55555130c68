"""Exported files: whole, plain, and right without this project's code."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from src.data import load_prices
from src.data.reading.sources import ReadOptions
from src.export import main
from src.runs.opening import open_run
from src.serving.formats import TOLERANCE, build_program, example_inputs, export_run, run_onnx
from tests.data.reading.market import bar, make_bars, table

TINY_LSTM = ("experiment=price_lstm", "model.hidden_size=4", "data.context_length=10")


@pytest.fixture(scope="module")
def exported(kept_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return export_run(str(kept_run(*TINY_LSTM)), str(folder / "files"))


def test_torch_export_runs_without_this_project_and_onnx_agrees(exported):
    folder, differences = exported
    assert set(differences) == {"model.pt2", "model.onnx"}
    assert max(differences.values()) < TOLERANCE
    names = {"model.safetensors", "config.json", "model.pt2", "model.onnx"}
    assert {path.name for path in folder.iterdir()} == names


def test_the_onnx_model_maps_closes_to_the_services_price(exported, kept_run):
    folder, _ = exported
    predictor = open_run(kept_run(*TINY_LSTM)).predictor
    closes = 50 + np.random.default_rng(0).random((5, 10))
    expected = predictor.forecast(predictor.windows_of_closes(closes)).predicted_price
    inputs = {"closes": torch.tensor(closes, dtype=torch.float32)}
    price = run_onnx(folder / "model.onnx", inputs)
    np.testing.assert_allclose(price[:, 0].numpy(), expected, rtol=1e-6)


def test_the_weights_and_the_config_are_plain_and_complete(exported, kept_run):
    folder, _ = exported
    run = open_run(kept_run(*TINY_LSTM))
    module, facts = run.module, run.facts
    weights = load_file(folder / "model.safetensors")
    expected = module.model.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    config = json.loads((folder / "config.json").read_text())
    assert config["config"]["model"]["hidden_size"] == 4
    assert config["data"] == facts.to_dict()
    assert config["inputs"] == {"closes": ["batch", 10]}
    assert set(config["interval_half_widths_in_typical_daily_moves"]) == {
        "0.5",
        "0.8",
        "0.9",
        "0.95",
    }


@pytest.mark.parametrize("preset", ["price_lstm", "price_lstm_textbook", "bars_transformer"])
def test_a_program_holds_the_scalings_of_its_run(kept_run, preset):
    run = open_run(kept_run(f"experiment={preset}"))
    module, facts = run.module, run.facts
    inputs = example_inputs(facts, 3)
    with torch.no_grad():
        price = build_program(module.model, facts)(**inputs)
        if facts.input_scaling is None:
            preds, last_price = module(inputs["features"]), inputs["last_price"]
        else:
            closes = inputs["closes"][:, :, None]
            preds, last_price = module(facts.input_scaling(closes)), closes[:, -1]
    assert torch.equal(price, facts.to_price(preds, last_price))
    assert price.shape == (3, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("experiment=bars_transformer",),
        ("experiment=price_lstm_textbook", "norm=reversible"),
        ("experiment=price_lstm", "model=gru", "pooling=attention"),
        ("experiment=price_lstm", "model=transformer", "pooling=multihead"),
        ("experiment=price_lstm", "model=linear"),
    ],
    ids=lambda overrides: "-".join(o.split("=")[1] for o in overrides),
)
def test_other_models_leave_as_well(kept_run, tmp_path, overrides):
    _, differences = export_run(str(kept_run(*overrides)), str(tmp_path))
    assert max(differences.values()) < TOLERANCE


@pytest.mark.slow
def test_columns_of_the_file_are_inputs_of_the_program(tiny_run, tmp_path):
    bars = make_bars(count=150)
    rows = [(row[0], row[4], 1000 + n % 7) for n, row in enumerate(bar(bars))]
    (tmp_path / "my.csv").write_text(table([("Date", "Close", "mood"), *rows]))
    options = ("data.extra=[mood]", "data.context_length=5", "data.batch_size=8")
    folder = tiny_run("experiment=price_lstm", f"data.path={tmp_path / 'my.csv'}", *options)
    target, differences = export_run(str(folder), str(tmp_path / "files"))
    assert max(differences.values()) < TOLERANCE
    inputs = json.loads((target / "config.json").read_text())["inputs"]
    assert inputs == {"closes": ["batch", 5], "extra": ["batch", 5, 1]}
    # Other values of the column give another price, as the model itself does.
    closes = torch.tensor([bars.close[:5]])
    run = open_run(folder)
    table_ = load_prices(path=str(tmp_path / "my.csv"), options=ReadOptions(extra=("mood",)))
    shown = run.predictor.forecast(run.predictor.windows_of_table(table_, None))
    extra = torch.tensor([[[1000.0 + n] for n in range(5)]])
    price = run_onnx(target / "model.onnx", {"closes": closes, "extra": extra})
    assert float(price) == pytest.approx(shown.predicted_price[0], rel=1e-5)


def test_a_run_that_is_not_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["export", "ckpt_path=nowhere"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: ckpt_path does not exist: nowhere\n"


@pytest.mark.slow
def test_by_default_the_files_lie_in_the_run_folder(kept_run, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(kept_run(*TINY_LSTM), tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["export", f"ckpt_path={folder}"])
    main()
    assert (folder / "export" / "model.onnx").is_file()
    assert "model.onnx" in capsys.readouterr().out
