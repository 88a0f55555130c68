"""How measurements and findings are named and shown: tags, words and pictures, by hand."""

from typing import Any

import pytest
import torch

from src.diagnostics import Diagnosis, Finding
from src.diagnostics.lightning.presentation import (
    EDGES,
    alarm_sentence,
    dead_map,
    few_scalars,
    findings_text,
    first_weight_scalars,
    measurement_scalars,
    show_details,
    show_diagnosis,
)
from src.diagnostics.measuring.counts import GradientStats, Measurement
from src.diagnostics.measuring.details import NUM_BINS, DetailMeasurement, GradientDetails


class Writer:
    """Remembers what is written."""

    def __init__(self, draws: bool = True) -> None:
        self.draws, self.shown = draws, dict[str, Any]()

    def scalars(self, values: Any, step: int) -> None:
        self.shown["scalars"] = (values, step)

    def counted(self, counts: Any, edges: Any, step: int) -> None:
        self.shown["counted"] = (counts, edges, step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        self.shown["text"] = (tag, markdown, step)

    def image(self, tag: str, image: Any, step: int) -> None:
        self.shown["image"] = (tag, tuple(image.shape), step)


def test_a_measurement_has_a_tag_for_each_number_that_is_there() -> None:
    plain = GradientStats(8, 6, 0, 3.0, 2.0)
    odd = GradientStats(8, 8, 2, 4.0, 2.0, touched_rows=5)
    both = Measurement(1, {"a.weight": plain, "b.weight": odd}, loss_scale=64.0)
    assert measurement_scalars(both) == {
        "zero_grad_fraction/a.weight": 0.25,
        "grad_norm/a.weight": 3.0,
        "zero_grad_fraction/b.weight": 0.0,
        "grad_norm/b.weight": 4.0,
        "nonfinite_grad/b.weight": 2,
        "touched_rows/b.weight": 5,
        "grad_norm_total": 5.0,
        "loss_scale": 64.0,
    }
    assert measurement_scalars(Measurement(1, {})) == {}


def test_few_scalars_hold_the_most_zeros_of_a_weight_that_is_no_norms() -> None:
    zeros = {
        "zero_grad_fraction/a.weight": 0.1,
        "zero_grad_fraction/b.weight": 0.6,
        "zero_grad_fraction/norm1.weight": 1.0,
        "zero_grad_fraction/b.bias": 0.9,
    }
    assert few_scalars(zeros) == {"zeros/most_of_any_weight": 0.6}
    assert few_scalars({"nonfinite_grad/a": 2, "touched_rows/a": 5}) == {"nonfinite_grad/a": 2}


def details(dead: bool = False, columns: int = 3) -> GradientDetails:
    """Return details of a weight of 2 x 3, or of a vector; some row and column may be dead."""
    alive = 2 if dead else 6
    column = torch.tensor([2.0, 2.0, 0.0] if dead else [2.0, 2.0, 1.0])[:columns]
    row = torch.tensor([0.0, 2.0] if dead else [1.0, 2.0])
    magnitudes = tuple(range(NUM_BINS))
    return GradientDetails((2, columns, 1), alive, 2, magnitudes, row, column, row, column)


def test_the_zeros_of_the_first_weight_are_told_by_shape_on_an_axis_from_0_to_1() -> None:
    assert first_weight_scalars(details(dead=True)) == {
        "zeros/first_weight": pytest.approx(4 / 6),
        "zeros/first_weight_in_dead_rows": 0.5,
        "zeros/first_weight_in_dead_columns": pytest.approx(2 / 6),
        "zeros/first_weight_scattered": 0.0,
        "zeros/axis_0": 0.0,
        "zeros/axis_1": 1.0,
    }


def test_details_are_shown_of_the_first_weight_or_of_all() -> None:
    both = DetailMeasurement(7, {"a": details(True), "b": details(), "c": details(columns=0)})
    few: Any = Writer()
    show_details(few, both, "a", every_scalar=False)
    values, step = few.shown["scalars"]
    assert (values, step) == (first_weight_scalars(details(True)), 7)
    counts, edges, step = few.shown["counted"]
    assert (edges, step) == (EDGES, 7)
    assert counts == {"log2_of_gradient/a": tuple(range(NUM_BINS - 1))}
    assert len(EDGES) == NUM_BINS

    every: Any = Writer()
    show_details(every, both, "a", every_scalar=True)
    values, _ = every.shown["scalars"]
    assert values["zero_grad_shape/a/rows"] == 0.5
    assert values["distinct_columns/b"] == 2
    assert not any("c" in tag.split("/") for tag in values), "a vector has no columns"
    assert set(every.shown["counted"][0]) == {f"log2_of_gradient/{name}" for name in "abc"}

    none: Any = Writer()
    show_details(none, both, None, every_scalar=False)
    assert none.shown["scalars"][0] == none.shown["counted"][0] == {}


def test_dead_rows_are_blue_dead_columns_orange_and_the_rest_grey_by_size() -> None:
    picture = dead_map(details(dead=True), cell=2)
    assert picture.dtype == torch.uint8
    assert picture.shape == (3, 4, 6)
    assert picture[:, 0, 0].tolist() == picture[:, 1, 5].tolist() == [0, 114, 178]
    assert picture[:, 2, 4].tolist() == picture[:, 3, 5].tolist() == [230, 159, 0]
    assert picture[:, 2, 0].tolist() == picture[:, 3, 3].tolist() == [95, 95, 95], "the largest"
    assert dead_map(details()).shape == (3, 8, 12)
    alive = dead_map(details(), cell=1)
    # sizes sqrt(row * column) over the largest, 2: the smallest is 1 / 2
    assert alive[0].tolist() == [[139, 139, 170], [95, 95, 139]]


def test_an_alarm_is_a_sentence_with_proof_and_remedy() -> None:
    for confirmed, told in (
        (True, ", confirmed by a replay. Thaw."),
        (False, ", not confirmed by a replay. Thaw."),
        (None, ". Thaw."),
    ):
        finding = Finding(cause="frozen", module="a", confirmed=confirmed, remedy="Thaw.")
        meaning = "a parameter that does not require a gradient"
        assert alarm_sentence(finding) == f"frozen at a: {meaning}{told}"


def test_a_diagnosis_is_told_in_paragraphs_with_what_is_benign_in_one_line() -> None:
    alarm = Finding(cause="frozen", module="a", fraction=0.5, confirmed=False)
    many = Finding(cause="dead_input", module="b", indices=tuple(range(13)), remedy="Drop.")
    quiet = [Finding(cause="structural", module=name, benign=True) for name in "cd"]
    assert findings_text(Diagnosis(findings=(alarm, many, *quiet))).split("\n\n") == [
        "**1. frozen** at `a`: a parameter that does not require a gradient",
        "- 50.0% of its entries; not confirmed by a replay",
        "**2. dead_input** at `b`: input features that are zero in every batch",
        "- 0.0% of its entries\n"
        "- which: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, and 1 more\n"
        "- remedy: Drop.",
        "Benign, nothing to repair: structural at `c`, structural at `d`.",
    ]
    twelve = Finding(cause="dead_input", module="b", indices=tuple(range(12)))
    assert findings_text(Diagnosis(findings=(twelve,))).endswith("10, 11")
    healthy = "**Healthy**: nothing to repair, seen over 3 batches."
    assert findings_text(Diagnosis(num_batches=3)) == healthy


@pytest.mark.parametrize(
    ("draws", "first", "pictured"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_a_diagnosis_is_written_with_a_count_and_a_picture(
    draws: bool, first: bool, pictured: bool
) -> None:
    told = Diagnosis(findings=(Finding(cause="frozen"), Finding(cause="structural", benign=True)))
    writer: Any = Writer(draws)
    show_diagnosis(writer, told, 5, ("a", details()) if first else None)
    assert writer.shown["scalars"] == ({"findings_to_act_on": 1.0}, 5)
    assert writer.shown["text"] == ("diagnosis", findings_text(told), 5)
    picture = ("dead_rows_blue_and_columns_orange/a", (3, 8, 12), 5)
    assert writer.shown.get("image") == (picture if pictured else None)
