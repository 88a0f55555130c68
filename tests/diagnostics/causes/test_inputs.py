"""Features that are constant or copies, and how an intervention on features is judged, by hand."""

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from src.diagnostics.causes import inputs, scales
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.causes.experiment import Outcome
from src.diagnostics.causes.harm import Course, Worth
from src.diagnostics.symptoms.symptoms import LossSymptoms, ModuleSymptoms, Symptoms
from tests.diagnostics.causes.by_hand import layer, parameter, reading, symptoms_of


def varying(rows: int, features: int) -> Tensor:
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(0))


def test_a_reader_is_a_layer_that_meets_eight_rows_of_the_data_with_weights_of_its_own() -> None:
    seen = symptoms_of(reading(varying(8, 4)))
    ((module, stats),) = inputs.readers(seen)
    assert (module.name, stats.rows) == ("first", 8)
    module.leaf = False
    assert len(inputs.readers(seen)) == 1, "its weight is as wide as the data"
    seen.parameters["first.weight"].weight = torch.ones(4, 2, 2)
    assert inputs.readers(seen) == [], "its children read them"
    module.leaf = True
    assert len(inputs.readers(seen)) == 1
    seen.parameters.clear()
    assert inputs.readers(seen) == []
    assert inputs.readers(symptoms_of(reading(varying(7, 4)))) == []
    assert inputs.readers(symptoms_of(layer("a", 1.0))) == []


def test_a_candidate_points_at_the_weight_that_meets_the_features() -> None:
    first = reading(varying(8, 4))
    seen = symptoms_of(first, feature_names=("open", "high", "low", "close"))
    for name, shape in (("deep", (9, 5)), ("facing", (2, 4)), ("bias", (4,))):
        held = parameter(f"first.{name}", torch.ones(shape))
        seen.parameters[held.name] = held
    seen.parameters["first.weight"].weight = torch.ones(4, 3)
    found = inputs.at_features(seen, first, [1, 3], {"more": 1}, "Do.")
    assert (found.module, found.parameter, found.fraction) == ("first", "first.facing", 0.5)
    assert (found.indices, found.remedy, found.benign) == (("high", "close"), "Do.", False)
    assert found.evidence == {"more": 1, "columns": [1, 3]}
    del seen.parameters["first.facing"]
    assert inputs.at_features(seen, first, [1], {}, "").parameter == "first.deep", "the largest"


def test_columns_of_a_kernel_are_its_channels() -> None:
    grad = torch.arange(24.0).reshape(2, 3, 4)
    columns = inputs.columns_of({"w": grad}, Candidate(parameter="w"))
    assert columns.shape == (8, 3)
    for channel in range(3):
        assert sorted(columns[:, channel].tolist()) == sorted(grad[:, channel].flatten().tolist())
    flat = torch.ones(2, 3)
    assert torch.equal(inputs.columns_of({"w": flat}, Candidate(parameter="w")), flat.double())


def test_constant_features_are_told_with_their_values() -> None:
    x = varying(8, 4)
    x[:, 1], x[:, 3] = 2.0, -0.5
    (found,) = inputs.find_constant_input(symptoms_of(reading(x)))
    assert (found.indices, found.fraction, found.benign) == ((1, 3), 0.5, False)
    assert found.evidence == {"constants": [2.0, -0.5], "features": 4, "columns": [1, 3]}
    assert found.remedy == "Drop these features: a constant only repeats the bias."


@pytest.mark.parametrize(("rows", "found"), [(31, 0), (32, 1)])
def test_of_few_rows_that_are_all_alike_nothing_is_said(rows: int, found: int) -> None:
    candidates = inputs.find_constant_input(symptoms_of(reading(torch.ones(rows, 10))))
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.evidence["constants"] == [1.0] * 8, "eight are enough to show"


