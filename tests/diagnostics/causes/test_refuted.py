"""Proofs that refute: the claims of a seeded fault, put to the test where the fault is not."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.arguments import as_list
from src.diagnostics.causes import CAUSES
from src.diagnostics.causes.cause import Candidate, Verdict
from src.diagnostics.causes.experiment import Experiment
from src.diagnostics.diagnose import find_causes
from src.diagnostics.isolation import untouched
from src.diagnostics.symptoms.replay import find_symptoms
from tests.diagnostics.faults import FAULTS, Case, healthy, make_batches


def bench(case: Case) -> Experiment:
    optimizers = as_list(case.optimizer)
    with untouched(case.model):
        symptoms = find_symptoms(case.model, case.batches, case.loss_fn, optimizers, case.context)
    return Experiment(case.model, case.batches, case.loss_fn, optimizers, symptoms)


def put_to_the_test(case: Case, cause: str, candidate: Candidate) -> Verdict:
    prove = CAUSES[cause].prove
    assert prove is not None
    with untouched(case.model):
        return prove(bench(case), candidate)


@pytest.mark.parametrize(
    "fault",
    [
        *("copied feature", "large feature", "zero weights", "zero norm", "zero queries and keys"),
        *("gain ten", "group left out", "half precision", "equal targets", "shapes broadcast"),
        *("layer replaced", "norm over one", "output a bias"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_what_is_claimed_of_a_healthy_model_is_refuted(fault: str) -> None:
    make, cause, _ = FAULTS[fault]
    faulty = bench(make()).symptoms
    candidate = next(found for found in find_causes(faulty) if found.cause == cause)
    confirmed, evidence = put_to_the_test(healthy(), cause, candidate)
    assert confirmed is False, evidence


@pytest.mark.parametrize(
    "fault", ["zero features", "one unit carries all", "collapsing scaler", "never cleared"]
)
def test_what_cannot_be_told_is_not_borne_out(fault: str) -> None:
    make, cause, _ = FAULTS[fault]
    faulty = bench(make()).symptoms
    candidate = next(found for found in find_causes(faulty) if found.cause == cause)
    assert put_to_the_test(healthy(), cause, candidate)[0] is not True


def test_a_threshold_above_the_gradient_clips_nothing() -> None:
    claim = Candidate(evidence={"clip": 1e9})
    assert put_to_the_test(healthy(), "overclipped", claim)[0] is False
    assert put_to_the_test(healthy(), "overclipped", replace(claim, evidence={"clip": 0.0}))[0]


def test_a_gradient_on_entry_below_a_fresh_one_was_cleared() -> None:
    case = healthy()
    case.loss_fn(case.model, case.batches[0]).backward()
    claim = Candidate(evidence={"gradient_on_entry": 1.0})
    for factor, confirmed in ((0.5, False), (8.0, True)):
        for parameter in case.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        assert put_to_the_test(case, "accumulating", claim)[0] is confirmed


def test_gradients_that_do_not_fade_do_not_come_back() -> None:
    claim = Candidate(module="project", parameter="project.weight")
    confirmed, evidence = put_to_the_test(healthy(), "vanishing", claim)
    assert confirmed is False
    assert evidence["before"] > 0


class Summing(nn.Module):
    """A recurrence that forgets nothing: the sum of all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, 1, bias=False, batch_first=True, nonlinearity="relu")
        with torch.no_grad():
            for parameter in self.rnn.parameters():
                parameter.fill_(1.0)

    def forward(self, x: Tensor, mask: Any = None) -> Tensor:
        return self.rnn(x)[0][:, -1]


def of_series(model: nn.Module) -> Case:
    generator = torch.Generator().manual_seed(0)
    batches = [{"x": torch.rand(8, 20, 1, generator=generator)} for _ in range(2)]
    return Case(model, [{**batch, "y": torch.zeros(8, 1)} for batch in batches])


def test_steps_that_matter_are_not_forgotten() -> None:
    claim = Candidate(module="rnn", evidence={"steps_reached": 3})
    model = Summing()
    assert put_to_the_test(of_series(model), "vanishing", claim)[0] is False
    with torch.no_grad():
        model.rnn.weight_hh_l0.zero_()  # now the last step alone counts
    assert put_to_the_test(of_series(model), "vanishing", claim)[0] is True


def test_a_weight_whose_gain_is_small_already_explains_no_explosion() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 4), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].weight.mul_(0.1)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = model

        def forward(self, x: Tensor, mask: Any = None) -> Tensor:
            return self.body(x)[:, -1]

    case = Case(Last(), make_batches())
    claim = Candidate(module="body.0")
    assert put_to_the_test(case, "exploding", claim)[0] is False
    with torch.no_grad():
        model[0].weight.mul_(1000)
    assert put_to_the_test(case, "exploding", claim)[0] is True


def test_a_feature_that_moves_is_not_brought_to_life() -> None:
    claim = Candidate(module="project", parameter="project.weight", evidence={"columns": [0, 1]})
    assert put_to_the_test(healthy(), "dead_input", claim)[0] is not True
