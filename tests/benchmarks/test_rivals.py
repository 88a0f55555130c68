"""Real packages are asked in environments of their own; here, what is done around them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.rivals.__main__ import details, names, summary, write
from benchmarks.rivals.adapters import ADAPTERS, Pack, Spread, StandIn, Subject, ask, inputs_of
from benchmarks.rivals.adapters import single as of_one_input
from benchmarks.rivals.naming import NAMES, causes_of
from benchmarks.rivals.packages import OURS, PACKAGES
from src.diagnostics import CAUSES


class Two(nn.Module):
    """A model of two inputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x, scale):
        return self.layer(x) * scale


@pytest.fixture
def subject():
    model = Two()
    batch = (torch.randn(4, 2), torch.ones(4, 1), torch.randn(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return Subject(model, [batch], lambda m, b: F.mse_loss(m(b[0], scale=b[1]), b[2]), optimizer)


def test_a_loss_is_taken_apart_into_inputs_and_a_loss_of_the_output(subject):
    (batch,) = subject.batches
    inputs = inputs_of(subject, batch)
    assert [id(part) for part in inputs] == [id(part) for part in batch[:2]]
    output = subject.model(*inputs)
    again = subject.loss_fn(StandIn(subject.model, output), batch)
    assert torch.equal(again, subject.loss_fn(subject.model, batch))


def test_a_model_of_two_inputs_becomes_one_of_a_tuple(subject):
    model, pick = of_one_input(subject)
    assert isinstance(model, Spread)
    inputs = pick(subject.batches[0])
    assert torch.equal(model(inputs), subject.model(*inputs))
    assert [len(part) for part in Pack(inputs)[:2]] == [2, 2]


def test_ours_is_asked_like_the_others(subject):
    assert set(ADAPTERS) == {OURS, *PACKAGES}
    assert ask(OURS, subject) == []


def test_every_rule_stands_for_causes_that_exist():
    assert set(NAMES) == set(PACKAGES)
    assert {c for rules in NAMES.values() for causes in rules.values() for c in causes} <= set(
        CAUSES
    )
    assert causes_of(OURS, "dead_unit") == ("dead_unit",)
    assert causes_of("torchtest2", "overfit_batch") == ()


def row(package="torchtest2", faulty=True, said=(), error="", causes=("mixed_samples",)):
    facts = {"set": "posted", "half": "tune", "program": "p", "seconds": 0.1}
    said = [[rule, "message"] for rule in said]
    return {**facts, "package": package, "faulty": faulty, "said": said, "error": error} | {
        "causes": list(causes)
    }


def test_any_alarm_or_the_first_may_name_the_cause():
    second = row(said=("overfit_batch", "batch_independence"))
    assert names(second)
    assert not names(second, first=True)
    assert not names(row(said=("overfit_batch",)))


def test_a_crash_detects_a_fault_and_is_a_false_alarm_on_its_twin():
    rows = [row(error="RuntimeError: no"), row(faulty=False, error="RuntimeError: no")]
    (line,) = summary(rows)
    assert [cell[:4] for cell in line[2:6]] == ["1.00", "0.00", "0.00", "1.00"]
    assert details(rows) == [["p", "-", "crash (twin: alarm)", "-", "-", "-", "-"]]


def test_the_tables_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.rivals.__main__.RESULTS", tmp_path)
    rows = [row(said=("batch_independence",)), row(faulty=False)]
    write(rows, {"traintools": "could not be installed: no"}, "command")
    text = (tmp_path / "rivals.md").read_text()
    assert "**batch_independence**" in text
    assert "could not be installed: no" in text
    assert (tmp_path / "rivals.json").exists()