def test_copies_are_counted_with_their_groups_and_what_is_left() -> None:
    x = varying(20, 6)
    x[:, 2], x[:, 4], x[:, 5] = 2 * x[:, 0], -x[:, 0], 3 * x[:, 1]
    (found,) = inputs.find_duplicate_input(symptoms_of(reading(x)))
    assert found.indices == (0, 2, 4, 1, 5)
    assert found.evidence == {
        "copies": 5,
        "groups": 2,
        "distinct": 3,
        "features": 6,
        "zero_before_normalisation": 0,
        "columns": [0, 2, 4, 1, 5],
    }
    assert found.remedy == "Keep one feature of each group."
    x[0, 0] = float("nan")
    assert inputs.find_duplicate_input(symptoms_of(reading(x))) == []


@pytest.mark.parametrize(("moving", "found"), [(8, 1), (7, 0)])
def test_features_that_rest_tell_nothing_of_copies(moving: int, found: int) -> None:
    x = varying(20, 4)
    x[moving:, 0] = 0.0
    x[:, 1] = 2 * x[:, 0]
    assert len(inputs.find_duplicate_input(symptoms_of(reading(x)))) == found


def test_zeros_that_a_normalisation_hides_are_counted_before_it() -> None:
    before, after = reading(varying(20, 4)), reading(varying(20, 4))
    before.name, x = "norm", varying(20, 4)
    x[:, 1:3] = 0.0
    before.input = reading(x).input
    seen = symptoms_of(before, after)
    assert inputs._dead_before(seen, after, [1, 2, 3]) == 2
    assert inputs._dead_before(seen, before, [1, 2, 3]) == 0, "nothing comes before it"
    before.from_data = False
    assert inputs._dead_before(seen, after, [1, 2, 3]) == 0
    before.from_data, before.input = True, reading(varying(20, 3)).input
    assert inputs._dead_before(seen, after, [1, 2]) == 0, "these are other features"


class Changing:
    """An experiment whose gradient is one thing, and another while an input is changed."""

    def __init__(self, module: ModuleSymptoms, before: Tensor, after: Tensor) -> None:
        self.symptoms = Symptoms({module.name: module})
        self.baseline = Outcome(1.0, {"w": before})
        self.grads, self.x = {False: before, True: after}, varying(3, 4) + 10
        self.changed = False
        self.seen: Tensor | None = None

    @contextmanager
    def input_changed(self, module: str, change: Any) -> Any:
        assert module == "first"
        self.seen, self.changed = change(self.x), True
        yield
        self.changed = False

    def replay(self) -> Outcome:
        return Outcome(1.0, {"w": self.grads[self.changed]})


def claim(*columns: int) -> Candidate:
    return Candidate(
        module="first", parameter="w", indices=columns, evidence={"columns": list(columns)}
    )


def grads(*norms: float) -> Tensor:
    """Return a gradient of two rows whose columns have these norms."""
    return torch.tensor([norms, [0.0] * len(norms)])


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((1, 0, 0, 1), (1, 1, 1, 1), (True, 2, 0)),
        ((1, 0, 0, 1), (1, 1, 0, 1), (False, 2, 1)),
        ((1, 0, 0, 1), (0, 1, 1, 0), (True, 2, 0)),
        ((1, 1, 1, 1), (1, 1, 1, 1), (None, 0, 0)),
    ],
)
def test_dead_columns_must_come_alive_under_noise(
    before: tuple[float, ...], after: tuple[float, ...], told: tuple[bool | None, int, int]
) -> None:
    experiment: Any = Changing(reading(varying(9, 4)), grads(*before), grads(*after))
    verdict, evidence = inputs.fill_features(experiment, claim(1, 2))
    assert (verdict, evidence["before"], evidence["after"]) == told
    kept = experiment.seen == experiment.x
    assert kept.all(0).tolist() == [True, False, False, True]
    assert float(experiment.seen[:, 1:3].abs().max()) < 5, "noise of size one, not beside the old"


def test_a_tenth_of_many_dead_columns_may_stay() -> None:
    module = reading(varying(9, 20))
    for left, verdict in ((1, True), (2, False)):
        after = torch.tensor([[0.0] * left + [1.0] * (20 - left)])
        experiment: Any = Changing(module, torch.zeros(1, 20), after)
        experiment.x = varying(3, 20)
        assert inputs.fill_features(experiment, claim(*range(20)))[0] is verdict


