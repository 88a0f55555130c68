"""Claims on what models remember, predict and gain: C14, C15, C17."""

from typing import Any

import numpy as np

from benchmarks.claims.table import ANY, NAMES, SIZES, Runs
from benchmarks.claims.verdict import (
    CANNOT_TELL,
    NOT_REPRODUCED,
    Row,
    Verdict,
    judge,
    percent,
    plain,
    power_percent,
    signed,
    span,
    verdict,
)
from benchmarks.claims.zeros import LEARNED
from src.reporting.statistics import Estimate, estimate

CELLS = ("rnn", "gru", "lstm")
LOST, KEPT = 0.05, 0.60
GAIN = 0.10
FORMS = {("price", "price"): "prices, min-max scaled", ("relative", "log_return"): "log returns"}


def c14(runs: Runs) -> Verdict:
    """An LSTM keeps what lies 50 steps back, an RNN has lost it by 20."""
    rows: list[Row] = []
    for world in ("prices", "scenario"):
        for cell in CELLS:
            for when, title in (("first", f"{cell}, initial"), ("end", f"{cell}, trained")):
                for lag in (20, 50):
                    kept = _kept(runs, world, cell, f"kept_{lag}_{when}")
                    met = _memory_word(cell, lag, kept) if when == "end" else ""
                    what = f"kept {lag} back"
                    rows.append(Row(NAMES[world], title, what, kept, power_percent, met))
    shown = {
        title: span(
            [r.value for r in rows if (r.condition, r.quantity) == title and r.value.n],
            power_percent,
        )
        for title in (("rnn, trained", "kept 20 back"), ("lstm, trained", "kept 50 back"))
    }
    rnn, lstm = shown.values()
    sentence = (
        f"Of the latest step's influence on the forecast a trained RNN keeps {rnn} 20 steps back "
        f"(lost: under 5%), a trained LSTM {lstm} 50 steps back (the textbook says 60%)."
    )
    return verdict(rows, sentence, f"RNN {rnn} at 20, LSTM {lstm} at 50")


def _kept(runs: Runs, world: str, cell: str, column: str) -> Estimate:
    """Return the logarithm of the retention: shares that span decades are averaged as powers."""
    factors: dict[str, Any] = {**dict.fromkeys(SIZES, ANY), "pooling": ANY, "schedule": ANY}
    values = runs.values(column, model=cell, data=world, **factors)
    return estimate(np.log10(values))


def _memory_word(cell: str, lag: int, kept: Estimate) -> str:
    """Return what one reading says to the claim: it is on the RNN at 20 and the LSTM at 50."""
    if (cell, lag) == ("rnn", 20):
        return judge(kept, kept.high < np.log10(LOST), kept.low > np.log10(LOST))
    if (cell, lag) == ("lstm", 50):
        return judge(kept, kept.low >= np.log10(KEPT), kept.high < np.log10(KEPT))
    return ""


def c15(runs: Runs) -> Verdict:
    """A textbook LSTM on scaled prices predicts tomorrow's price."""
    rows: list[Row] = []
    frame = runs.frame[runs.frame["data"] == "prices"]
    for source in sorted(set(frame["source"])):
        for (given, target), title in FORMS.items():
            ratio = runs.mean(
                "ratio",
                data="prices",
                source=source,
                input=given,
                target=target,
                model="lstm",
                has_memory=0.0,
                **dict.fromkeys((*SIZES, "pooling", "schedule"), ANY),
            )
            is_textbook = given == "price"
            met = judge(ratio, ratio.high < 1, ratio.low > 1) if is_textbook else ""
            place = {"sp500": "S&P 500", "nasdaq": "NASDAQ"}.get(source, source)
            rows.append(Row(place, title, "RMSE / no model's", ratio, plain, met))
    textbook = [row.value for row in rows if row.met and row.value.n]
    returns = [row.value for row in rows if not row.met and row.value.n]
    beside = f"; the same LSTM on log returns {span(returns, plain)} times" if returns else ""
    sentence = (
        f"On held-out years the textbook LSTM errs {span(textbook, plain)} times as much as "
        f'"tomorrow = today"{beside}.'
    )
    return verdict(rows, sentence, f"{span(textbook, plain)} x no model's error")


def c17(runs: Runs) -> Verdict:
    """Learned pooling converges faster than mean pooling.

    Steps are read at validations: each is up to one interval too many, a change one more or less.
    """
    rows: list[Row] = []
    coarse = []
    late = total = 0
    for world in ("scenario", "bars"):
        base = {"data": world, "schedule": "none"}
        for pooling in LEARNED:
            learned = runs.pick(**base, pooling=pooling).dropna(subset=["goal_step"])
            gain = (learned["goal_step"] - learned["mean_goal_step"]) / learned["mean_goal_step"]
            steps = estimate(gain.groupby(learned["seed"]).mean())
            loss = runs.change("best_loss", {**base, "pooling": pooling}, base)
            read = (learned["validated_every"] / learned["mean_goal_step"]).mean()
            is_faster = steps.high + read < 0
            met = judge(steps, is_faster and not loss.low > 0, steps.low - read > -GAIN)
            if met == NOT_REPRODUCED and not is_faster:
                met = CANNOT_TELL
            coarse += [read] if steps.n else []
            title = f"{pooling} minus mean pooling"
            rows += [
                Row(NAMES[world], title, "steps to the goal", steps, _more, met),
                Row(NAMES[world], title, "best validation loss", loss, signed),
            ]
            late += int((learned["goal_reached"] == 0).sum())
            total += len(learned)
    steps_found = [row.value for row in rows if row.met and row.value.n]
    losses = [row.value for row in rows if not row.met and row.value.n]
    never = (
        f"{late} of {total} runs with learned pooling never reached it"
        if late
        else "every run reached it"
    )
    sentence = (
        f"To the same validation loss learned pooling takes {span(steps_found, _more)} steps, "
        f"measured against mean pooling's ({never}); the best loss differs by "
        f"{span(losses, signed)}. Steps are read at validations, to {span(coarse, percent)} of "
        f"what mean pooling takes; the gain looked for is {GAIN:.0%}."
    )
    number = f"{span(steps_found, _more)} steps, read to {span(coarse, percent)}"
    return verdict(rows, sentence, number)


def _more(share: float) -> str:
    """Return a relative change.

    >>> _more(-0.25), _more(0.001)
    ('-25%', '0%')
    """
    return f"{share:+.0%}" if round(share, 2) else "0%"
