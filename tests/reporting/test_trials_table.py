import pytest
from rich.console import Console

from src.reporting.trials_table import _skill, trials_view


def row(change, skills, **more):
    plain = {"change": change, "start": "as found", "skills": skills, "cause": "", "do": ""}
    return {**plain, "error": "", "planted": False, **more}


def printed(trials):
    console = Console(width=200)
    with console.capture() as caught:
        console.print(trials_view({"alarm": False, "rows": [], "untried": [], **trials}))
    return caught.get()


def test_repairs_stand_below_the_program_as_it_is():
    none = row("none", {"30": -99.0, "300": "nan"})
    clipped = row("clipping", {"30": 0.5, "300": 0.876}, cause="exploding", do="Clip.")
    other = row("leaky units", {"30": 0.0, "300": 0.0})
    text = printed({"words": "It helps.", "trials": [none, other, clipped], "rows": [clipped]})
    assert "It helps." in text
    assert "leaky units" not in text
    lines = [line for line in text.splitlines() if "as found" in line]
    assert "< -9.99" in lines[0]
    assert "diverged" in lines[0]
    assert all(shown in lines[1] for shown in ("clipping", "0.50", "0.88", "exploding", "Clip."))


def test_without_a_repair_all_trials_are_shown_with_what_was_left_out():
    failed = row("none", {}, error="RuntimeError: no")
    planted = row("none", {"30": 0.1}, planted=True)
    text = printed({"words": "No.", "trials": [failed, planted], "untried": ["fresh weights"]})
    assert "RuntimeError: no" in text
    assert "none, planted target" in text
    assert "No time was left for: fresh weights" in text


@pytest.mark.parametrize(
    ("value", "shown"), [(-9.5, "-9.50"), (-10.0, "< -9.99"), (-10.5, "< -9.99")]
)
def test_a_skill_far_below_zero_is_not_told_to_the_digit(value, shown):
    assert _skill(value) == shown


def test_words_stand_at_the_left_and_skills_at_the_right():
    view = trials_view(
        {"words": "", "alarm": True, "rows": [], "untried": [], "trials": [row("a", {"30": 0.1})]}
    )
    _, table = view.renderables
    assert [(str(c.header), c.justify) for c in table.columns] == [
        *(("change", "left"), ("start", "left"), ("skill at 30", "right")),
        *(("cause", "left"), ("do", "left")),
    ]
    nothing = {"words": "", "alarm": False, "rows": [], "untried": [], "trials": []}
    assert len(trials_view(nothing).renderables) == 1
