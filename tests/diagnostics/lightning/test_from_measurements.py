"""What the measurements of a run say of findings, and without a replay, by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from src.diagnostics import Diagnosis, Finding, TrainingContext
from src.diagnostics.lightning import diagnose_in_training as during
from src.diagnostics.lightning.first_steps import FIRST, NO_FALL, FirstSteps, of_gradients
from src.diagnostics.measuring.counts import GradientStats, Measurement
from src.diagnostics.measuring.liveness import Sightings
from src.diagnostics.measuring.suspicion import Suspicion


def seen(rows: list[bool], columns: list[bool]) -> Sightings:
    """Return one look at the weight w."""
    sightings = Sightings()
    sightings.add("fc.w", torch.tensor(rows), torch.tensor(columns))
    return sightings


HALF = seen([True, False], [False, True, False, True])
NAMES = ("open", "high", "low", "close")


@pytest.mark.parametrize(
    ("indices", "names", "kept", "fraction"),
    [
        ((0, 1, 2, 3), None, (0, 2), 0.25),
        (("open", "low"), NAMES, ("open", "low"), 0.5),
        (("low", "high"), NAMES, ("low",), 0.25),
        ((1, 3), None, None, 0.0),
    ],
)
def test_of_dead_columns_stays_what_was_dead_in_the_run(
    indices: Any, names: Any, kept: Any, fraction: float
) -> None:
    finding = Finding(cause="dead_input", parameter="fc.w", indices=indices, fraction=0.5)
    part = during.persistent_part(finding, HALF, names)
    assert (part.indices if part else None) == kept
    if part:
        assert part.fraction == fraction


def test_dead_rows_are_held_against_rows_and_other_findings_stay_as_they_are() -> None:
    rows = Finding(cause="dead_unit", parameter="fc.w", indices=(0, 1), fraction=1.0)
    part = during.persistent_part(rows, HALF, NAMES)
    assert part is not None
    assert (part.indices, part.fraction) == ((1,), 0.5)
    for finding in (
        Finding(cause="constant_input", parameter="fc.w", indices=(1,)),
        Finding(cause="dead_input", parameter="other.w", indices=(1,)),
        Finding(cause="dead_input", parameter="fc.w"),
        Finding(cause="dead_input", indices=(1,)),
        Finding(cause="unused", parameter="fc.w", indices=(1,)),
    ):
        assert during.persistent_part(finding, HALF, None) is finding


def measured(nonfinite: int = 0, missing: tuple[str, ...] = ()) -> Measurement:
    return Measurement(3, {"fc.w": GradientStats(8, 8, nonfinite, 1.0, 1.0)}, missing)


@pytest.mark.parametrize(
    ("names", "columns"), [(NAMES, ("open", "low")), (None, (0, 2)), (("one",), (0, 2))]
)
def test_zeros_missing_and_nonfinite_gradients_are_told_by_their_sign(
    names: Any, columns: Any
) -> None:
    found = during.unconfirmed_findings(measured(2, ("head.b",)), HALF, names)
    told = [(f.cause, f.module, f.parameter, f.fraction, f.indices) for f in found]
    assert told == [
        ("nonfinite", "fc", "fc.w", 0.25, ()),
        ("dead_input", "fc", "fc.w", 0.5, columns),
        ("dead_unit", "fc", "fc.w", 0.5, (1,)),
        ("unused", "head", "head.b", 1.0, ()),
    ]
    assert all(f.confirmed is None and f.remedy for f in found)
    assert during.unconfirmed_findings(measured(), seen([True], [True])) == []


@pytest.mark.parametrize(
    ("reason", "causes"),
    [
        (during.SHARDED, ["nonfinite", "dead_input", "dead_unit"]),
        ("a batch could not be replayed", ["nonfinite"]),
    ],
)
def test_without_a_replay_zeros_are_told_of_a_sharded_model_alone(
    reason: str, causes: list[str]
) -> None:
    context = TrainingContext(losses=[1.0] * 100, first_losses=[])
    told = during.from_measurements(measured(2), HALF, None, context, reason)
    assert [f.cause for f in told] == causes
    assert told.not_replayed == reason
    told = during.from_measurements(None, HALF, None, context, reason)
    assert [f.cause for f in told] == ["not_learning"]
    nothing = during.from_measurements(None, HALF, None, TrainingContext(), reason)
    assert nothing.findings == ()


def trainer(**more: Any) -> Any:
    told: dict[str, Any] = {
        "gradient_clip_val": 0.5,
        "gradient_clip_algorithm": None,
        "optimizers": [],
        "precision": "16-mixed",
        "accumulate_grad_batches": 4,
        "global_step": 7,
    }
    return SimpleNamespace(**{**told, **more})


def test_the_loop_is_told_in_plain_numbers() -> None:
    stats = {"w": GradientStats(1, 1, 0, 3.0, 3.0)}
    runs = [Measurement(0, stats, loss_scale=8.0), Measurement(1, {}), Measurement(2, stats)]
    losses = [torch.tensor([1.0, 3.0]), torch.tensor(4.0)]
    told = during.training_context(trainer(), runs, losses)
    assert told == TrainingContext(
        clip_norm=0.5,
        precision="16-mixed",
        loss_scale=8.0,
        loss_scales=[8.0],
        losses=[2.0, 4.0],
        grad_norms=[3.0, 3.0],
        accumulate_grad_batches=4,
        step=7,
    )
    group = {"lr": 0.1, "initial_lr": 0.5}
    other = trainer(
        gradient_clip_algorithm="value", optimizers=[SimpleNamespace(param_groups=[group])]
    )
    told = during.training_context(other, [], [], losses[1:])
    assert (told.clip_norm, told.clip_value, told.base_lr) == (None, 0.5, 0.5)
    assert (told.losses, told.loss_scale, told.loss_scales, told.grad_norms) == (None,) * 4
    assert told.first_losses == [4.0]


def test_what_a_datamodule_knows_of_its_features_is_asked() -> None:
    data = SimpleNamespace(
        feature_names=["a", "b"], rare_feature_names=["b"], benign_causes=["not_learning"]
    )
    known, unknown = SimpleNamespace(datamodule=data), SimpleNamespace(datamodule=None)
    assert during.feature_names(known) == ("a", "b")
    assert during.rare_features(known) == ("b",)
    assert during.benign_causes(known) == ("not_learning",)
    assert during.feature_names(unknown) is None
    assert during.rare_features(unknown) == during.benign_causes(unknown) == ()


def test_diagnoses_of_several_optimisers_are_joined_alarms_first() -> None:
    quiet = Finding(cause="structural", module="a", benign=True)
    late, early = Finding(cause="frozen", module="a"), Finding(cause="zero_init", module="b")
    one = Diagnosis(findings=(quiet, late), loss=1.0, num_batches=2)
    two = Diagnosis(findings=(late, early), loss=0.5, num_batches=3)
    joined = during._joined([one, two])
    assert joined.findings == (early, late, quiet)
    assert (joined.loss, joined.num_batches) == (1.5, 3)
    assert during._joined([one]) is one
    assert during._joined([Diagnosis(), Diagnosis()]).loss is None


@pytest.mark.parametrize(
    ("finding", "foreign"),
    [
        (Finding(cause="frozen", module="a", parameter="a.w"), True),
        (Finding(cause="frozen", module="a", parameter="b.w"), False),
        (Finding(cause="dead_unit", module="a"), True),
        (Finding(cause="dead_unit", module="b"), False),
        (Finding(cause="dead_unit"), False),
    ],
)
def test_a_finding_concerns_the_parameters_of_its_place(finding: Finding, foreign: bool) -> None:
    assert during._concerns_only(finding, frozenset({"a.w"})) is foreign


def test_where_nothing_can_be_replayed_the_reason_is_told() -> None:
    plain: Any = SimpleNamespace(strategy=object(), world_size=1)
    context = TrainingContext()
    assert during.diagnose_in_training(plain, None, [], context).not_replayed == (  # type: ignore[arg-type]
        "no batch was seen"
    )
    for name in during.SHARDED_STRATEGIES:
        plain.strategy = type(name, (), {})()
        told = during.diagnose_in_training(plain, None, [1], context)  # type: ignore[arg-type]
        assert told.not_replayed == "no rank alone can replay a sharded model"


def gradients(**nonzero: int) -> Measurement:
    return Measurement(0, {n: GradientStats(4, k, 0, 1.0, 1.0) for n, k in nonzero.items()})


def test_what_is_zero_from_the_first_measurement_on_is_dead_from_the_start() -> None:
    dead = Suspicion("dead from the start", "a")
    assert of_gradients([gradients(a=0, b=1)]) == set(), "one measurement is not enough"
    assert of_gradients([gradients(a=0, b=1), gradients(a=0, b=0)]) == {dead}
    assert of_gradients([gradients(a=1, b=1), gradients(a=0, b=1)]) == set()
    assert of_gradients([gradients(c=0), gradients(a=0), gradients(a=0)]) == {dead}
    odd = Measurement(0, {"a": GradientStats(4, 4, 1, 1.0, 1.0)})
    assert of_gradients([gradients(a=1), odd]) == {Suspicion("nonfinite", "a")}
    assert of_gradients([odd, gradients(a=1)]) == set(), "the latest counts"


def test_the_first_hundred_losses_are_kept_and_judged_once_no_rate_warms_up() -> None:
    first = FirstSteps()
    told = [first.add(torch.tensor(1.0)) for _ in range(FIRST + 1)]
    assert told == [False] * (FIRST - 1) + [True, True]
    assert len(first.losses) == FIRST == 100
    assert first.judge([(0.49, 1.0), (0.2, 1.0)]) == set()
    assert (len(first.losses), first.skipped, first.is_judged) == (0, 100, False)
    for _ in range(FIRST):
        first.add(torch.tensor(1.0))
    assert first.judge([(0.49, 1.0), (0.5, 1.0)]) == {NO_FALL}
    assert first.is_judged
    assert not first.add(torch.tensor(1.0))
    falling = FirstSteps()
    for n in range(FIRST):
        falling.add(torch.tensor(-float(n)))
    assert falling.judge([]) == set()
    assert falling.is_judged


def test_what_the_latest_losses_do_not_hold_is_given_once_it_is_known() -> None:
    first = FirstSteps()
    for n in range(FIRST):
        first.add(torch.tensor(float(n)))
    assert first.before(latest=100, count=100) == []
    assert first.before(latest=100, count=101) is None, "they were not judged yet"
    first.is_judged = True
    assert [float(loss) for loss in first.before(100, 103) or ()] == [0.0, 1.0, 2.0]
    first.skipped = 2
    assert [float(loss) for loss in first.before(100, 103) or ()] == [0.0]
