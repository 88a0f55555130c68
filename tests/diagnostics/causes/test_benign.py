"""Zeros with nothing to repair: from where on a gradient counts as none, by hand."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from src.diagnostics.causes import benign
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.symptoms.symptoms import ModuleSymptoms, Symptoms
from tests.diagnostics.causes.by_hand import parameter


def table(kind: str, dead: list[int], rows: int = 4) -> Symptoms:
    held = parameter("emb.weight", torch.ones(rows, 2))
    held.is_zero = torch.zeros(rows, 2, dtype=torch.bool)
    held.is_zero[dead] = True
    held.is_zero[0, 1] = True  # an entry is no row
    return Symptoms({"emb": ModuleSymptoms("emb", kind)}, {"emb.weight": held}, loss_values=[1.0])


@pytest.mark.parametrize("kind", ["Embedding", "EmbeddingBag"])
def test_rows_that_were_not_visited_are_told_by_number(kind: str) -> None:
    (found,) = benign.find_sparse_rows(table(kind, [1, 3]))
    assert (found.parameter, found.fraction, found.indices) == ("emb.weight", 0.5, (1, 3))
    assert found.evidence == {"why": "rows of the vocabulary not visited"}
    assert found.remedy == "Nothing to repair: these rows wait for data that visits them."
    assert benign.find_sparse_rows(table("Linear", [1, 3])) == []
    assert benign.find_sparse_rows(table(kind, [])) == []
    assert benign.find_sparse_rows(table(kind, [0, 1, 2, 3])) == [], "that is another matter"
    unknown = table(kind, [1])
    unknown.parameters["emb.weight"].is_zero = None
    assert benign.find_sparse_rows(unknown) == []


@pytest.mark.parametrize(
    ("missing", "dead", "routed", "found"),
    [
        (1, [], True, True),
        (0, [0, 1, 2, 3], True, True),
        (0, [1, 2, 3], True, False),
        (1, [], False, False),
    ],
)
def test_an_expert_that_hears_nothing_was_not_routed_to(
    missing: int, dead: list[int], routed: bool, found: bool
) -> None:
    seen = table("Linear", dead)
    seen.routed = routed
    seen.parameters["emb.weight"].missing = missing
    candidates = benign.find_sparse_rows(seen)
    assert [(c.fraction, c.indices, c.evidence["why"]) for c in candidates] == [
        (1.0, (), "expert not routed to")
    ] * found


def biased(own: float, others: float, name: str = "bias") -> Symptoms:
    """Return a layer whose bias and weight got gradients of these norms."""
    seen = Symptoms()
    for local, weight, norm in ((name, torch.ones(4), own), ("weight", torch.ones(4, 4), others)):
        held = parameter(f"fc.{local}", weight)
        held.grads = [torch.full_like(weight, norm / math.sqrt(weight.numel()))]
        seen.parameters[held.name] = held
    return seen


@pytest.mark.parametrize(
    ("own", "others", "name", "found"),
    [
        (0.99e-4, 1.0, "bias", True),
        (1.01e-4, 1.0, "bias", False),
        (0.0, 0.0, "bias", False),
        (0.99e-4, 1.0, "bias_ih_l0", True),
        (0.99e-4, 1.0, "scale", False),
    ],
)
def test_a_bias_has_no_gradient_below_a_ten_thousandth_of_its_matrix(
    own: float, others: float, name: str, found: bool
) -> None:
    candidates = benign.find_structural(biased(own, others, name))
    assert len(candidates) == found
    for candidate in candidates:
        assert (candidate.parameter, candidate.fraction) == (f"fc.{name}", 1.0)
        assert candidate.indices == (0, 1, 2, 3)
        assert candidate.evidence["gradient_norm"] == pytest.approx(own)
        assert candidate.evidence["neighbours_norm"] == pytest.approx(others)
        assert candidate.remedy == "Nothing to repair: the true gradient is zero."


@pytest.mark.parametrize(("key", "found"), [(0.0077, True), (0.0079, False)])
def test_in_bfloat16_the_keys_have_no_gradient_below_the_step_of_its_numbers(
    key: float, found: bool
) -> None:
    held = parameter("attention.in_proj_bias", torch.ones(6))
    held.grads = [torch.tensor([1.0, key, 0.5]).repeat_interleave(2)]
    rounding = torch.finfo(torch.bfloat16).eps
    seen = Symptoms(parameters={held.name: held}, rounding=rounding)
    assert len(benign.find_structural(seen)) == found
    other = biased(0.005, 1.0)  # beside a matrix it depends on how large the inputs are
    other.rounding = rounding
    assert benign.find_structural(other) == []


def test_of_a_bias_alone_nothing_can_be_said() -> None:
    seen = biased(1e-9, 1.0)
    seen.parameters["fc.weight"].grads = []
    assert benign.find_structural(seen) == []
    del seen.parameters["fc.weight"]
    assert benign.find_structural(seen) == []
    silent = biased(1e-9, 1.0)
    silent.parameters["fc.bias"].grads = []
    assert benign.find_structural(silent) == []


@pytest.mark.parametrize("thirds", [(1.0, 1e-5, 1.0), (0.0, 1e-5, 1.0), (1.0, 1e-5, 0.0)])
def test_the_middle_third_of_an_attentions_bias_is_that_of_the_keys(
    thirds: tuple[float, ...],
) -> None:
    held = parameter("attention.in_proj_bias", torch.ones(6))
    held.grads = [torch.tensor(thirds).repeat_interleave(2)]
    (candidate,) = benign.find_structural(Symptoms(parameters={held.name: held}))
    assert (candidate.indices, candidate.fraction) == ((2, 3), pytest.approx(1 / 3))
    assert candidate.evidence["neighbours_norm"] == pytest.approx(math.sqrt(2))
    held.grads = [torch.ones(6)]
    assert benign.find_structural(Symptoms(parameters={held.name: held})) == []


def test_the_size_of_a_gradient_is_its_root_mean_square_over_the_batches() -> None:
    seen = biased(0.0, 1.0)
    seen.parameters["fc.bias"].grads = [
        torch.tensor([3e-5, 0, 0, 0]),
        torch.tensor([4e-5, 0, 0, 0]),
    ]
    (found,) = benign.find_structural(seen)
    assert found.evidence["gradient_norm"] == pytest.approx(math.sqrt(12.5) * 1e-5)


@pytest.mark.parametrize(
    ("after", "rounding", "same"),
    [
        *((after, 1.2e-7, True) for after in (2.0, 2.00001, 1.99999)),
        (2.0001, 1.2e-7, False),
        (2.0003, 2**-7, True),
        (2.0004, 2**-7, False),
    ],
)
def test_entries_without_a_gradient_are_shifted_by_one_and_the_loss_stays(
    after: float, rounding: float, same: bool
) -> None:
    model = nn.Linear(1, 4)
    nn.init.zeros_(model.bias)

    def loss(copy: nn.Module) -> float:
        assert copy.bias.tolist() == [0.0, 1.0, 1.0, 0.0]
        return after

    experiment: Any = SimpleNamespace(
        baseline=SimpleNamespace(loss=2.0),
        copy=lambda: model,
        loss=loss,
        symptoms=SimpleNamespace(rounding=rounding),
    )
    claim = Candidate(parameter="bias", indices=(1, 2))
    told = {"before": 2.0, "after": after}
    assert benign.shift_entries(experiment, claim) == (same, told)
