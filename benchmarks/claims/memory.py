"""The claim on what recurrent networks remember (C14): where memory is needed, and where not."""

from typing import Any

import numpy as np

from benchmarks.claims.table import ANY, NAMES, SIZES, Runs
from benchmarks.claims.verdict import (
    Row,
    Verdict,
    judge,
    kept_times,
    listed,
    percent,
    power,
    share_of,
    span,
    verdict,
)
from src.reporting.statistics import Estimate, estimate

CELLS = ("rnn", "gru", "lstm")
BIASED = 3.0
"""What is added to the bias of the forget gates of the fourth network."""
NETWORKS: tuple[tuple[str, str, float], ...] = (
    *((cell.upper(), cell, 0.0) for cell in CELLS),
    ("LSTM (forget bias +3)", "lstm", BIASED),
)
LEARNED = 0.5
"""A task counts as learned below this error; predicting the mean has 1."""
LAGS = (5, 20, 50)
LOST, KEPT = 0.05, 0.60
ADDING, DONE = "adding problem", "runs that learn it"
RNN_LAG, LSTM_LAG = 20, 50
FREE: dict[str, Any] = {**dict.fromkeys(SIZES, ANY), "pooling": ANY, "schedule": ANY}


def c14(runs: Runs) -> Verdict:
    """An LSTM keeps what lies 50 steps back, an RNN has lost it by 20."""
    rows = [row for lag in LAGS for row in _recall(runs, lag)]
    rows += _adding(runs)
    for world in ("prices", "scenario"):
        rows += _idle(runs, world)
    told = [(RNN_LAG, "RNN"), (LSTM_LAG, "LSTM"), (LSTM_LAG, NETWORKS[-1][0])]
    readings = {key: _reading(rows, *key) for key in told}
    known = {key: reading for key, reading in readings.items() if reading}
    parts = [
        f"an {name}, asked for the value {lag} steps back, learns it in {learned} runs (error "
        f"{error}), and that step has {kept}{'' if kept.endswith('times') else ' of'} the latest "
        "one's influence"
        for (lag, name), (learned, error, kept) in known.items()
    ]
    sentence = f"{'; '.join(parts)} (an error of 1: nothing learned).{_beside(rows)}"
    sentence = sentence[:1].upper() + sentence[1:]
    number = "; ".join(f"{name}: {kept} at {lag}" for (lag, name), (*_, kept) in known.items())
    return verdict(rows, sentence, number)


def _reading(rows: list[Row], lag: int, network: str) -> tuple[str, str, str] | None:
    """Return runs that learned, error and retention of one network; None where it was not run."""
    found = {
        row.quantity: row.value
        for row in rows
        if (row.world, row.condition) == (_recall_world(lag), network) and row.value.n
    }
    if not found:
        return None
    learned = _of_runs(found[DONE])
    return learned, span([found["error"]], power), span([found[f"kept {lag} back"]], kept_times)


def _of_runs(share: Estimate) -> str:
    return f"{round(share.mean * share.n)} of {share.n}"


def _beside(rows: list[Row]) -> str:
    """Say who learns the adding problem, and what is kept where nothing asks for it."""
    adding = [r for r in rows if (r.world, r.quantity) == (ADDING, DONE) and r.value.n]
    who = listed([f"{row.condition} in {_of_runs(row.value)}" for row in adding])
    told = f" The adding problem is learned by {who} runs." if adding else ""
    return told + _idle_sentence(rows)


def _recall_world(lag: int) -> str:
    return f"recall, {lag} back"


def _recall(runs: Runs, lag: int) -> list[Row]:
    """Return what each network learns and keeps where only the value `lag` steps back helps."""
    rows = []
    for name, cell, bias in NETWORKS:
        here = {**FREE, "data": "memory_task", "task": "recall", "model": cell}
        here |= {"forget_bias": bias, "context_length": lag + 1.0}
        kept = _log(runs, f"kept_{lag}_end", here)
        error = _log(runs, "loss", here)
        world, what = _recall_world(lag), f"kept {lag} back"
        rows += [
            Row(world, name, DONE, share_of(runs.values("loss", **here) < LEARNED), percent),
            Row(world, name, "error", error, power),
            Row(world, name, what, kept, kept_times, _word(cell, lag, kept)),
        ]
    return rows


def _adding(runs: Runs) -> list[Row]:
    rows = []
    for name, cell, bias in NETWORKS:
        here = {**FREE, "data": "memory_task", "task": "adding", "model": cell, "forget_bias": bias}
        done = share_of(runs.values("loss", **here) < LEARNED)
        rows.append(Row(ADDING, name, DONE, done, percent))
        rows.append(Row(ADDING, name, "error", _log(runs, "loss", here), power))
        for lag in LAGS:
            kept = _log(runs, f"kept_{lag}_end", here)
            rows.append(Row(ADDING, name, f"kept {lag} back", kept, kept_times))
    return rows


def _idle(runs: Runs, world: str) -> list[Row]:
    """Return what is kept where the target is tomorrow's return, and nothing asks for memory."""
    rows = []
    for cell in CELLS:
        name = cell.upper()
        for when, title in (("first", f"{name}, initial"), ("end", f"{name}, trained")):
            for lag in (RNN_LAG, LSTM_LAG):
                kept = _log(runs, f"kept_{lag}_{when}", {**FREE, "data": world, "model": cell})
                rows.append(Row(NAMES[world], title, f"kept {lag} back", kept, kept_times))
    return rows


def _idle_sentence(rows: list[Row]) -> str:
    kept = [
        row.value
        for row in rows
        if row.condition == "LSTM, trained" and row.quantity == "kept 50 back" and row.value.n
    ]
    if not kept:
        return ""
    return (
        " On tomorrow's return, which needs no memory, a trained LSTM keeps "
        f"{span(kept, kept_times)} at {LSTM_LAG}: that describes the task."
    )


def _log(runs: Runs, column: str, factors: dict[str, Any]) -> Estimate:
    """Return the logarithm of what spans decades, retention or error: its mean is one of powers."""
    return estimate(np.log10(runs.values(column, **factors)))


def _word(cell: str, lag: int, kept: Estimate) -> str:
    """Return what one reading says to the claim: it is on the RNN at 20 and the LSTM at 50."""
    if not kept.n:
        return ""
    if (cell, lag) == ("rnn", RNN_LAG):
        return judge(kept, kept.high < np.log10(LOST), kept.low > np.log10(LOST))
    if (cell, lag) == ("lstm", LSTM_LAG):
        return judge(kept, kept.low >= np.log10(KEPT), kept.high < np.log10(KEPT))
    return ""
