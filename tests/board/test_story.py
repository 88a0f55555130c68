import torch

from src.board.pictures import write_picture
from src.board.story import finding_lines, story_figure

FINDING = {
    "cause": "dead_input",
    "module": "fc",
    "parameter": "fc.weight",
    "fraction": 0.5,
    "indices": ["volume", "open"],
    "benign": False,
    "confirmed": True,
    "remedy": "Drop them.",
}


def record(step, columns):
    shares = {"zero_fraction": columns, "rows": 0.0, "columns": columns, "scattered": 0.0}
    return {"step": step, **shares}


def told(columns):
    return {
        "training": [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.9}],
        "validation": [{"step": 2, "loss": 0.9, "skill": -0.1}],
        "diagnosis": {"findings": [FINDING], "num_batches": 2},
        "gradient_history": {
            "parameter": "fc.weight",
            "records": [record(0, columns), record(9, columns)],
            "dead": {"num_rows": 4, "num_columns": 4, "rows": [], "columns": [2, 3]},
        },
        "pooling": {"history": {"p": [{"step": 1, "weights": [0.5, 0.5], "gradient_share": None}]}},
    }


def orange(picture):
    red, green, blue = picture.int()
    return int(((red - 230).abs() + (green - 159).abs() + blue < 10).sum())


def test_zeros_fill_as_much_of_the_picture_as_there_are():
    few, many = (orange(story_figure(told(share))) for share in (0.1, 0.6))
    assert many > few > 0


def test_a_finding_is_told_with_its_names_and_what_would_help():
    lines = [line for line, _ in finding_lines(told(0.5))]
    assert lines == [
        "1. dead_input in fc.weight: 50.0% of its gradient, confirmed by intervention",
        "volume, open",
        "What would help: Drop them.",
    ]


def test_a_run_that_nothing_watched_is_drawn_all_the_same(tmp_path):
    picture = story_figure({})
    assert picture.dtype == torch.uint8
    write_picture(tmp_path / "story.png", picture)
    assert (tmp_path / "story.png").stat().st_size > 1000
