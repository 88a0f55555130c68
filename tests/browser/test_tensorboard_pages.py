import pytest

from src.board.run_page import FIRST, METRICS
from src.diagnostics.lightning.log_writer import LAYOUT
from tests.conftest import report_of

pytestmark = pytest.mark.slow

RUNS = [
    f"transformer-{pooling}-feature-seed{seed}-0"
    for pooling in ("learnable", "mean")
    for seed in (0, 1)
]


def test_runs_are_named_by_what_they_varied_and_every_page_is_there(page):
    text = page("timeseries").wait_for(*(f"demo/{run}" for run in RUNS))
    pages = "Time Series|Scalars|Custom Scalars|Images|Distributions|Histograms|Text|HParams"
    shown = text.lower().splitlines()
    assert all(name.lower() in shown for name in pages.split("|"))


@pytest.mark.parametrize(
    "tag",
    [
        "train/loss",
        "val/loss",
        "val/skill",
        "test/rmse",
        "best/val_loss",
        "zeros/first_weight",
        "zeros/first_weight_in_dead_columns",
        "zeros/most_of_any_weight",
        "findings_to_act_on",
        "pooling/model.pooling/recent_3_sum",
        "gradient_share/model.pooling/recent_3_sum",
    ],
)
def test_a_scalar_has_its_chart(page, tag):
    shown = page(f"scalars&tagFilter=^{tag}$")
    shown.wait_for(tag)
    shown.wait_until(lambda: shown.count("vz-line-chart2") >= 1, "a line chart")


def test_the_custom_page_lays_out_what_matters_and_every_chart_has_lines(page):
    shown = page("custom_scalars")
    titles = [title for category in LAYOUT.values() for title in category]
    shown.wait_for(*LAYOUT, *titles)
    shown.wait_until(
        lambda: (
            sum(line.startswith("Matches (") for line in shown.text().splitlines()) == len(titles)
        ),
        "the matches of every chart",
    )
    assert "Matches (0)" not in shown.text()


def test_pooling_weights_have_histograms(page):
    shown = page("histograms&tagFilter=pooling_weights")
    shown.wait_for("pooling_weights/model.pooling", *(f"demo/{run}" for run in RUNS))
    drawn = "(e.shadowRoot ?? e).querySelectorAll('svg path').length > 5"
    shown.wait_until(lambda: shown.count("vz-histogram-timeseries", drawn) >= 4, "4 histograms")


@pytest.mark.parametrize(
    ("tag", "width", "height"),
    [
        ("1_story", 1060, 1300),
        ("2_forecasts", 720, 840),
        ("pooling_weights_over_time/model.pooling", 652, 326),
        ("gradient_share_over_time/model.pooling", 652, 326),
    ],
)
def test_a_picture_of_each_run_is_loaded(page, tag, width, height):
    shown = page(f"images&tagFilter=^{tag}$")
    shown.wait_for(tag)
    size = f"e.naturalWidth === {width} && e.naturalHeight === {height}"
    shown.wait_until(lambda: shown.count("img", size) >= 4, f"4 pictures of {width} x {height}")


@pytest.mark.parametrize(
    ("tag", "parts"),
    [
        ("diagnosis", ("Healthy", "nothing to repair")),
        ("run/config", ("hidden_size: 16",)),
        ("run/result", ("finished", "rmse", "tomorrow = today")),
    ],
)
def test_texts_are_shown_as_markdown(page, tag, parts):
    shown = page(f"text&tagFilter=^{tag}")
    text = shown.wait_for(f"{tag}/text_summary", *(f"demo/{run}" for run in RUNS))
    assert all(part in text for part in parts), text
    assert "**" not in text


def test_the_hparams_page_has_a_row_for_each_run_also_for_the_failed_one(page, sweep):
    shown = page("hparams")
    text = shown.wait_for(*FIRST, *METRICS.values())
    assert "hp_metric" not in text
    for run in RUNS:
        rmse = report_of(sweep / "demo" / run)["test"]["model"]["rmse"]
        shown.wait_for(f"{rmse:.5g}")
    poolings = text.splitlines()
    assert [poolings.count(name) for name in ("learnable", "mean", "max")] == [2, 2, 1]
