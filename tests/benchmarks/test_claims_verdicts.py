"""Every claim judged by runs with known numbers: once as claimed, once otherwise."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.claims.ledger import CLAIMS
from benchmarks.claims.remedies import find_causes, find_cures
from benchmarks.claims.rows import add_goals, row_of
from benchmarks.claims.table import Runs
from benchmarks.claims.verdict import NO_RUNS, WORDS
from tests.benchmarks.fabricate_claims import (
    DEAD_INPUT,
    DEAD_UNITS,
    FEW_DEAD,
    KEY_BIAS,
    STEPS,
    T,
    everything,
    growing,
    lean,
    report,
)

JUDGES = {claim.id: claim for claim in CLAIMS}
WORLDS = ("scenario", "bars")
SWEEP = Path(__file__).parents[2] / "conf" / "sweep" / "claims.yaml"
LEARNED = ("learnable", "gated", "attention")
NOISE = (-0.002, -0.001, 0.0, 0.001, 0.002)


def table(reports):
    reports = [one | {"run": f"run-{number}"} for number, one in enumerate(reports)]
    rows = [row_of(one) for one in reports]
    add_goals(rows, reports)
    return Runs(pd.DataFrame(rows))


def judged(name, reports):
    return JUDGES[name].verdict(table(reports))


def seeds(*args, worlds=WORLDS, **more):
    """Return a run per world and seed; `more` may hold functions of the seed."""
    return [
        report(world, *args, seed=s, **{k: v(s) if callable(v) else v for k, v in more.items()})
        for world, s in product(worlds, range(5))
    ]


def between(confirmed, refuted):
    """Return runs of the scenario that confirm and runs of the other worlds that refute."""
    here = [one for one in confirmed if one["choices"]["data"] == "scenario"]
    return here + [one for one in refuted if one["choices"]["data"] != "scenario"]


def around(middle, reach):
    """Return a value per seed, as far as `reach` on both sides of the middle."""
    return lambda seed: middle + reach * (seed - 2) / 2


def c1(zeros):
    learned = [one for p in LEARNED for one in seeds("dead_inputs", pooling=p, zeros=zeros)]
    return [*seeds("dead_inputs"), *learned]


def pace(**more):
    return seeds("dead_inputs", pooling="learnable", layers=1, hidden=16, scale=1.0, **more)


def c2(zeros):
    return seeds("dead_inputs", pooling="learnable", zeros=zeros)


def c5(*recents):
    at = np.interp(STEPS, [0, 2000, 6000, 8000, 12000], [0.15, *recents, recents[-1]])
    return pace(lr=1e-4, prior="recency_kl", kl=0.1, weights=np.stack([lean(r) for r in at]))


def c3(recents):
    """Return runs whose latest three steps end with these weights, a value per seed."""
    return [
        one
        for seed, recent in enumerate(recents)
        for one in pace(weights=growing(recent))
        if one["seed"] == seed
    ]


def c4(recent):
    """Return runs of a log start and of a uniform one, which ends at 20%."""
    return pace(init="recency_log", weights=recent) + pace(weights=growing(0.2))


def c6(recent):
    injected = pace(
        lr=1e-4, prior="gradient_injection", injection="published", weights=lean(recent)
    )
    return [*pace(lr=1e-4, weights=lean(0.15)), *injected]


def c7(zeros):
    learnable = {"pooling": "learnable"}
    forced = seeds("dead_inputs", **learnable, prior="recency_kl", kl=0.1, zeros=zeros)
    return [*seeds("dead_inputs", **learnable), *forced]


def c8(units):
    return seeds("none", units=0.02) + seeds("scale_shock", units=units, size=10_000)


def c9(gain, zeros=0.0):
    runs = []
    for schedule in ("dead_inputs", "scale_shock"):
        runs += seeds(schedule, loss=lambda s: 0.6 + NOISE[s])
        runs += seeds(schedule, norm="layer", zeros=zeros, loss=lambda s: 0.6 + gain + NOISE[-s])
    return runs


def c10(gain, noise=0.1):
    loss = {"loss": lambda s: 0.6 + gain + noise * NOISE[-s]}
    dropped = seeds("dead_inputs", dropout="projection", **loss)
    return [*seeds("dead_inputs"), *dropped]


def c11(zeros):
    attempts = ({"clip": 1.0}, {"position": 0.05}, {"residual": 0.1}, {"dropout": "strong"})
    return [
        *seeds("dead_inputs"),
        *(one for a in attempts for one in seeds("dead_inputs", **a, zeros=zeros)),
    ]


def c13(per_layer):
    """Return runs of four depths; `per_layer` is the zeros of each doubling, a value per seed."""
    slope = per_layer if callable(per_layer) else lambda _: per_layer
    return [
        one
        for layers in (1, 2, 4, 8)
        for one in seeds(
            "dead_inputs",
            layers=layers,
            zeros=lambda s, n=layers: 1 / 3 + slope(s) * np.log2(n),
        )
    ]


def c14(rnn, lstm, world="memory_task", biased=None):
    """Return runs whose retention falls by these factors a step, where memory is needed."""
    runs = []
    for cell, lag, rate, bias in (
        ("rnn", 20, rnn, 0),
        ("lstm", 50, lstm, 0),
        ("lstm", 50, biased, 3),
    ):
        if rate is None:
            continue
        at = rate if callable(rate) else lambda _, rate=rate: rate
        lags = np.arange(lag + 1)[::-1]
        norms = {"norms": lambda s, at=at, lags=lags: [(at(s) ** lags).tolist()] * 2}
        task = {"task": "recall", "context": lag + 1, "forget_bias": bias}
        runs += seeds("none", worlds=[world], model=cell, pooling="last", **norms, **task)
    return runs


def c15(ratio, noise=0.002, source="sp500"):
    textbook = {"form": ("price", "price"), "ratio": around(ratio, noise), "source": source}
    return seeds("none", worlds=["prices"], model="lstm", pooling="last", **textbook)


def c16(share, places=(-1,) * 5, uniform=1 / T, **more):
    """Return runs in which one step gets a share of the gradient; its place is one per seed."""

    def shared(largest, place):
        shares = np.full(T, (1 - largest) / (T - 1))
        shares[place] = largest
        return shares.tolist()

    short = seeds("none", shares=shared(uniform, 0))
    for pooling in LEARNED:
        short += seeds("none", pooling=pooling, shares=shared(0.06, -1))
    return short + pace(shares=lambda s: shared(share, places[s]), **more)


def c17(speed, best=0.5):
    """Return runs with learned pooling, so many times as fast as mean pooling."""
    runs = seeds("none", losses=1 - 0.5 * STEPS / STEPS[-1])
    at = speed if callable(speed) else lambda _: speed
    falling = {"losses": lambda s: np.maximum(1 - 0.5 * at(s) * STEPS / STEPS[-1], best)}
    return runs + [one for p in LEARNED for one in seeds("none", pooling=p, **falling)]


def c12(gradient, shift=None):
    return seeds("none", thirds=(gradient, gradient if shift is None else shift))


PLAIN = {"confirmed", "refuted", "not reproduced", "mixed"}
# Layer norm that takes the zeros away without lowering the loss is mixed, never "not reproduced".
REACHABLE = {
    **{claim.id: PLAIN for claim in CLAIMS},
    "C9": PLAIN - {"not reproduced"},
    "C16": PLAIN | {"cannot tell"},
    "C17": PLAIN | {"cannot tell"},
}
CASES = [
    ("C1", c1(0.3), "confirmed"),
    ("C1", c1(None), "refuted"),
    ("C1", c1(86 / 129 - 0.05), "not reproduced"),
    ("C1", between(c1(0.3), c1(None)), "mixed"),
    ("C2", c2(0.1), "confirmed"),
    ("C2", c2(None), "refuted"),
    ("C2", c2(around(0.2, 0.05)), "not reproduced"),
    ("C2", between(c2(0.1), c2(None)), "mixed"),
    ("C3", c3([0.45] * 5), "confirmed"),
    ("C3", c3([0.16] * 5), "refuted"),
    ("C3", pace(weights=growing(0.45)[:, ::-1]), "refuted"),
    ("C3", c3([0.16, 0.2, 0.3, 0.4, 0.45]), "not reproduced"),
    ("C3", c3([0.45] * 5) + pace(lr=1e-4, weights=growing(0.16)), "mixed"),
    ("C4", c4(growing(0.3)), "confirmed"),
    ("C4", c4(growing(0.2, start=0.3)), "refuted"),
    ("C4", c4(around(growing(0.21), 0.002)), "not reproduced"),
    ("C4", between(c4(growing(0.3)), c4(growing(0.2))), "mixed"),
    ("C5", c5(0.25, 0.45, 0.65), "confirmed"),
    ("C5", c5(0.16, 0.3, 0.4), "refuted"),
    ("C5", c5(0.2, 0.4, 0.6), "not reproduced"),
    ("C5", c5(0.25, 0.3, 0.4), "mixed"),
    ("C6", c6(0.17), "confirmed"),
    ("C6", c6(0.13), "refuted"),
    ("C6", c6(0.15), "not reproduced"),
    ("C6", between(c6(0.17), c6(0.13)), "mixed"),
    ("C7", c7(0.05), "confirmed"),
    ("C7", c7(None), "refuted"),
    ("C7", c7(86 / 129 - 0.05), "not reproduced"),
    ("C7", between(c7(0.05), c7(None)), "mixed"),
    ("C8", c8(0.3), "confirmed"),
    ("C8", c8(0.02), "refuted"),
    ("C8", c8(0.07), "not reproduced"),
    ("C8", between(c8(0.3), c8(0.02)), "mixed"),
    ("C9", c9(-0.1), "confirmed"),
    ("C9", c9(+0.1), "mixed"),
    ("C9", c9(-0.1, zeros=0.3), "refuted"),
    ("C10", c10(-0.1), "confirmed"),
    ("C10", c10(+0.1), "refuted"),
    ("C10", c10(0.0, noise=100), "not reproduced"),
    ("C10", between(c10(-0.1), c10(+0.1)), "mixed"),
    ("C11", c11(None), "confirmed"),
    ("C11", c11(0.1), "refuted"),
    ("C11", c11(86 / 129 - 0.05), "not reproduced"),
    ("C11", between(c11(None), c11(0.1)), "mixed"),
    ("C12", c12(0.5), "confirmed"),
    ("C12", c12(1e-7), "refuted"),
    ("C12", c12(1e-7, shift=0.5), "not reproduced"),
    ("C12", between(c12(0.5), c12(1e-7)), "mixed"),
    ("C13", c13(0.05), "confirmed"),
    ("C13", c13(0.0), "refuted"),
    ("C13", c13(around(0.01, 0.02)), "not reproduced"),
    ("C13", between(c13(0.05), c13(0.0)), "mixed"),
    ("C14", c14(0.8, 0.995), "confirmed"),
    ("C14", c14(0.8, 0.93), "mixed"),
    ("C14", c14(0.99, 0.93), "refuted"),
    ("C14", c14(around(0.86, 0.05), 0.93), "not reproduced"),
    ("C14", c14(0.8, 0.93, biased=1.1), "mixed"),
    ("C15", c15(0.9), "confirmed"),
    ("C15", c15(8.9), "refuted"),
    ("C15", c15(1.0), "not reproduced"),
    ("C15", c15(0.9) + c15(8.9, source="nasdaq"), "mixed"),
    ("C16", c16(0.2), "confirmed"),
    ("C16", c16(0.2, uniform=0.1), "mixed"),
    ("C16", c16(0.06), "mixed"),
    ("C16", c16(0.2, places=(3,) * 5), "mixed"),
    ("C16", c16(0.06, uniform=0.1), "refuted"),
    ("C16", c16(0.2, uniform=0.1, places=(3, -1, -1, -1, -1)), "not reproduced"),
    ("C16", c16(0.2, best={"steps_trained": 8000}), "cannot tell"),
    ("C17", c17(2.0), "confirmed"),
    ("C17", c17(1.0), "refuted"),
    ("C17", c17(2.0, best=0.6), "not reproduced"),
    ("C17", between(c17(2.0), c17(1.0)), "mixed"),
    ("C17", c17(around(1.0, 0.5)), "cannot tell"),
]


def test_every_rule_can_reach_each_of_its_verdicts():
    reached = {claim.id: {word for name, _, word in CASES if name == claim.id} for claim in CLAIMS}
    assert reached == REACHABLE


@pytest.mark.parametrize(("name", "reports", "word"), CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES])
def test_a_claim_gets_the_word_its_numbers_call_for(name, reports, word):
    found = judged(name, reports)
    assert found.word == word, found.sentence
    assert found.seeds == 5
    assert not found.is_provisional
    assert not {"nan", "-", "-.", "-;", "-,"} & set(found.sentence.split())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_without_its_runs_names_the_command_and_one_seed_is_too_few(claim):
    missing = claim.verdict(table([report(model="naive", pooling="last")]))
    assert missing.word == NO_RUNS
    assert f"sweep.only=[{','.join(claim.blocks)}]" in missing.sentence
    assert claim.verdict(table(everything(1))).word == "too few seeds"
    assert claim.verdict(table(everything(2))).is_provisional


def test_beside_a_refuted_spread_stands_in_how_many_runs_the_latest_steps_lead():
    found = judged("C3", pace(weights=growing(0.45)[:, ::-1]))
    shares = {row.value.mean for row in found.rows if row.quantity == "runs they lead in"}
    assert shares == {0.0}
    lead = c16(0.2, places=(3, -1, -1, -1, -1), uniform=0.1)
    rows = [r for r in judged("C16", lead).rows if r.quantity == "runs where it is the latest"]
    assert {row.value.mean for row in rows if "12,000" in row.condition} == {0.8}


def test_of_runs_without_a_counterpart_no_dead_units_are_compared():
    runs = c8(0.3) + seeds("none", pooling="learnable", units=0.9)
    found = judged("C8", runs + seeds("scale_shock", pooling="learnable"))
    assert "it is 2.0%, a difference of +28.0 points" in found.sentence


def test_what_no_run_is_deep_enough_for_is_said():
    assert "No run is deeper than 8 layers." in judged("C13", c13(0.0)).sentence
    deep = seeds("dead_inputs", layers=26, zeros=1 / 3)
    assert "deeper" not in judged("C13", c13(0.0) + deep).sentence


def test_layer_norm_is_told_by_its_worst_run():
    runs = c9(+0.1)
    runs[-1]["gradient_history"]["records"][3]["zero_fraction"] = 0.04
    sentence = judged("C9", runs).sentence
    assert "at most 4.0% of the entries are ever zero in any run" in sentence
    assert "it is shown to fall nowhere and to rise everywhere" in sentence


def test_where_a_rate_gets_furthest_and_what_a_larger_weight_does_is_told_with_the_world():
    kl = {"prior": "recency_kl", "weights": np.stack([lean(0.3)] * len(STEPS))}
    other = [one for one in pace(lr=1e-3, kl=0.1, **kl) if one["choices"]["data"] == "bars"]
    strong = [one for one in pace(lr=1e-4, kl=0.5, **kl) if one["choices"]["data"] == "scenario"]
    sentence = judged("C5", c5(0.16, 0.3, 0.2) + other + strong).sentence
    assert "Adam at 1e-3 gets furthest by 8,000: 30.0% (S&P 500 bars)." in sentence
    assert "takes them to 30.0% at 1e-4 (scenario)." in sentence


def test_worlds_that_disagree_are_mixed_and_named():
    scenario = [one for one in c1(0.3) if one["choices"]["data"] == "scenario"]
    bars = [one for one in c1(None) if one["choices"]["data"] == "bars"]
    found = judged("C1", scenario + bars)
    assert found.word == "mixed"
    assert "Confirmed: mean minus learnable pooling (scenario)" in found.sentence
    assert "refuted: mean minus learnable pooling (S&P 500 bars)" in found.sentence


def test_conditions_are_paired_by_seed_and_never_by_name():
    levels = (0.1, 0.2, 0.3, 0.4, 0.5)
    base = seeds("dead_inputs", zeros=lambda s: levels[s])
    lower = seeds("dead_inputs", pooling="gated", zeros=lambda s: levels[s] - 0.05)
    change = table(base + lower[::-1]).change("zeros", {"pooling": "gated"}, {})
    assert change.mean == pytest.approx(-0.05)
    assert change.high - change.low < 1e-9


def test_the_nearest_record_is_read_on_the_published_axis():
    row = row_of(c5(0.25, 0.45, 0.65)[0] | {"run": "run"})
    assert [row[f"recent_{mark}"] for mark in ("2k", "6k", "8k")] == pytest.approx(
        [0.25, 0.45, 0.65]
    )
    short = report(pooling="learnable", scale=0.1)
    short["pooling"]["history"]["model.pooling"] = short["pooling"]["history"]["model.pooling"][:6]
    assert np.isnan(row_of(short | {"run": "run"})["recent_6k"])


def test_a_goal_never_reached_counts_as_the_last_step():
    runs = seeds("none", worlds=["scenario"], losses=1 - 0.5 * STEPS / STEPS[-1])
    runs += seeds("none", worlds=["scenario"], pooling="gated", losses=0.9)
    gated = table(runs).pick(pooling="gated", schedule="none")
    assert set(gated["goal_step"]) == {1200}
    assert set(gated["goal_reached"]) == {0}
    assert set(gated["goal"]) == {0.65}  # halfway from 1.0 to the noise floor of 0.3
    assert set(gated["mean_goal_step"]) == {850}  # 1 - 0.5 s = 0.65 at 70%, recorded every 4%


def test_a_goal_is_that_of_the_mean_pooled_run_that_differs_in_nothing_else():
    alone = {"worlds": ["scenario"], "losses": 1 - 0.5 * STEPS / STEPS[-1]}
    runs = seeds("none", pooling="gated", **alone) + seeds("none", **alone)
    fast = alone | {"losses": 1 - 0.7 * STEPS / STEPS[-1]}
    others = [{"clip": 1.0}, {"position": 0.05}, {"residual": 0.1}]
    runs += [one for other in others for one in seeds("none", **other, **fast)]
    gated = table(runs).pick(pooling="gated", schedule="none")
    assert set(gated["mean_goal_step"]) == {850}, "not the faster one of a clipped run"


@pytest.mark.parametrize(
    ("zeros", "distinct", "gain", "word"),
    [
        (0.0, 44, -0.1, "cure"),
        (0.0, 44, 0.0, "cosmetic"),
        (0.0, 129, 0.0, "repair, no gain"),
        (0.0, 44, 0.1, "cosmetic, loss rises"),
        (None, 43, -0.1, "helps the loss"),
        (None, 43, 0.0, "none shown"),
        (None, 43, 0.1, "harm"),
    ],
)
def test_a_remedy_is_named_by_what_it_changes(zeros, distinct, gain, word):
    changed = {"norm": "layer", "zeros": zeros, "distinct": distinct}
    changed["loss"] = lambda s: 0.6 + gain + NOISE[s]
    runs = table([*seeds("dead_inputs", loss=0.6), *seeds("dead_inputs", **changed)])
    assert [(cure.remedy, cure.word) for cure in find_cures(runs)] == [("layer norm", word)] * 2


def test_of_one_seed_no_remedy_is_named():
    one = [report(seed=0), report(seed=0, norm="layer", zeros=0.0)]
    assert [cure.word for cure in find_cures(table(one))] == ["too few seeds"]


def test_one_number_has_two_causes():
    inputs = seeds("dead_inputs", findings=[DEAD_INPUT, KEY_BIAS])
    units = seeds(
        "dead_units", zeros=2 / 3, columns=0.0, rows=2 / 3, findings=[FEW_DEAD, DEAD_UNITS]
    )
    found = [c for c in find_causes(table(inputs + units)) if c.world == "bars"]
    assert found[0].named == {"dead_input": (5, pytest.approx(2 / 3, abs=1e-4))}
    assert list(found[1].named) == ["dead_unit", "dead_input"]  # the larger share first
    assert found[1].named["dead_unit"] == (5, pytest.approx(85 / 128, abs=1e-4))
    assert [round(c.zeros.mean, 3) for c in found] == [0.667, 0.667]
    assert [round(c.rows.mean, 3) for c in found] == [0.0, 0.667]


def test_a_base_run_of_other_sizes_is_found():
    runs = table(everything(2))
    assert runs.base["num_layers"] == 2
    small = table(seeds("dead_inputs", hidden=8, layers=1) + seeds("none", hidden=8, layers=1))
    assert (small.base["hidden_size"], small.base["num_layers"]) == (8, 1)
    assert small.mean("zeros", schedule="dead_inputs").n == 5


def test_every_block_a_claim_names_is_in_the_sweep():
    sweep = yaml.safe_load(SWEEP.read_text())["sweep"]
    assert {block for claim in CLAIMS for block in claim.blocks} <= set(sweep["blocks"])


def test_options_of_the_transformer_differ_in_sizes_alone():
    small = report()
    small["choices"]["model"] = "transformer_small"
    assert table([small]).mean("zeros", schedule="dead_inputs").n == 1


def test_every_word_is_known():
    found = table(everything(3))
    assert {claim.verdict(found).word for claim in CLAIMS} <= set(WORDS)


def test_what_the_memory_claim_is_judged_by_needs_memory():
    lags = np.arange(60)[::-1]
    prices = seeds(
        *("none",),
        worlds=["prices"],
        model="lstm",
        pooling="last",
        context=60,
        norms=[(0.5**lags).tolist()] * 2,
    )
    assert judged("C14", prices).word == NO_RUNS
    found = judged("C14", c14(0.8, 0.93, biased=1.1) + prices)
    assert "Confirmed: RNN and LSTM (forget bias +3); refuted: LSTM." in found.sentence
    assert "which needs no memory, a trained LSTM keeps <0.01% at 50" in found.sentence
    assert (
        "an LSTM (forget bias +3), asked for the value 50 steps back, learns it in 0 of 5 runs "
        "(error 0.600), and that step has 117 times the latest one's influence" in found.sentence
    )


def test_who_learns_a_task_is_counted():
    adding = {"task": "adding", "context": 60, "pooling": "last", "norms": [[1.0] * 60] * 2}
    runs = [
        *c14(0.8, 0.93),
        *seeds("none", worlds=["memory_task"], model="gru", loss=lambda s: 0.1 + s / 5, **adding),
        *seeds("none", worlds=["memory_task"], model="rnn", loss=0.9, **adding),
    ]
    found = judged("C14", runs)
    assert (
        "The adding problem is learned by RNN in 0 of 5 and GRU in 2 of 5 runs." in found.sentence
    )
    (share,) = (
        row.value
        for row in found.rows
        if (row.world, row.condition, row.quantity)
        == ("adding problem", "GRU", "runs that learn it")
    )
    assert share.mean == 0.4  # 0.1 and 0.3 are below 0.5; 0.5, 0.7 and 0.9 are not
    assert np.isnan(share.low)


def test_best_losses_are_compared_where_they_were_read_as_often():
    runs = c17(1.0, best=0.6)
    alike = [row for row in judged("C17", runs).rows if row.quantity == "best validation loss"]
    assert {round(row.value.mean, 3) for row in alike} == {0.1}
    for one in runs:
        if one["choices"]["pooling"] == "mean":
            one["validation"] = one["validation"][1:]
    other = [row for row in judged("C17", runs).rows if row.quantity == "best validation loss"]
    assert other == []


def test_units_die_for_a_reason_only_beyond_those_that_die_anyway():
    anyway = seeds("none", units=0.3) + seeds("scale_shock", units=0.3, size=10_000)
    found = judged("C8", anyway)
    assert found.word == "refuted"
    assert "sizes up to 10,000" in found.sentence
    assert "30.0% of the feed-forward units are dead" in found.sentence
    alone = judged("C8", seeds("scale_shock", units=0.3))
    assert alone.word == NO_RUNS, "without the same run with features alive nothing is said"


def test_the_largest_size_that_switches_on_is_read_from_the_schedule():
    sized = row_of(report(schedule="scale_shock", size=10_000) | {"run": "run"})
    assert sized["largest_size"] == 10_000
    assert row_of(report() | {"run": "run"})["largest_size"] == 1000


def test_with_features_alive_the_same_comparison_is_told_beside():
    dead = c11(None)
    alive = seeds("none", zeros=0.04) + seeds("none", clip=1.0, zeros=0.04)
    found = judged("C11", dead + alive)
    assert found.word == "confirmed"
    told = "With all features alive it is 0 points (2 conditions, at least 5 seeds)."
    assert told in found.sentence
    assert [row.met for row in found.rows if row.condition == "clipping at 1, features alive"] == [
        *("", "")
    ]


def test_the_largest_gradient_of_the_key_third_is_that_of_any_run():
    runs = [one for s in range(5) for one in seeds("none", thirds=(10.0 ** -(7 + s),) * 2)]
    found = judged("C12", [one for n, one in enumerate(runs) if n // 10 == one["seed"]])
    assert "1e-9 times that of the larger other third (geometric mean), at most 1e-7 times" in (
        found.sentence
    )
