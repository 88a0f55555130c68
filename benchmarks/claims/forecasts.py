"""Claims on what models predict and gain: C15, C17."""

from benchmarks.claims.table import ANY, NAMES, SIZES, Runs
from benchmarks.claims.verdict import (
    CANNOT_TELL,
    NOT_REPRODUCED,
    Row,
    Verdict,
    judge,
    percent,
    plain,
    signed,
    span,
    verdict,
)
from benchmarks.claims.zeros import LEARNED
from src.reporting.statistics import estimate

GAIN = 0.10
FORMS = {("price", "price"): "prices, min-max scaled", ("relative", "log_return"): "log returns"}


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
            # The best of many readings is lower than that of few.
            as_often = ("seed", "validated_every")
            loss = runs.change("best_loss", {**base, "pooling": pooling}, base, as_often)
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
        f"Learned pooling changes the steps to the same validation loss by "
        f"{span(steps_found, _more)} of mean pooling's ({never}), and the best loss by "
        f"{span(losses, signed)}. Steps are read at validations, which lie "
        f"{span(coarse, percent)} of mean pooling's steps apart; the gain looked for is {GAIN:.0%}."
    )
    number = f"{span(steps_found, _more)} steps, read to {span(coarse, percent)}"
    return verdict(rows, sentence, number)


def _more(share: float) -> str:
    """Return a relative change; a small one keeps a digit that counts.

    >>> _more(-0.25), _more(0.001), _more(0.0)
    ('-25%', '+0.1%', '0%')
    """
    if abs(share) >= 0.005:
        return f"{share:+.0%}"
    return f"{100 * share:+.1g}%" if abs(share) > 1e-9 else "0%"
