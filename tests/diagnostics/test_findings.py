"""What a diagnosis hands over: plain JSON, a readable table, an order, named features."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics import Diagnosis, Finding, diagnose, summarize_gradients
from src.diagnostics.findings import to_plain, without_alarm_for
from src.diagnostics.symptoms.stats import FeatureStats, rows_of
from tests.diagnostics.faults import FAULTS, healthy


def strict(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("fault", ["one NaN", "zero features", "never cleared", "huge rate"])
def test_diagnosis_survives_a_strict_json_round_trip(fault: str) -> None:
    diagnosis = FAULTS[fault][0]().diagnose()
    plain = diagnosis.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False), parse_constant=strict) == plain
    assert plain["findings"][0]["cause"] == FAULTS[fault][1]
    assert not plain["healthy"]


def test_unknown_cause_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="got 'bad luck'"):
        Finding(cause="bad luck")


def test_table_has_one_line_per_finding_under_its_header() -> None:
    findings = (Finding(cause="frozen", module="a"), Finding(cause="structural", parameter="a.b"))
    lines = str(Diagnosis(findings=findings, num_batches=2)).splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:2] == ["cause", "where"]
    assert str(Diagnosis(num_batches=2)) == "healthy: no finding over 2 batches"


def test_worst_is_the_first_that_is_not_benign() -> None:
    benign, alarm = Finding(cause="structural", benign=True), Finding(cause="frozen")
    diagnosis = Diagnosis(findings=(alarm, benign))
    assert diagnosis.worst is alarm
    assert diagnosis.alarms == (alarm,)
    assert Diagnosis(findings=(benign,)).worst is None


def test_features_are_named_where_their_number_fits() -> None:
    names = [f"feature_{i}" for i in range(12)]
    case = FAULTS["zero features"][0]()
    worst = case.diagnose(feature_names=names).worst
    assert worst is not None
    assert worst.indices == tuple(names[2:10])
    assert worst.fraction == pytest.approx(8 / 12)
    other = case.diagnose(feature_names=names[:5]).worst
    assert other is not None
    assert other.indices == tuple(range(2, 10))


def test_zeros_hidden_by_a_normalisation_are_named_as_copies() -> None:
    torch.manual_seed(0)
    norm = nn.LayerNorm(129, elementwise_affine=False)
    model = nn.Sequential(norm, nn.Linear(129, 32), nn.ReLU(), nn.Linear(32, 1))
    batches = [(torch.randn(32, 129), torch.randn(32, 1)) for _ in range(3)]
    for x, _ in batches:
        x[:, 43:] = 0
    names = [f"f{i}" for i in range(129)]
    diagnosis = diagnose(model, batches, mean_square, feature_names=names)
    worst = diagnosis.worst
    assert worst is not None
    assert (worst.cause, worst.parameter) == ("duplicate_input", "1.weight")
    assert worst.indices == tuple(names[43:])
    assert worst.evidence["distinct"] == 44
    assert worst.evidence["zero_before_normalisation"] == 86
    assert "only hidden" in worst.remedy
    assert worst.confirmed


def mean_square(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def test_summary_reports_missing_zero_and_copied_columns() -> None:
    model = nn.ModuleDict({"used": nn.Linear(4, 3), "spare": nn.Linear(2, 2)})
    x = torch.randn(8, 4)
    x[:, 1], x[:, 3] = 0, 2 * x[:, 0]
    model["used"](x).pow(2).sum().backward()
    rows = {row.name: row for row in summarize_gradients(model)}
    used = rows["used.weight"]
    assert (used.zero_fraction, used.dead_columns, used.scattered) == (0.25, 1, 0)
    assert used.distinct_columns == 2
    assert rows["spare.weight"].missing
    assert not rows["used.bias"].missing


def test_feature_stats_equal_a_pass_over_all_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(7, 3, 4, generator=generator) for _ in range(3)]
    for batch in batches:
        batch[..., 2] = 0
    stats = FeatureStats(4)
    for batch in batches:
        stats.add(rows_of(batch, -1))
    rows = torch.cat(batches).reshape(-1, 4).double()
    assert stats.rows == len(rows)
    assert stats.dead.tolist() == [False, False, True, False]
    torch.testing.assert_close(stats.total, rows.sum(0))
    torch.testing.assert_close(stats.maximum, rows.amax(0))
    torch.testing.assert_close(stats.sizes[:2], rows[:, :2].square().mean(0).sqrt())


def test_a_feature_departs_where_it_is_not_at_its_resting_value() -> None:
    stats = FeatureStats(5)
    assert stats.departures.tolist() == [0] * 5
    at_rest, rare, shifted = [0.0] * 5, [0.0, 0.0, 3.0, 0.0, 0.0], [-0.1, -0.1, -0.1, 2.0, -0.1]
    rounded, moving = [0.1, 0.1, 0.1, 0.1 + 1e-8, 0.1], [1.0, 2.0, 3.0, 4.0, 5.0]
    stats.add(torch.tensor([at_rest, rare, shifted, rounded, moving]).T)
    assert stats.departures.tolist() == [0, 1, 1, 0, 4]


def test_loss_is_the_mean_over_the_batches() -> None:
    case = healthy()
    case.model.eval()
    expected = sum(float(case.loss_fn(case.model, b).detach()) for b in case.batches) / len(
        case.batches
    )
    diagnosis = case.diagnose()
    assert diagnosis.loss == pytest.approx(expected)
    assert diagnosis.num_batches == len(case.batches)


def test_a_notebook_shows_alarms_with_proof_and_remedy_and_no_markup_of_others():
    finding = Finding(
        cause="dead_input", parameter="fc.weight", indices=("<b>",), confirmed=True, remedy="Drop."
    )
    html = Diagnosis(findings=(finding,), num_batches=2)._repr_html_()
    assert "<b>1 to act on</b>" in html
    assert "fc.weight: &lt;b&gt;" in html
    assert "confirmed" in html
    assert "<b>Healthy</b>" in Diagnosis(num_batches=2)._repr_html_()


def test_a_diagnosis_comes_back_from_its_plain_values():
    finding = Finding(cause="dead_input", parameter="fc.weight", indices=("a",), fraction=0.5)
    told = Diagnosis(findings=(finding,), loss=0.1, num_batches=2).to_dict()
    assert Diagnosis.from_dict(told).to_dict() == told


def test_features_of_rare_events_are_no_alarm_by_themselves_but_beside_others():
    alone, beside = (
        Finding(cause="dead_input", parameter="fc.weight", indices=indices)
        for indices in (("kicking",), ("kicking", "volume"))
    )
    told = without_alarm_for((alone, beside), ("kicking", "doji"))
    assert [(finding.indices, finding.benign) for finding in told] == [
        (("kicking", "volume"), False),
        (("kicking",), True),
    ]
    assert "Nothing to repair" in told[1].remedy


def test_what_is_in_the_nature_of_the_data_is_no_alarm():
    finding = Finding(cause="not_learning", remedy="Ask.")
    (told,) = without_alarm_for((finding,), (), ("not_learning",))
    assert told.benign
    assert told.remedy == "Ask."
    assert not without_alarm_for((finding,), ())[0].benign


@pytest.mark.parametrize(("count", "end"), [(6, "5)"), (7, "5, and 1 more)"), (0, "every batch")])
def test_a_sentence_names_six_features_and_counts_the_others(count: int, end: str) -> None:
    finding = Finding(cause="dead_input", module="fc", indices=tuple(range(count)))
    assert finding.sentence.startswith("dead_input at fc: input features that are zero in every")
    assert finding.sentence.endswith(end)


def test_a_place_is_the_parameter_or_the_module_or_the_model() -> None:
    assert Finding(cause="frozen", module="a", parameter="a.weight").id == "frozen@a.weight"
    assert Finding(cause="frozen", module="a").id == "frozen@a"
    assert Finding(cause="frozen").id == "frozen@model"


def test_columns_of_the_table_are_as_wide_as_their_longest_cell() -> None:
    findings = (
        Finding(cause="frozen", module="a", fraction=0.125, confirmed=True, remedy="Thaw."),
        Finding(cause="misscaled_input", confirmed=False, benign=True, fraction=1.0),
    )
    assert str(Diagnosis(findings=findings)).splitlines() == [
        "cause            where  fraction  confirmed  benign  remedy",
        "frozen           a      12.5%     yes        no      Thaw.",
        "misscaled_input  model  100.0%    no         yes     ",
    ]
    assert str(Diagnosis(findings=(Finding(cause="frozen"),))).splitlines()[1].split() == [
        *("frozen", "model", "0.0%", "-", "no")
    ]


def test_where_nothing_was_replayed_nothing_is_called_healthy() -> None:
    told = Diagnosis(not_replayed="no batch was <seen>", num_batches=0)
    assert str(told) == "not known: no batch was <seen>"
    assert told._repr_html_() == "<p><b>Not known</b>: no batch was &lt;seen&gt;.</p>"
    with_one = Diagnosis(findings=(Finding(cause="frozen"),), not_replayed="no batch")
    assert str(with_one).startswith("cause")
    assert "1 to act on" in with_one._repr_html_()


@pytest.mark.parametrize(("count", "end"), [(8, "6, 7<"), (9, "6, 7, and 1 more<")])
def test_a_notebook_names_eight_features_and_counts_the_others(count: int, end: str) -> None:
    finding = Finding(cause="dead_input", module="fc", indices=tuple(range(count)), fraction=0.5)
    html = Diagnosis(findings=(finding,), num_batches=3)._repr_html_()
    assert f"fc: 0, 1, 2, 3, 4, 5, {end}" in html
    assert "seen over 3 batches" in html
    assert ">50.0%<" in html
    assert ">-<" in html


def test_a_notebook_calls_benign_what_is_and_tells_what_was_refuted() -> None:
    finding = Finding(cause="structural", benign=True, confirmed=False)
    html = Diagnosis(findings=(finding,), num_batches=3)._repr_html_()
    assert "<b>Healthy</b>: nothing to act on, seen over 3 batches" in html
    assert "structural (benign)" in html
    assert ">not confirmed<" in html
    assert ">model<" in html


def test_values_become_what_json_can_hold() -> None:
    value = {1: (True, None, "x", 2), "y": {3.5}, "z": [torch.tensor(1.5), math.inf]}
    plain = {"1": [True, None, "x", 2], "y": [3.5], "z": [1.5, "inf"]}
    assert to_plain(value) == plain
    assert to_plain(math.nan) == "nan"


def test_a_diagnosis_has_its_findings_length_and_order() -> None:
    findings = (Finding(cause="frozen"), Finding(cause="structural", benign=True))
    told = Diagnosis(findings=findings, loss=math.inf, not_replayed="x")
    assert len(told) == 2
    assert tuple(told) == findings
    plain = told.to_dict()
    assert (plain["healthy"], plain["loss"], plain["num_batches"]) == (False, "inf", 0)
    assert Diagnosis.from_dict(plain).loss == math.inf
    assert Diagnosis.from_dict(Diagnosis(findings=findings[1:]).to_dict()).loss is None
    assert Diagnosis(findings=findings[1:]).to_dict()["healthy"]


def test_benign_findings_are_put_last_in_their_order() -> None:
    causes = ("dead_input", "frozen", "constant_input", "unused")
    findings = [Finding(cause=cause, benign=cause == "dead_input") for cause in causes]
    told = without_alarm_for(findings, (), ("frozen",))
    assert [f.cause for f in told] == ["constant_input", "unused", "dead_input", "frozen"]
    rare = Finding(cause="constant_input", indices=("kicking",))
    assert not without_alarm_for([rare], ("kicking",))[0].benign, "a constant is no rare event"
