"""Whole trainings are timed in processes of their own; here, what is done around them."""

import json

import numpy as np
import pytest

from benchmarks.peers.__main__ import page, ratios, spread, steady, table, until
from benchmarks.peers.clock import Clock
from benchmarks.peers.packages import BY_HAND, OURS, PEERS, WORKLOADS
from benchmarks.peers.programs import BATCH_SIZES, OVERRIDES, PROGRAMS


def row(peer, wall, cpu, losses, workload="lstm_32"):
    """Return a run with a validation a second, of half a second's work, from 2 s on."""
    validations = [[2.0 + i, 1.0 + 0.5 * i, loss] for i, loss in enumerate(losses)]
    return {
        **{"peer": peer, "workload": workload, "wall": wall, "cpu": cpu, "peak_mb": 300.0},
        **{"first": [1.5, 0.75], "validations": validations, "load": 1.0},
    }


ROWS = [
    row(BY_HAND, 10.0, 8.0, [0.5, 0.4]),
    row(OURS, 12.0, 8.0, [0.5, 0.404, 0.3]),
    row(BY_HAND, 20.0, 10.0, [0.5, 0.4]),
    row(OURS, 18.0, 5.0, [0.41, 0.404]),
]


def test_an_epoch_is_what_lies_between_two_validations():
    assert (steady(ROWS[1], 0), steady(ROWS[1], 1)) == (1.0, 0.5)


def test_a_loss_is_reached_by_the_first_validation_at_it_or_below():
    assert until(ROWS[1], 0.404) == 3.0
    assert until(ROWS[1], 0.1) is None
    assert until(row("darts", 1.0, 1.0, [None, 0.2]), 0.3) == 3.0


def test_ratios_are_taken_within_a_round():
    assert ratios(ROWS, OURS, lambda r: r["wall"]) == [1.2, 0.9]
    assert spread([1.2, 0.9]) == "1.05 (0.90 to 1.20)"
    assert spread([]) == "-"


def test_the_table_shows_who_was_measured():
    lines = table(ROWS, "lstm_32")
    assert [line.split(" | ")[0].lstrip("| ") for line in lines[2:]] == [BY_HAND, OURS]
    assert "1.05 (0.90 to 1.20) | 0.75 (0.50 to 1.00)" in lines[3]
    assert lines[3].endswith("| 300 | 3.0 |")  # 1.01 times 0.4 is reached at 3 s in both rounds
    results = {"command": "c", "epochs": 2, "problems": ["darts: no"], "rows": ROWS}
    machine = {"torch": "2", "python": "3", "processors": 2}
    text = page({**results, "machine": machine})
    assert "Not measured: darts: no" in text
    assert WORKLOADS["lstm_32"].title in text
    assert WORKLOADS["transformer"].title not in text


def test_every_peer_has_a_program_and_trains_what_ours_does():
    assert set(PROGRAMS) == set(PEERS)
    assert {name: list(w.overrides) for name, w in WORKLOADS.items()} == OVERRIDES
    assert {name: w.batch_size for name, w in WORKLOADS.items()} == BATCH_SIZES


@pytest.mark.parametrize(("workload", "shape"), [("lstm_32", (60, 1)), ("transformer", (20, 129))])
def test_the_loop_by_hand_notes_its_first_step_and_each_epoch(tmp_path, workload, shape):
    random = np.random.default_rng(0)
    arrays = {
        f"{part}_{name}": random.normal(size=(40, *size)).astype(np.float32)
        for part in ("train", "val")
        for name, size in (("x", shape), ("y", (1,)))
    }
    np.savez(tmp_path / f"{workload}.npz", **arrays)
    clock = Clock(started=0.0)
    PROGRAMS[BY_HAND](workload, 2, tmp_path, clock)
    clock.write(tmp_path / "clock.json")
    noted = json.loads((tmp_path / "clock.json").read_text())
    (first, _, _), (second, _, loss) = noted["validations"]
    assert noted["first"][0] <= first <= second
    assert loss > 0
    assert noted["peak_mb"] > 10
