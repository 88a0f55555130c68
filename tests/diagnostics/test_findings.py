"""What a diagnosis hands over: plain JSON, a readable table, an order, named features."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics import Diagnosis, Finding, diagnose, summarize_gradients
from src.diagnostics.findings import without_alarm_for
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
