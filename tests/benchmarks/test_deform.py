"""The published operators are all here, do what they say, and are scored as the page says."""

import pytest
import torch

from benchmarks.deform.catalogue import OPERATORS, operators
from benchmarks.deform.faults import FAULTS
from benchmarks.deform.scoring import category_of, f1, macro_f1, scores
from benchmarks.deform.subjects import make


def test_the_catalogue_has_52_operators_and_45_root_causes_in_12_components() -> None:
    assert len(OPERATORS) == 52
    assert len({(op.category, op.root_cause) for op in OPERATORS.values()}) == 45
    assert len({op.category for op in OPERATORS.values()}) == 12
    assert set(OPERATORS) == set(FAULTS)


@pytest.mark.parametrize("scope", ["encoder", "decoder"])
def test_every_operator_can_be_applied_and_trained_at_its_last_dose(scope: str) -> None:
    torch.manual_seed(0)
    batch = make(scope).draw(32, 0)[0]
    for name, operator in operators(scope).items():
        subject = make(scope)
        FAULTS[name](subject, operator.doses[-1])
        loss = subject.loss_fn(subject.model, batch)
        loss.backward()
        assert loss.dim() == 0, name
        subject.optimizer().step()


def test_a_decoder_with_its_cache_reads_what_one_without_reads() -> None:
    subject = make("decoder")
    ids = subject.draw(32, 0)[0][0]
    changed = ids.clone()
    changed[:, -1] = changed[:, -1] % 12 + 1
    before, after = subject.model(ids), subject.model(changed)
    assert torch.equal(before[:, :-1], after[:, :-1])
    early = ids.clone()
    early[:, 0] = early[:, 0] % 12 + 1
    assert not torch.allclose(before[:, -1], subject.model(early)[:, -1])


def test_scores_by_hand() -> None:
    rows = [
        {"operator": "QFG", "harmful": True, "said": [("frozen", "layers.0.self_attn.q.weight")]},
        {"operator": "FDN", "harmful": True, "said": []},
        {"operator": "FDN", "harmful": False, "said": [("dead_unit", "layers.0.linear1")]},
        {"operator": "", "harmful": False, "said": []},
    ]
    found = scores(rows)
    assert found["faults"] == 2
    assert found["recall"] == 0.5
    assert found["detection F1"] == f1(1, 0, 1) == 2 / 3
    assert found["category F1"] == macro_f1(["qkv", "ffn"], ["qkv", ""]) == 0.5
    assert found["root cause"] == 0.5
    assert category_of("dead_unit", "layers.1.norm1.weight") == "layernorm"
