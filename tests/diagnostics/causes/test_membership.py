"""Parameters left out: of the graph, of the optimiser, of training; and ends to spare, by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from src.diagnostics.causes import membership
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.causes.membership import _spare_end
from src.diagnostics.symptoms.leaves import Cut, Stale
from src.diagnostics.symptoms.structure import Structure
from src.diagnostics.symptoms.symptoms import ModuleSymptoms, Symptoms
from tests.diagnostics.causes.by_hand import parameter

BLOCKS = [f"blocks.{n}.{part}" for n in range(3) for part in ("body", "back", "ahead")]


def spare(name: str, missing: list[str], owners: list[str] = BLOCKS, **more: Any) -> bool:
    parameters = {f"{owner}.weight": SimpleNamespace(module=owner) for owner in owners}
    symptoms = SimpleNamespace(parameters=parameters, uncalled=more.get("uncalled", ()))
    return _spare_end(symptoms, name, dict.fromkeys(missing))  # type: ignore[arg-type]


def test_the_end_of_the_last_block_is_spare_where_the_others_use_theirs() -> None:
    assert spare("blocks.2.back", ["blocks.2.back"])


@pytest.mark.parametrize(
    ("name", "missing", "owners"),
    [
        ("blocks.1.back", ["blocks.1.back"], BLOCKS),  # a block after it uses its own
        ("blocks.2.back", [n for n in BLOCKS if "back" in n], BLOCKS),  # nobody uses any
        ("blocks.2.back", [n for n in BLOCKS if ".2." in n], BLOCKS),  # the block is not used
        ("head", ["head"], [*BLOCKS, "head"]),  # no block at all
        ("blocks.2.extra", ["blocks.2.extra"], [*BLOCKS, "blocks.2.extra"]),  # no other has it
        ("blocks.2.back", ["blocks.2.back"], ["blocks.2.back", "blocks.2.body"]),
    ],
)
def test_other_parts_without_a_gradient_are_not(
    name: str, missing: list[str], owners: list[str]
) -> None:
    assert not spare(name, missing, owners)


def test_a_part_that_is_never_called_is_no_spare_end() -> None:
    assert not spare("blocks.2.back", ["blocks.2.back"], uncalled={"blocks.2.back"})


def test_a_block_that_uses_nothing_at_all_has_no_end_to_spare() -> None:
    """Both are needed: a block before that uses its end, and other parts of the block in use."""
    last = ["blocks.1.back", "blocks.1.body"]
    owners = ["blocks.0.back", "blocks.0.body", *last]
    assert spare("blocks.1.back", ["blocks.1.back"], owners)
    assert not spare("blocks.1.back", last, owners), "the block is not used"
    assert not spare("blocks.1.back", ["blocks.1.back", "blocks.0.back"], owners), "nobody uses any"
    later = [*owners, "blocks.2.back"]
    assert not spare("blocks.1.back", ["blocks.1.back"], later), "a block after it uses its own"
    assert not spare("blocks.1.back", [*last, "blocks.0.back"], later)


def held(**facts: dict[str, Any]) -> Symptoms:
    """Return symptoms of two batches, and of parameters about which so much is known."""
    seen = Symptoms(loss_values=[1.0, 1.0])
    for order, (place, known) in enumerate(facts.items()):
        module, name = place.split("_")
        one = parameter(f"{module}.{name}", torch.ones(2, 2))
        for key, value in known.items():
            setattr(one, key, value)
        seen.parameters[one.name] = one
        seen.modules.setdefault(module, ModuleSymptoms(module, "Linear", order, 1))
    return seen


def test_what_gets_a_gradient_and_is_in_no_group_is_told_by_module() -> None:
    grads = [torch.full((2, 2), 0.5)]
    seen = held(
        a_weight={"optimized": False, "grads": grads},
        a_bias={"optimized": False, "missing": 1},
        b_weight={"optimized": True},
        c_weight={"optimized": None},
        d_weight={"optimized": False, "requires_grad": False},
        e_weight={"optimized": False, "missing": 2},
    )
    (found,) = membership.find_not_optimized(seen)
    assert (found.module, found.parameter, found.fraction) == ("a", "a.weight", 1.0)
    assert (found.benign, found.confirmed) == (False, None)
    assert found.evidence == {"parameters": ["a.weight", "a.bias"], "gradient_norm": 1.0}
    assert found.remedy == "Add these parameters to a group of the optimiser."
    seen.structure = Structure(stale=Stale(("a.weight",), 1, 4))
    assert membership.find_not_optimized(seen) == []


@pytest.mark.parametrize(
    ("optimized", "is_known", "benign"),
    [(True, True, False), (False, True, True), (None, True, True), (True, False, True)],
)
def test_what_is_frozen_in_the_optimiser_is_a_fault_but_for_constants_of_ones_own(
    optimized: bool | None, is_known: bool, benign: bool
) -> None:
    seen = held(a_weight={"requires_grad": False, "optimized": optimized}, b_weight={})
    seen.modules["a"].is_known = is_known
    (found,) = membership.find_frozen(seen)
    assert (found.module, found.parameter, found.fraction) == ("a", "a.weight", 1.0)
    assert found.benign is benign
    assert found.evidence == {"parameters": ["a.weight"], "in_optimizer": optimized}
    assert found.remedy.startswith("Call requires_grad_(True) on it, or leave it out")


def test_a_constant_stands_alone_in_its_module() -> None:
    frozen = {"requires_grad": False, "optimized": True}
    seen = held(a_basis=frozen, a_weight={})
    seen.modules["a"].is_known = False
    assert not membership.find_frozen(seen)[0].benign, "the rest of its module is trained"


@pytest.mark.parametrize(
    ("grad", "verdict"), [(torch.ones(1, 2), True), (torch.zeros(1, 2), False)]
)
def test_what_is_thawed_must_get_a_gradient(grad: torch.Tensor, verdict: bool) -> None:
    def replay(model: nn.Module) -> Any:
        asked = [name for name, p in model.named_parameters() if p.requires_grad]
        assert asked == ["weight"]
        return SimpleNamespace(grads={"weight": grad, "bias": torch.ones(1)})

    model = nn.Linear(2, 1).requires_grad_(False)
    experiment: Any = SimpleNamespace(copy=lambda: model, replay=replay)
    claim = Candidate(evidence={"parameters": ["weight", "lost"]})
    confirmed, told = membership.require_gradient(experiment, claim)
    assert confirmed is verdict
    assert told == {"before": 0.0, "after": pytest.approx(float(grad.norm()))}


def test_of_called_modules_the_last_is_told_and_of_others_each() -> None:
    lost = {"missing": 2}
    seen = held(a_weight=lost, b_weight=lost, b_bias=lost, c_weight={"missing": 1}, d_weight=lost)
    seen.uncalled = {"d": "Linear"}
    one, other = membership.find_unused(seen)
    assert (one.module, one.parameter, one.benign) == ("b", "b.weight", False)
    named = {"parameters": ["b.weight", "b.bias"], "called": True, "modules": ["a", "b"]}
    assert one.evidence == named
    assert (other.module, other.benign) == ("d", False)
    alone = {"parameters": ["d.weight"], "called": False, "modules": ["d"]}
    assert other.evidence == alone
    assert one.remedy == other.remedy
    assert one.remedy.startswith("Use the module's output in the loss (look for detach() or")


def test_experts_unfed_parts_and_cut_losses_leave_nothing_unused() -> None:
    lost = {"missing": 2}
    seen = held(a_weight=lost, d_weight=lost)
    seen.uncalled, seen.routed = {"d": "Linear"}, True
    assert [c.module for c in membership.find_unused(seen)] == ["a"], "an expert waits"
    seen.routed, seen.structure = False, Structure(unfed=frozenset({"a"}))
    found = membership.find_unused(seen)
    assert [(c.module, c.benign) for c in found] == [("a", True), ("d", False)]
    assert found[0].evidence["called"] is False
    seen.structure = Structure(cut=Cut("detach", "", "", leaf=False))
    assert membership.find_unused(seen) == []
    seen.structure, seen.loss_values = Structure(), []
    for one in seen.parameters.values():
        one.missing = 0
    assert membership.find_unused(seen) == [], "without a batch nothing is known"


@pytest.mark.parametrize(
    ("after", "called", "verdict"), [(1.0, False, True), (2.0, False, False), (2.0, True, True)]
)
def test_unused_weights_are_shifted_and_the_loss_stays(
    after: float, called: bool, verdict: bool
) -> None:
    def replay(copy: nn.Module) -> Any:
        assert copy.weight.tolist() == [[1.0]]
        assert copy.bias.tolist() == [0.0]
        return SimpleNamespace(loss=after)

    model = nn.Linear(1, 1)
    for one in model.parameters():
        nn.init.zeros_(one)
    baseline = SimpleNamespace(loss=1.0)
    experiment: Any = SimpleNamespace(baseline=baseline, copy=lambda: model, replay=replay)
    claim = Candidate(evidence={"parameters": ["weight"], "called": called})
    told = {"before": 1.0, "after": after}
    assert membership.change_weights(experiment, claim) == (verdict, told)
