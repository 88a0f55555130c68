"""The published course of dying gradients, from the command line's config to the report."""

from pathlib import Path

import pytest

from src.runs.build import build_datamodule
from src.runs.opening import open_run
from tests.conftest import report_of

# 24 steps instead of 12,000; a record at every published 500th.
SHORT = [
    "experiment=gradient_death",
    "model=transformer_tiny",
    "data.rows=1500",
    "data.batch_size=16",
    "schedule.scale=0.002",
    "logger=none",
]


@pytest.fixture
def course(composed):
    def _course(*overrides):
        from src.runs.run import run

        config, choices = composed(*SHORT, *overrides)
        run(config, choices, [])
        (folder,) = Path(config.log_dir).glob("*/*")
        return folder

    return _course


def test_dead_inputs_follow_the_published_course_and_are_named(course):
    report = report_of(course())
    records = report["gradient_history"]["records"]
    columns = {record["step"]: round(129 * record["columns"]) for record in records}
    assert (columns[8], columns[12], columns[16], columns[23]) == (5, 43, 86, 86)
    assert all(record["rows"] == record["scattered"] == 0 for record in records)
    (alarm,) = [f for f in report["diagnosis"]["findings"] if not f["benign"]]
    assert (alarm["cause"], len(alarm["indices"]), alarm["confirmed"]) == ("dead_input", 86, True)
    assert report["truth"]["reachable_floor"] == 0.5
    assert [point["step"] for point in report["validation"]] == list(range(1, 25))


def test_the_run_keeps_its_last_weights_and_says_what_it_found_and_what_to_type(course, capsys):
    folder = course()
    printed = capsys.readouterr().out
    assert "Gradients: 1 finding to act on" in printed
    assert f"python -m src.diagnose {folder}" in " ".join(printed.split())
    assert "zeros_from_8k" in printed
    run = open_run(folder)
    assert run.checkpoint_path.name == "last.ckpt"
    assert run.module
    assert "Gradients: 1 finding" in (folder / "train.log").read_text()


def test_dead_units_give_the_same_share_by_rows_and_are_named(course):
    report = report_of(course("schedule=dead_units", "model.hidden_size=32"))
    last = report["gradient_history"]["records"][-1]
    assert round(32 * last["rows"]) == 21
    assert round(129 * last["columns"]) == 5
    causes = {f["cause"] for f in report["diagnosis"]["findings"] if not f["benign"]}
    assert "dead_unit" in causes


def test_large_features_kill_nothing(course):
    records = report_of(course("schedule=scale_shock"))["gradient_history"]["records"]
    columns = [round(129 * record["columns"]) for record in records]
    assert (columns[0], columns[-1]) == (48, 5)
    assert all(record["rows"] == 0 for record in records)


def test_a_run_is_restored_at_the_step_of_its_weights(course):
    folder = course("callbacks=default", "callbacks.progress_bar=null", "schedule.scale=0.004")
    report = report_of(folder)
    run = open_run(folder)
    datamodule = run.datamodule
    assert 0 < datamodule.changes.step <= 48
    best = min(report["validation"], key=lambda point: point["loss"])
    assert datamodule.changes.step == best["step"]


def test_a_model_of_bars_that_no_market_has_forecasts_no_prices(course):
    folder = course("callbacks=default", "callbacks.progress_bar=null")
    with pytest.raises(ValueError, match="made up or changed by a schedule: it forecasts no"):
        _ = open_run(folder).predictor


def test_prices_have_no_blocks_to_change(composed):
    config, _ = composed("experiment=price_lstm", "schedule=dead_inputs")
    with pytest.raises(ValueError, match="choose data=bars or scenario"):
        build_datamodule(config)


def test_an_event_on_an_unknown_block_is_one_line(composed):
    config, _ = composed("data=scenario", "schedule=dead_inputs")
    config.schedule.events.indicators_die.block = "news"
    with pytest.raises(ValueError, match="must be one of market, indicator, position, got 'news'"):
        build_datamodule(config)