@pytest.mark.parametrize(("after", "verdict"), [(2.0, True), (1.0, False)])
def test_a_constant_is_perturbed_by_its_own_size(after: float, verdict: bool) -> None:
    x = torch.full((9, 4), 100.0)
    experiment: Any = Changing(reading(x), grads(1, 1, 1, 1), grads(after, 1, 1, 1))
    confirmed, told = inputs.perturb_constants(experiment, claim(0))
    assert confirmed is verdict
    assert told["before"] == 2.0
    moved = (experiment.seen - experiment.x).abs()
    assert float(moved[:, 0].max()) > 20
    assert float(moved[:, 1:].max()) == 0.0


def test_copies_must_come_apart() -> None:
    copied = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 1.0]])
    apart = torch.tensor([[1.0, 2.0, 0.0], [1.0, 3.0, 1.0]])
    module = reading(varying(9, 4))
    for before, after, verdict in ((copied, apart, True), (apart, copied, False)):
        experiment: Any = Changing(module, before, after)
        confirmed, told = inputs.perturb_copies(experiment, claim(1))
        assert confirmed is verdict
        assert sorted(told.values()) == [2, 3]
    same: Any = Changing(module, copied, copied)
    assert inputs.perturb_copies(same, claim(1))[0] is False


@pytest.mark.parametrize(
    ("norms", "spread"),
    [
        ((1.0, 4.0, 1.0, 1.0), 4.0),
        ((1.0, 0.25, 1.0, 1.0), 4.0),
        ((2.0, 8.0, 2.0, 2.0), 4.0),
        ((1.0, 0.0, 1.0, 1.0), float("inf")),
        ((0.0, 0.0, 0.0, 0.0), float("inf")),
    ],
)
def test_the_spread_of_columns_is_taken_either_way(norms: tuple[float, ...], spread: float) -> None:
    experiment: Any = Changing(reading(varying(9, 4)), grads(*norms), grads(*norms))
    assert scales._gradient_spread(experiment, claim(1)) == pytest.approx(spread)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(100.0, 9.9, True), (100.0, 10.1, False), (0.0, 2.0, None), (100.0, 0.0, None)],
)
def test_columns_must_come_to_one_scale(before: float, after: float, verdict: bool | None) -> None:
    x = torch.tensor([1.0, 1e4, 1.0, 1.0]) * torch.ones(9, 4)
    experiment: Any = Changing(reading(x), grads(1, before, 1, 1), grads(1, after, 1, 1))
    assert scales.rescale_features(experiment, claim(1))[0] is verdict
    assert torch.allclose(experiment.seen * torch.tensor([1.0, 1e4, 1.0, 1.0]), experiment.x)


def test_features_that_are_all_off_need_no_trial() -> None:
    x = torch.full((9, 4), 2e3)
    experiment: Any = Changing(reading(x), grads(1, 1, 1, 1), grads(1, 1, 1, 1))
    told = {"before": 2e3, "after": 1.0}
    assert scales.rescale_features(experiment, claim(0, 1, 2, 3)) == (True, told)
    assert experiment.seen is None


@pytest.mark.parametrize(("before", "after", "verdict"), [(2, 3, True), (3, 3, None), (3, 2, None)])
def test_behind_a_normalisation_its_outputs_must_come_apart(
    monkeypatch: pytest.MonkeyPatch, before: int, after: int, verdict: bool | None
) -> None:
    experiment: Any = Changing(reading(varying(9, 4), "LayerNorm"), grads(1), grads(1))
    counted = {False: before, True: after}
    monkeypatch.setattr(scales, "_output_directions", lambda e, _: counted[e.changed])
    told = {"before": before, "after": after}
    assert scales.rescale_features(experiment, claim(1)) == (verdict, told)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(1.0, 0.09, True), (1.0, 0.11, False), (1.0, 1.0, None), (float("inf"), 1.0, None)],
)
def test_the_gradient_must_fall_with_the_targets(
    before: float, after: float, verdict: bool | None
) -> None:
    def compared(preds: Tensor, target: Tensor) -> list[list[float]]:
        return [preds.tolist(), target.tolist()]

    def replay(mode: Any) -> Any:
        args = torch.tensor([200.0]), torch.tensor([400.0])
        assert mode.rewrite("mse_loss", compared, args, {}) == [[1.0], [2.0]]
        return SimpleNamespace(norm=after)

    experiment: Any = SimpleNamespace(baseline=SimpleNamespace(norm=before), replay=replay)
    scaled = Candidate(evidence={"target_rms": 200.0})
    assert scales.rescale_targets(experiment, scaled)[0] is verdict


