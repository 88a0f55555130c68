"""The table of causes, and the order it gives to findings."""

import pytest
import torch
from torch import nn

from src.diagnostics import MEANING, Finding, diagnose
from src.diagnostics.causes import CAUSES
from src.diagnostics.causes.cause import ANYTHING, Cause, Standing
from src.diagnostics.causes.scales import relative_sizes
from src.diagnostics.rank import rank
from src.diagnostics.symptoms.stats import FeatureStats
from src.diagnostics.symptoms.symptoms import Symptoms
from tests.diagnostics.faults import FAULTS


def forms() -> list[Standing]:
    return [form for cause in CAUSES.values() for form in (cause, *cause.variants)]


def test_the_table_names_each_cause_once_and_orders_it_by_rank() -> None:
    ranks = [form.rank for form in forms()]
    assert len(set(ranks)) == len(ranks)
    assert [cause.rank for cause in CAUSES.values()] == sorted(c.rank for c in CAUSES.values())
    assert all(name == cause.name for name, cause in CAUSES.items())
    assert {name: cause.meaning for name, cause in CAUSES.items()} == MEANING


def test_what_a_cause_explains_exists() -> None:
    known = {form.name for form in forms()} | {form.group for form in forms()} - {""}
    assert {name for form in forms() for name in form.explains} <= known | {ANYTHING}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=list(CAUSES))
def test_a_cause_is_found_somehow_and_alarms_are_put_to_the_test(cause: Cause) -> None:
    assert cause.find is not Cause.find or cause.find_by_trial is not Cause.find_by_trial
    assert (
        cause.prove
        or cause.benign
        or cause.leftover
        or cause.find_by_trial is not Cause.find_by_trial
    )
    assert cause.meaning
    assert bool(cause.sign) == bool(cause.remedy_by_sign)


@pytest.mark.parametrize("cause", CAUSES.values(), ids=list(CAUSES))
def test_no_cause_is_found_in_a_record_of_nothing(cause: Cause) -> None:
    assert cause.find(Symptoms()) == []


def test_each_alarm_has_a_seeded_fault() -> None:
    assert {cause for _, cause, _ in FAULTS.values()} >= {
        name for name, cause in CAUSES.items() if not cause.benign
    }


def test_each_sign_stands_for_one_cause() -> None:
    signs = [cause.sign for cause in CAUSES.values() if cause.sign]
    assert sorted(signs) == ["dead columns", "dead rows", "missing", "nonfinite"]


def test_refuted_candidates_are_dropped_and_consequences_follow_their_root() -> None:
    refuted = Finding(cause="nonfinite", evidence={"from_data": True}, confirmed=False)
    root = Finding(cause="zero_init", module="b", confirmed=True)
    consequence = Finding(cause="dead_unit", module="a", confirmed=True)
    assert rank([consequence, refuted, root]) == (root,)


def test_nan_from_the_data_explains_all_but_what_stands_on_its_own() -> None:
    root = Finding(cause="nonfinite", evidence={"from_data": True})
    inside = Finding(cause="nonfinite", evidence={"where": "output"})
    frozen = Finding(cause="frozen")
    assert rank([frozen, Finding(cause="overclipped"), inside, root]) == (root, frozen)


def test_nan_from_inside_the_model_is_the_consequence_of_a_rate_too_high() -> None:
    inside = Finding(cause="nonfinite", evidence={"where": "output"})
    rate = Finding(cause="learning_rate_too_high", confirmed=True)
    assert rank([inside, rate]) == (rate,)


def test_units_that_are_only_cut_off_come_after_what_cut_them_off() -> None:
    cut_off = Finding(cause="dead_unit", evidence={"why": "no gradient back"})
    silenced = Finding(cause="dead_unit", evidence={"why": "no gradient of its weights"})
    faded = Finding(cause="vanishing")
    assert rank([cut_off, faded]) == (faded,)
    assert rank([faded, silenced, cut_off]) == (silenced, faded)


def test_weights_too_large_to_go_round_come_after_what_is_seen_of_them() -> None:
    recurrent = Finding(cause="large_init", evidence={"goes_round": True})
    exploding, flat = Finding(cause="exploding"), Finding(cause="saturated")
    assert rank([recurrent, exploding]) == (exploding,)
    assert rank([recurrent, flat]) == (flat,)
    benign = Finding(cause="exploding", benign=True)
    assert rank([benign, recurrent]) == (recurrent, benign)
    assert rank([exploding, Finding(cause="large_init")]) == (Finding(cause="large_init"),)


def test_benign_findings_come_last_and_are_never_explained_away() -> None:
    benign = Finding(cause="structural", benign=True)
    root = Finding(cause="nonfinite", evidence={"from_data": True})
    assert rank([benign, root]) == (root, benign)


@pytest.mark.parametrize("factor", [1e4, 1e-4])
def test_misscaled_feature_is_found_with_its_factor(factor: float) -> None:
    assert relative_sizes(torch.tensor([1.0, 1.0, 1.0, factor, 1.0])) == {3: pytest.approx(factor)}


def test_rare_one_hot_and_dead_features_are_not_misscaled() -> None:
    x = torch.randn(1000, 4)
    x[:, 1] = 0
    x[0, 1] = 1
    x[:, 2] = 0
    stats = FeatureStats(4)
    stats.add(x)
    assert relative_sizes(stats.sizes) == {}


class Basis(nn.Module):
    """Multiplies by a constant that is a parameter, as the basis of N-BEATS is."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.eye(4), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.basis


def test_a_constant_of_a_module_of_ones_own_is_frozen_on_purpose() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), Basis(), nn.Linear(4, 1))
    x = torch.randn(32, 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    diagnosis = diagnose(
        model, [(x, x[:, :1])], lambda m, b: nn.functional.mse_loss(m(b[0]), b[1]), optimizer
    )
    assert diagnosis.worst is None
    assert [f.location for f in diagnosis if f.cause == "frozen"] == ["1.basis"]


class LastAway(nn.Module):
    """Takes the last value off a series, which leaves a zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = x * mask
        return self.body(x - x[:, -1:]) + x[:, -1:]


def test_a_zero_that_the_model_makes_is_no_dead_input_beside_a_mask_of_ones() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 8)
    batch = (x, torch.ones(64, 8), x.mean(1, keepdim=True))
    diagnosis = diagnose(
        LastAway(), [batch], lambda m, b: nn.functional.mse_loss(m(b[0], b[1]), b[2])
    )
    assert diagnosis.worst is None, str(diagnosis)
