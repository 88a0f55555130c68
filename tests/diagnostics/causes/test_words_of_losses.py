"""Targets and losses that do not go together: each reason in its words, with its bounds."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from src.diagnostics.causes.scales import find_misscaled_target
from src.diagnostics.causes.targets import (
    RANGES,
    find_degenerate_target,
    find_loss_mismatch,
    find_unreachable_target,
    outside_share,
)
from src.diagnostics.symptoms.calls import Labels, Negative
from src.diagnostics.symptoms.structure import Structure
from src.diagnostics.symptoms.symptoms import LossSymptoms, Symptoms


def seen(function: str, preds: Tensor, target: Tensor, activation: str | None = None) -> Symptoms:
    return Symptoms(losses=[LossSymptoms(function, activation, "head", preds, target)])


def mismatch(*arguments: Any) -> tuple[str, str] | None:
    """Return why a loss does not fit and what to do, or None."""
    found = find_loss_mismatch(seen(*arguments))
    assert len(found) < 2
    for candidate in found:
        assert candidate.module == "head"
        assert candidate.fraction == 1.0
        assert candidate.evidence["loss"] == arguments[0]
        return candidate.evidence["why"], candidate.remedy
    return None


COLUMN, CLASSES = torch.zeros(6, 1), torch.tensor([[2.0, -1.0, 0.5]]).repeat(6, 1)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
SHARES = torch.tensor([[0.2, 0.3, 0.5]]).repeat(6, 1)
RAW = "Pass the raw outputs of the last layer to {}."


@pytest.mark.parametrize(
    ("function", "preds", "target", "activation", "why", "remedy"),
    [
        (
            *("cross_entropy", COLUMN, LABELS * 0, None),
            "a softmax over one class is always 1",
            "Use a regression loss or more outputs.",
        ),
        (
            *("cross_entropy", CLASSES, SHARES.flatten() * 1.2, None),
            "targets are no probabilities",
            "Use a regression loss such as mse_loss.",
        ),
        (
            *("cross_entropy", CLASSES.softmax(1), LABELS, "softmax"),
            "cross_entropy applies its own normalisation to the output of a softmax",
            RAW.format("cross_entropy"),
        ),
        (
            *("binary_cross_entropy_with_logits", COLUMN.sigmoid(), COLUMN, "sigmoid"),
            "binary_cross_entropy_with_logits applies its own normalisation to the output of a "
            "sigmoid",
            RAW.format("binary_cross_entropy_with_logits"),
        ),
        (
            *("binary_cross_entropy", COLUMN.sigmoid(), COLUMN + 1.5, "sigmoid"),
            "targets are no probabilities",
            "Use a regression loss such as mse_loss.",
        ),
        (
            *("nll_loss", CLASSES, LABELS, None),
            "nll_loss expects log-probabilities",
            "Use cross_entropy, or add a log_softmax.",
        ),
        (
            *("nll_loss", CLASSES, LABELS, "logsoftmax"),
            "a log_softmax over another dimension than the classes",
            "Take the log_softmax over dim 1, the classes, or use cross_entropy.",
        ),
        (
            *("mse_loss", COLUMN + 1, COLUMN.flatten(), "softmax"),
            "a softmax over one output is always 1",
            "Remove the softmax.",
        ),
    ],
)
def test_what_does_not_go_together_is_said_with_what_to_do(
    function: str, preds: Tensor, target: Tensor, activation: str, why: str, remedy: str
) -> None:
    assert mismatch(function, preds, target, activation) == (why, remedy)


@pytest.mark.parametrize(
    ("function", "preds", "target", "activation"),
    [
        ("cross_entropy", CLASSES, LABELS, None),
        ("cross_entropy", CLASSES, SHARES.flatten(), None),
        ("cross_entropy", CLASSES, SHARES.flatten() * 1.04, None),
        ("cross_entropy", CLASSES, LABELS, "leaky_relu"),
        ("binary_cross_entropy", COLUMN.sigmoid(), COLUMN, "sigmoid"),
        ("binary_cross_entropy", COLUMN.sigmoid(), COLUMN + 1, "sigmoid"),
        ("nll_loss", CLASSES.log_softmax(1), LABELS, "logsoftmax"),
        ("nll_loss", SHARES.log(), LABELS, None),
        ("mse_loss", CLASSES, CLASSES.flatten(), "softmax"),
        ("mse_loss", COLUMN, COLUMN.flatten(), "sigmoid"),
    ],
)
def test_what_goes_together_is_no_mismatch(
    function: str, preds: Tensor, target: Tensor, activation: str
) -> None:
    assert mismatch(function, preds, target, activation) is None


def test_outputs_that_add_up_to_one_without_a_negative_are_normalised_already() -> None:
    assert mismatch("cross_entropy", SHARES, LABELS, None) is not None
    off = torch.tensor([[1.2, -0.4, 0.2]]).repeat(6, 1)
    assert mismatch("cross_entropy", off, LABELS, None) is None, "no share is below zero"
    almost = SHARES.clone()
    almost[3, 0] += 0.01
    assert mismatch("cross_entropy", almost, LABELS, None) is None, "each sample has to add up"
    assert mismatch("binary_cross_entropy_with_logits", COLUMN + 1, COLUMN, None) is None


def test_class_labels_under_a_loss_of_numbers_are_named_with_their_count() -> None:
    labels = Labels("mse_loss", 4, (32, 1), "head", "line 3")
    (found,) = find_loss_mismatch(Symptoms(structure=Structure(labels=labels)))
    assert found.evidence == {
        "loss": "mse_loss",
        "classes": 4,
        "outputs": [32, 1],
        "line": "line 3",
        "why": "class labels 0 to 3 under mse_loss",
        "activation": None,
    }
    assert found.remedy == "Use cross_entropy with 4 outputs, one per class."
    assert (found.module, found.fraction) == ("", 1.0)


@pytest.mark.parametrize(
    ("function", "sign", "remedy"),
    [
        ("mse_loss", True, "Turn the sign of the loss: an optimiser minimises."),
        ("nll_loss", True, "Turn the sign of the loss: an optimiser minimises."),
        (
            "nll_loss",
            False,
            "Give nll_loss log-probabilities (log_softmax), or use cross_entropy on raw outputs.",
        ),
        (
            "binary_cross_entropy_with_logits",
            False,
            "Binary cross entropy takes targets in [0, 1]: use a regression loss for others.",
        ),
        ("kl_div", False, "Look at what kl_div is given: it cannot be negative."),
    ],
)
def test_a_loss_below_zero_that_cannot_be_is_explained(
    function: str, sign: bool, remedy: str
) -> None:
    symptoms = seen("l1_loss", COLUMN, COLUMN.flatten())
    symptoms.structure = Structure(negative=Negative(function, -0.25, sign, "line 7"))
    (found,) = find_loss_mismatch(symptoms)
    assert found.remedy == remedy
    assert found.module == "head"
    assert found.evidence == {
        "loss": function,
        "value": -0.25,
        "line": "line 7",
        "why": f"a loss of -0.25 although {function} is never negative",
        "activation": None,
    }


def test_outside_of_a_range_counts_beyond_rounding() -> None:
    assert outside_share(torch.tensor([0.0, 1.0, -1e-7, 1 + 1e-7]).double(), 0.0, 1.0) == 0.0
    assert outside_share(torch.tensor([-1e-5, 0.5, 1 + 1e-5, 1.0]).double(), 0.0, 1.0) == 0.5


@pytest.mark.parametrize(("outside", "found"), [(2, 1), (1, 0)])
def test_a_target_is_out_of_reach_from_two_in_a_hundred_on(outside: int, found: int) -> None:
    target = torch.full((100,), 0.5)
    target[:outside] = 3.0
    candidates = find_unreachable_target(seen("mse_loss", torch.zeros(100, 1), target, "sigmoid"))
    assert len(candidates) == found
    for candidate in candidates:
        assert (candidate.module, candidate.fraction) == ("head", 0.02)
        assert candidate.evidence == {
            "activation": "sigmoid",
            "lowest_reachable_mse": pytest.approx(0.02 * 4.0),
            "target_min": 0.5,
            "target_max": 3.0,
        }
        assert candidate.remedy == (
            "Remove the sigmoid after the last layer, or scale the targets into its range."
        )


@pytest.mark.parametrize("activation", RANGES)
def test_each_activation_reaches_its_ends_and_nothing_beyond(activation: str) -> None:
    low, high = RANGES[activation]
    x = torch.linspace(-60, 60, 241).double()
    functions = {
        "logsigmoid": torch.nn.functional.logsigmoid,
        "softplus": torch.nn.functional.softplus,
        "hardsigmoid": torch.nn.functional.hardsigmoid,
        "hardtanh": torch.nn.functional.hardtanh,
        "softmax": lambda x: torch.stack([x, -x]).softmax(0),
        "logsoftmax": lambda x: torch.stack([x, -x]).log_softmax(0),
    }
    values = functions.get(activation, getattr(torch, activation, None))(x)
    assert low - 1e-9 <= float(values.min())
    assert float(values.max()) <= high + 1e-9
    for end, reached in ((low, float(values.min())), (high, float(values.max()))):
        assert abs(reached) > 50 if math.isinf(end) else reached == pytest.approx(end, abs=1e-6)


def test_a_softmax_over_one_output_is_a_mismatch_and_no_matter_of_reach() -> None:
    target = torch.full((10,), 3.0)
    one = seen("mse_loss", torch.ones(10, 1), target, "softmax")
    two = seen("mse_loss", torch.ones(10, 2), target, "softmax")
    assert find_unreachable_target(one) == []
    assert len(find_unreachable_target(two)) == 1
    assert find_unreachable_target(seen("cross_entropy", CLASSES, LABELS, "sigmoid")) == []


@pytest.mark.parametrize(
    ("function", "target", "found"),
    [
        ("mse_loss", torch.full((8,), 2.0), 1),
        ("mse_loss", torch.full((7,), 2.0), 0),
        ("cross_entropy", torch.full((64,), 2), 1),
        ("cross_entropy", torch.full((63,), 2), 0),
        ("binary_cross_entropy", torch.full((63,), 1.0), 0),
        ("mse_loss", torch.tensor([2.0] * 7 + [2.0 + 1e-6]), 0),
        ("mse_loss", torch.tensor([0.0] * 8), 1),
        ("mse_loss", torch.full((8,), math.nan), 0),
    ],
)
def test_targets_are_all_equal_over_eight_numbers_or_64_labels(
    function: str, target: Tensor, found: int
) -> None:
    preds = torch.zeros(len(target), 1)
    candidates = find_degenerate_target(seen(function, preds, target))
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.evidence == {"value": float(target[0]), "targets": len(target)}
        assert candidate.remedy == "Check how the target is computed: every value is the same."


@pytest.mark.parametrize(
    ("size", "off", "found"),
    [(100.0, 100.0, 1), (99.0, 200.0, 0), (200.0, 99.0, 0), (1e4, 1e4, 1)],
)
def test_targets_are_misscaled_from_a_hundred_on_if_they_are_missed_by_as_much(
    size: float, off: float, found: int
) -> None:
    target = torch.full((10,), size) * torch.tensor([1.0, -1.0]).repeat(5)
    preds = (target - off)[:, None]
    candidates = find_misscaled_target(seen("mse_loss", preds, target))
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.evidence["target_rms"] == pytest.approx(size)
        assert candidate.evidence["error_rms"] == pytest.approx(off)
        assert candidate.evidence["output_rms"] == pytest.approx(
            float(preds.double().square().mean().sqrt())
        )
        assert candidate.remedy.startswith("Scale the targets to about unit variance")


def test_where_outputs_and_targets_do_not_match_in_number_the_targets_size_is_the_error() -> None:
    target = torch.full((10,), 300.0)
    (found,) = find_misscaled_target(seen("mse_loss", torch.full((4, 1), 300.0), target))
    assert found.evidence["error_rms"] == 300.0
    assert find_misscaled_target(seen("cross_entropy", torch.zeros(10, 1), target)) == []
    broken = torch.tensor([[math.inf]] * 10)
    (found,) = find_misscaled_target(seen("mse_loss", broken, target))
    assert found.evidence["output_rms"] == 0.0
