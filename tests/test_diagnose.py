import io
import json
import shutil
import sys
from contextlib import redirect_stdout

import pytest

from src.diagnose import main


@pytest.fixture(scope="module")
def unscaled_bars():
    printed = io.StringIO()
    with redirect_stdout(printed):
        main(["data=bars", "norm=none", "model=transformer_tiny", "batches=4", "json=true"])
    return json.loads(printed.getvalue())


def rows_of(result, group):
    return {row["option"]: row for row in result["what_if"] if row["group"] == group}


def test_zero_columns_are_put_down_to_features_by_name(unscaled_bars):
    findings = unscaled_bars["diagnosis"]["findings"]
    dead = next(f for f in findings if f["cause"] == "dead_input")
    assert dead["parameter"] == "model.encoder.temporal_projection.weight"
    assert dead["confirmed"]
    assert "indicator_kicking" in dead["indices"]
    assert dead["benign"]  # candlestick patterns that did not come
    assert dead["fraction"] == pytest.approx(len(dead["indices"]) / 129)


def test_unscaled_position_features_are_named_with_what_would_help(unscaled_bars):
    first = unscaled_bars["diagnosis"]["findings"][0]
    assert first["cause"] == "misscaled_input"
    assert "position_trend_notional" in first["indices"]
    assert "norm=feature" in first["remedy"]


def test_swapping_the_pooling_leaves_every_zero_in_place(unscaled_bars):
    poolings = rows_of(unscaled_bars, "pooling")
    assert len({row["zero_fraction"] for row in poolings.values()}) == 1
    assert len({row["dead_columns"] for row in poolings.values()}) == 1


def test_layer_norm_hides_the_zeros_without_making_the_dead_columns_distinct(unscaled_bars):
    norms = rows_of(unscaled_bars, "norm")
    dead = norms["none"]["dead_columns"]
    assert dead > 0
    assert norms["layer"]["zero_fraction"] == 0
    # The dead columns have become copies of one column.
    assert norms["layer"]["distinct_columns"] <= norms["none"]["distinct_columns"] + 1


def test_an_option_that_does_not_fit_is_said_to(unscaled_bars):
    assert "reversible" in rows_of(unscaled_bars, "norm")["reversible"]["refused"]


def test_the_key_part_of_the_attention_bias_is_structural_and_no_alarm(unscaled_bars):
    findings = unscaled_bars["diagnosis"]["findings"]
    biases = [f for f in findings if (f["parameter"] or "").endswith("in_proj_bias")]
    assert biases
    assert all(f["cause"] == "structural" and f["benign"] for f in biases)
    assert all(f["fraction"] == pytest.approx(1 / 3) for f in biases)


def printed_by(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["diagnose", *arguments])
    main()
    return capsys.readouterr().out


def test_a_finished_run_is_diagnosed_from_its_folder(tiny_run, monkeypatch, capsys):
    folder = tiny_run("experiment=price_lstm")
    capsys.readouterr()
    result = json.loads(printed_by(monkeypatch, capsys, str(folder), "--json", "--batches=2"))
    assert result["windows"] == 64
    assert {row["group"] for row in result["what_if"]} == {"pooling", "norm", "dropout"}
    current = [row["option"] for row in result["what_if"] if row["current"]]
    assert current == ["last", "none", "none"]


def test_a_run_without_a_checkpoint_is_told_by_what_it_recorded(tiny_run, monkeypatch, capsys):
    small = ("data=scenario", "data.rows=1500", "model=transformer_tiny")
    folder = tiny_run(*small, "norm=none", "callbacks=default")
    shutil.rmtree(folder / "checkpoints")
    capsys.readouterr()
    printed = printed_by(monkeypatch, capsys, str(folder))
    assert "as the run recorded it: no checkpoint" in printed
    assert "While it trained: zeros in the gradient of" in printed


def test_the_printed_view_names_causes_and_options(monkeypatch, capsys):
    parts = ("data=scenario", "data.rows=1500", "norm=none", "model=transformer_tiny")
    printed = printed_by(monkeypatch, capsys, *parts, "--batches=2")
    assert "What if" in printed
    assert "attention *" in printed


def test_a_model_without_zeros_has_no_table_of_them(monkeypatch, capsys):
    printed = printed_by(monkeypatch, capsys, "experiment=price_lstm", "--batches=2")
    assert "no zero under any of" in printed
    assert "┃" not in printed


def test_trials_say_what_would_help_in_words_and_in_a_table(monkeypatch, capsys):
    asked = ("experiment=price_lstm", "model.hidden_size=4", "--batches=2", "--trials")
    printed = printed_by(monkeypatch, capsys, *asked, "--seconds=1e-3")
    assert "What would help" in printed
    result = json.loads(printed_by(monkeypatch, capsys, *asked, "--seconds=1e-3", "--json"))
    assert result["batches"] == 2
    assert result["trials"]["verdict"] == "unclear"
    assert result["trials"]["untried"] == ["the program as it is"]


@pytest.mark.slow
def test_of_prices_the_data_are_blamed_and_not_the_model(monkeypatch, capsys):
    asked = ("experiment=price_lstm", "--batches=2", "--trials", "--seconds=600", "--json")
    trials = json.loads(printed_by(monkeypatch, capsys, *asked))["trials"]
    assert (trials["verdict"], trials["alarm"]) == ("targets", False)
    assert "data are to blame" in trials["words"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["poling=mean"], "did you mean pooling"),
        (["--batches=0"], "batches: expected a whole number of at least 1, got 0"),
        (["batches=all"], "got all"),
        (["a", "pooling=mean"], "one run folder"),
        (["model.num_heads=3"], "num_heads"),
    ],
)
def test_what_cannot_be_diagnosed_is_one_line(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["diagnose", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_a_cause_is_explained(monkeypatch, capsys):
    told = printed_by(monkeypatch, capsys, "--explain", "dead_input")
    assert told.startswith("dead_input: input features that are zero in every batch\nfound: ")


def test_a_check_ends_with_1_until_what_it_finds_is_known(tmp_path, capsys):
    known, sarif = tmp_path / "known.json", tmp_path / "findings.sarif"
    line = ["data=bars", "norm=none", "model=transformer_tiny", "batches=2", "check=true"]
    line.append(f"sarif={sarif}")
    with pytest.raises(SystemExit) as ended:
        main([*line, f"baseline={known}"])
    assert ended.value.code == 1
    told = capsys.readouterr().out
    assert "Looked for" in told
    assert "misscaled_input" in told
    assert {"misscaled_input"} <= {
        name.partition("@")[0] for name in json.loads(known.read_text())["known"]
    }
    written = json.loads(sarif.read_text())
    place = written["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert written["version"] == "2.1.0"
    assert place["artifactLocation"]["uri"] == "conf/diagnose.yaml"
    main([*line, f"baseline={known}"])
    assert "Known and not told again" in capsys.readouterr().out
