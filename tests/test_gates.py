"""Gates of a run: the numbers by hand, the picture and the image in their places."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from src.gates import main
from src.runs.gate_drawing import draw_gates
from src.runs.gate_measurements import answers, by_direction, parameter_counts, trace_run
from src.runs.opening import open_run

GRU = ("experiment=price_lstm", "model=gru")


def test_a_gate_is_averaged_over_rising_and_falling_days_of_each_window():
    closes = np.array([[1.0, 2.0, 1.0, 1.0], [5.0, 4.0, 6.0, 7.0]])
    gate = np.array([[0.9, 0.8, 0.4, 0.1], [0.9, 0.2, 0.6, 0.8]])[:, :, None]
    found = by_direction(np.concatenate([gate, gate], axis=2), closes)
    assert found["rising"][0] == pytest.approx((0.8 + 0.7) / 2)
    assert found["falling"][0] == pytest.approx((0.4 + 0.2) / 2)
    mean, low, high = found["difference"]
    assert mean == pytest.approx((0.4 + 0.5) / 2)
    assert low < mean < high


def test_a_window_that_only_rises_has_nothing_to_compare():
    closes = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 1.0], [1.0, 2.0, 1.0]])
    gate = np.array([[0.0, 0.0, 0.0], [0.0, 0.6, 0.5], [0.0, 0.6, 0.5]])[:, :, None]
    assert by_direction(gate, closes)["difference"] == pytest.approx([0.1, 0.1, 0.1])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_an_lstm_has_four_times_and_a_gru_three_times_the_parameters_of_an_rnn(layers):
    counts = parameter_counts(nn.LSTM(3, 20, layers))
    assert counts["lstm"] == 4 * counts["rnn"]
    assert counts["gru"] == 3 * counts["rnn"]
    assert counts["lstm"] == sum(p.numel() for p in nn.LSTM(3, 20, layers).parameters())


@pytest.mark.parametrize("overrides", [("experiment=price_lstm",), GRU])
def test_the_trace_of_a_run_is_its_own_output(kept_run, overrides):
    run = open_run(kept_run(*overrides))
    module, datamodule = run.module, run.datamodule
    batch = datamodule.datasets["test"][torch.arange(4)]
    trace, off = trace_run(module, batch.x)
    assert off < 1e-5
    with torch.no_grad():
        output = module.model(batch.x)
    torch.testing.assert_close(trace.hidden[-1], output.hidden, rtol=0, atol=1e-5)


def test_a_forget_gate_held_at_0_9_keeps_0_9_to_the_power_of_days(kept_run):
    run = open_run(kept_run("experiment=price_lstm"))
    module, datamodule = run.module, run.datamodule
    rnn = module.model.encoder.rnn
    with torch.no_grad():
        for layer in range(2):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(rnn, f"{name}_l{layer}")[50:100] = 0
            getattr(rnn, f"bias_ih_l{layer}")[50:100] = torch.logit(torch.tensor(0.9))
    batch = datamodule.datasets["test"][torch.tensor([0, 60, 120])]
    closes = np.tile([1.0, 2.0], (3, 30))
    found = answers(module, batch.x, closes)
    for layer in range(2):
        assert found["keeping"][layer]["rising"] == pytest.approx([0.9, 0.9, 0.9], abs=1e-6)
        for lag in (5, 10, 20, 50):
            assert found["kept"][layer][lag] == pytest.approx(0.9**lag, rel=1e-4)


@pytest.mark.parametrize("overrides", [("experiment=price_lstm",), GRU])
def test_picture_image_and_table_are_there(kept_run, tmp_path, monkeypatch, capsys, overrides):
    folder = shutil.copytree(kept_run(*overrides), tmp_path / "run")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "argv", ["gates", f"ckpt_path={folder}", "window=0"])
    main()
    out = " ".join(capsys.readouterr().out.split())
    assert "80% kept on rising days" in out
    assert "(4.00x)" in out
    (picture,) = folder.glob("gates-test-*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert "gates/test" in events.Tags()["images"]


def test_the_numbers_come_as_json_too(kept_run, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(kept_run("experiment=price_lstm"), tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["gates", f"ckpt_path={folder}", "json=true"])
    capsys.readouterr()
    main()
    result = json.loads(capsys.readouterr().out)
    assert result["gate"] == "forget"
    assert result["windows"] == 12
    assert result["trace_error"] < 1e-5


@pytest.mark.parametrize(
    ("overrides", "options", "message"),
    [
        (("experiment=bars_transformer",), {}, "model=lstm or model=gru, got a TransformerEncoder"),
        (("experiment=price_lstm", "model=rnn"), {}, "model=lstm or model=gru, got a RNN"),
        (("experiment=price_lstm",), {"split": "all"}, "train, val, test, got 'all'"),
        (("experiment=price_lstm",), {"window": 695}, "between -695 and 694, got 695"),
        (("experiment=price_lstm",), {"window": "last"}, "got 'last'"),
    ],
)
def test_what_cannot_be_inspected_is_refused(kept_run, overrides, options, message):
    with pytest.raises(ValueError, match=message):
        draw_gates(str(kept_run(*overrides)), **options)