def standardising(*losses: LossSymptoms, harm: float = 2.0, can_tell: bool = True) -> Any:
    """Return an experiment in which targets as they are do so much harm."""

    def worth(remedy: Any, without: Any) -> Worth:
        args = torch.tensor([3.0]), torch.tensor([7.0])
        shown = [
            [t.item() for t in mode().rewrite("mse_loss", lambda *pair: pair, args, {})]
            for mode in (remedy.mode, without.judged)
        ]
        assert shown[0] == [3.0, pytest.approx(2.0)], "learnt: the targets alone"
        assert shown[1] == [pytest.approx(0.0), pytest.approx(2.0)], "judged: both"
        return Worth(Course(1.0, 0.1 * harm), Course(1.0, 0.1), 60)

    judge = SimpleNamespace(can_tell=can_tell, worth=worth)
    return SimpleNamespace(symptoms=Symptoms(losses=list(losses)), judge=judge)


def loss(target: Tensor, function: str = "mse_loss") -> LossSymptoms:
    return LossSymptoms(function, None, "head", torch.zeros(len(target), 1), target)


def test_targets_of_a_spread_of_two_are_tried_standardised() -> None:
    target = torch.tensor([1.0, 3.0, 5.0])  # mean 3, spread 2
    (found,) = scales.try_unit_targets(standardising(loss(target)))
    assert (found.module, found.fraction, found.confirmed) == ("head", 1.0, True)
    told = {name: found.evidence[name] for name in ("target_mean", "target_std", "target_rms")}
    rms = pytest.approx((35 / 3) ** 0.5)
    assert told == {"target_mean": 3.0, "target_std": 2.0, "target_rms": rms}
    assert found.evidence["harm"] == pytest.approx(2.0)
    assert found.remedy == (
        "Scale the targets to about unit variance and undo it after predicting."
    )
    for other in (
        standardising(loss(target), harm=1.4),
        standardising(loss(target), can_tell=False),
        standardising(loss(0.99 * target)),
        standardising(loss(target), loss(target)),
        standardising(loss(target, "cross_entropy")),
        standardising(loss(target, "difference")),
        standardising(),
    ):
        assert scales.try_unit_targets(other) == []


@pytest.mark.parametrize(("size", "found"), [(6.0, True), (5.9, False), (0.16, True)])
def test_features_of_six_times_the_median_size_are_tried_even(size: float, found: bool) -> None:
    x = torch.tensor([1.0, 1.0, 1.0, size]) * torch.ones(9, 4)
    seen = symptoms_of(reading(x))
    answer = Worth(Course(1.0, 0.2), Course(1.0, 0.1), 60)
    judge = SimpleNamespace(can_tell=True, worth=lambda remedy: answer)
    experiment: Any = SimpleNamespace(symptoms=seen, judge=judge)
    candidates = scales.try_even_features(experiment)
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.confirmed
        assert candidate.indices == (3,)
        ratios = candidate.evidence["largest_ratio"], candidate.evidence["smallest_ratio"]
        assert ratios == (pytest.approx(size), pytest.approx(size))
        assert candidate.evidence["harm"] == pytest.approx(2.0)
    judge.can_tell = False
    assert scales.try_even_features(experiment) == []
    judge.can_tell, seen.modules["first"].kind = True, "BatchNorm1d"
    assert scales.try_even_features(experiment) == []
    seen.modules["first"].kind = "Linear"
    answer = Worth(Course(1.0, 0.14), Course(1.0, 0.1), 60)
    assert scales.try_even_features(experiment) == []
