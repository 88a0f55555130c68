"""Each program is ill in one known way: the repair that is known to help has to come out."""

import copy
import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from src.diagnostics import what_would_help
from tests.diagnostics.trials import programs
from tests.diagnostics.trials.programs import batched, drawn, mean_square, net

STEPS = 150


def helped(program, **options):
    return what_would_help(*program, **{"steps": STEPS, "seconds": 120, **options})


@pytest.mark.parametrize(
    ("program", "change"),
    [
        (programs.large_targets, "targets standardised"),
        (programs.large_inputs, "inputs standardised"),
        (programs.high_rate, "a tenth of the learning rate"),
        (programs.sigmoid_output, "natural loss on logits"),
        (programs.dead_relu, "leaky units"),
        (programs.labels_as_shares, "natural loss on logits"),
        (programs.unregistered, "every tensor in the optimiser"),
    ],
)
def test_the_repair_that_helps_is_among_those_within_90_percent_of_the_best(program, change):
    found = helped(program())
    assert found.verdict == "repair", found.words
    assert change in [row.change for row in found.rows], found.summary()
    assert all(row.skill >= 0.9 * found.rows[0].skill or row.confirms for row in found.rows)
    assert found.alarm


def test_a_program_that_learns_needs_nothing():
    found = helped(programs.healthy())
    assert (found.verdict, found.alarm, found.rows) == ("learns", False, ())
    assert len(found.trials) == 1
    assert "Nothing is needed" in found.words


def test_slow_is_not_broken():
    found = helped(programs.slow())
    assert (found.verdict, found.alarm) == ("slow", False)


def test_a_finding_leads_where_its_repair_helps_a_program_that_learns_a_little():
    found = helped(programs.half_registered(), steps=300)
    assert found.trials[0].skill > 0.1
    assert (found.verdict, found.rows[0].cause) == ("repair", "unregistered")
    assert found.rows[0].confirms
    assert "learns less than it could" in found.words


def test_targets_that_do_not_follow_from_the_inputs_are_no_illness_of_the_model():
    found = helped(programs.noise())
    assert (found.verdict, found.alarm) == ("targets", False)
    assert "data are to blame" in found.words
    assert found.trials[-1].planted
    assert found.trials[-1].skill > 0.9


def test_a_program_that_hears_nothing_cannot_learn_even_a_planted_target():
    found = helped(programs.deaf())
    assert found.verdict in ("program", "finding")
    assert found.alarm


def test_structure_that_no_repair_answers_is_said_with_its_remedy():
    x = drawn(3)
    model = nn.Sequential(nn.Linear(3, 1), nn.LayerNorm(1), nn.Linear(1, 1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    found = helped((model, batched(x, x[:, :1]), mean_square, optimizer))
    assert found.verdict == "finding"
    assert "degenerate_norm" in found.words


def test_a_repair_is_compared_with_the_unrepaired_program_from_the_same_start():
    found = helped(programs.dead_relu())
    fresh = [row for row in found.trials if row.start == "fresh"]
    alone = next(row for row in fresh if row.change == "fresh weights")
    assert alone.gain == pytest.approx(alone.skill - max(found.trials[0].skill, 0.0))
    for row in fresh:
        if row is not alone:
            assert row.gain == pytest.approx(max(row.skill, 0.0) - max(alone.skill, 0.0))


def test_model_optimiser_and_generators_are_left_as_found():
    model, batches, loss_fn, optimizer = programs.dead_relu()
    loss_fn(model, batches[0]).backward()
    optimizer.step()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    grads = [p.grad.clone() for p in model.parameters()]
    torch.manual_seed(5)
    drawn_without = torch.rand(1)
    torch.manual_seed(5)
    helped((model, batches, loss_fn, optimizer))
    assert torch.equal(torch.rand(1), drawn_without)
    after = (model.state_dict(), optimizer.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(before[0].values(), after[0].values(), strict=True)
    )
    assert str(before[1]) == str(after[1])
    for grad, parameter in zip(grads, model.parameters(), strict=True):
        assert torch.equal(grad, parameter.grad)


def test_the_same_program_gets_the_same_answer():
    first, second = (helped(programs.large_targets()) for _ in range(2))
    assert [row.to_dict() for row in first.trials] == [row.to_dict() for row in second.trials]


def test_a_weight_decay_that_holds_every_weight_at_zero_is_named_and_no_rate_is_blamed():
    model, batches, loss_fn, _ = programs.healthy()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, weight_decay=10.0)
    found = helped((model, batches, loss_fn, optimizer))
    assert found.verdict == "repair"
    assert (found.rows[0].change, found.rows[0].cause) == ("no weight decay", "")


def test_time_is_bounded_and_what_was_left_out_is_said():
    found = helped(programs.dead_relu(), seconds=0.0)
    assert found.seconds < 10
    assert found.untried
    assert found.verdict == "unclear"


def test_a_loss_without_predictions_and_targets_is_not_judged():
    model = net()
    found = helped(
        (model, batched(drawn(2)), lambda m, b: m(b[0]).square().mean(), programs.adam(model))
    )
    assert (found.verdict, found.trials) == ("unjudged", ())


def test_a_program_that_breaks_down_in_training_is_said_to():
    x, model = drawn(2), net()

    def loss_fn(model, batch):
        return F.mse_loss((model(batch[0]) * math.inf), batch[1])

    found = helped((model, batched(x, x[:, :1]), loss_fn, programs.adam(model)))
    assert "diverged" in found.table
    assert found.alarm


def test_the_table_says_change_start_skills_cause_and_what_to_do():
    found = helped(programs.large_targets())
    head, none, *rows = found.table.splitlines()
    marks = [f"skill at {mark}" for mark in (15, 50, 150)]
    for name in ("change", "start", *marks, "cause", "what to do"):
        assert name in head
    assert none.startswith("none")
    assert any(row.startswith("targets standardised") for row in rows)
    assert found.table in found.summary()
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["rows"][0]["cause"] == "misscaled_target"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batches": 1}, "at least 2 batches"), ({"steps": 2}, "steps must be at least 3, got 2")],
)
def test_what_cannot_be_tried_is_refused(options, message):
    model, batches, loss_fn, optimizer = programs.healthy()
    batches = batches[: options.pop("batches", None)]
    with pytest.raises(ValueError, match=message):
        what_would_help(model, batches, loss_fn, optimizer, **options)
