"""The tables of the claims page as plain text cells."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.claims.remedies import REMEDIES, Causes, Cure
from benchmarks.claims.rows import BENIGN
from benchmarks.claims.table import NAMES, SCHEDULES
from benchmarks.claims.verdict import (
    NO_RUNS,
    SEEDS,
    Form,
    Row,
    Verdict,
    combine,
    count_change,
    interval,
    percent,
    plain,
    points,
    signed,
)
from src.reporting.statistics import Estimate
from src.reporting.text import NOTHING, TextTable, count_of

if TYPE_CHECKING:
    from benchmarks.claims.ledger import Claim


def ledger_table(
    judged: "Sequence[tuple[Claim, Verdict]]", link: bool = False, sentence: bool = False
) -> TextTable:
    """Return every claim with its verdict.

    Args:
        judged: claims and verdicts.
        link: whether ids lead to the claim's section of a page.
        sentence: whether to show what was measured instead of the one number.
    """
    rows: list[tuple[str, ...]] = []
    for claim, verdict in judged:
        name = f"[{claim.id}](#{anchor(claim)})" if link else claim.id
        word = verdict.word + (" (provisional)" if verdict.is_provisional else "")
        seeds = NOTHING if verdict.word == NO_RUNS else str(verdict.seeds)
        if sentence:
            rows.append((name, word, verdict.sentence, seeds))
        else:
            rows.append((name, claim.title, word, verdict.number or NOTHING, seeds))
    headers: tuple[str, ...] = ("", "claim", "verdict", "the number that decided", "seeds")
    headers = ("", "verdict", "measured", "seeds") if sentence else headers
    return TextTable("The ledger", headers, tuple(rows), len(headers) - 1)


def anchor(claim: "Claim") -> str:
    """Return GitHub's anchor of a claim's heading."""
    heading = f"{claim.id}: {claim.title}".lower().replace(" ", "-")
    return "".join(c for c in heading if c.isalnum() or c in "-_")


def rows_table(verdict: Verdict) -> TextTable:
    """Return what a verdict rests on: a row per condition, a column per quantity."""
    quantities = list(dict.fromkeys(row.quantity for row in verdict.rows))
    grouped: dict[tuple[str, str], dict[str, Row]] = {}
    for row in verdict.rows:
        grouped.setdefault((row.world, row.condition), {})[row.quantity] = row
    rows = []
    for (world, condition), found in grouped.items():
        cells = [
            _mean(found[q].value, found[q].form) if q in found else NOTHING for q in quantities
        ]
        says = (
            combine(row.met for row in found.values())
            if any(r.met for r in found.values())
            else NOTHING
        )
        n = min(row.value.n for row in found.values())
        rows.append((world, condition, says, *cells, str(n)))
    headers = ("world", "condition", "says", *quantities, "seeds")
    caption = "Means over seeds and their 95% intervals, left out where they read like the mean."
    return TextTable("Measured", headers, tuple(rows), 3, caption)


def _mean(value: Estimate, form: Form) -> str:
    """Return a mean and its interval, which is left out where it reads like the mean.

    A t interval of shares may pass 0% or 100%, which no share does: there it ends.
    """
    ends = (value.low, value.high)
    if form is percent:
        ends = (max(value.low, min(value.mean, 0.0)), min(value.high, max(value.mean, 1.0)))
    mean, low, high = map(form, (value.mean, *ends))
    if math.isnan(value.low) or mean == low == high:
        return mean
    return f"{mean} ({low} to {high})"


def causes_table(causes: Sequence[Causes]) -> TextTable:
    """Return the two ways to one share of zeros, and what the diagnosis named."""
    rows = tuple(
        (
            *(NAMES[c.world], SCHEDULES[c.schedule]),
            ", ".join(
                f"{_cause(k)} {percent(s)} ({n} of {c.diagnosed})" for k, (n, s) in c.named.items()
            ),
            *(percent(c.zeros.mean), percent(c.columns.mean), percent(c.rows.mean)),
            str(c.zeros.n),
        )
        for c in causes
    )
    headers = (
        "world",
        "what dies",
        "the diagnosis named (runs)",
        "zeros",
        "in columns",
        "in rows",
        "seeds",
    )
    return TextTable("One number, two causes", headers, rows, 3)


def _cause(name: str) -> str:
    cause, benign, _ = name.partition(BENIGN)
    return f"{cause}, benign," if benign else cause


def words_table(cures: Sequence[Cure]) -> TextTable:
    """Return what every remedy is good for, a column per world."""
    worlds = list(dict.fromkeys((cure.schedule, cure.world) for cure in cures))
    words = {(cure.remedy, cure.schedule, cure.world): _word(cure) for cure in cures}
    tried = [remedy for remedy in REMEDIES if any(cure.remedy == remedy for cure in cures)]
    rows = tuple(
        (remedy, *(words.get((remedy, *world), NOTHING) for world in worlds)) for remedy in tried
    )
    headers = ("remedy", *(f"{NAMES[world]}, {SCHEDULES[schedule]}" for schedule, world in worlds))
    return TextTable("Cures and cosmetics", headers, rows, len(headers))


def _word(cure: Cure) -> str:
    """Return the word, with the number of seeds where that is less than a verdict needs."""
    few = min(cure.zeros.n, cure.loss.n)
    return cure.word + (f" ({count_of(few, 'seed')})" if few < SEEDS else "")


def cures_tables(cures: Sequence[Cure]) -> dict[tuple[str, str], TextTable]:
    """Return what every remedy changes, a table per schedule and world."""
    tables = {}
    for key in dict.fromkeys((cure.schedule, cure.world) for cure in cures):
        own = [cure for cure in cures if (cure.schedule, cure.world) == key]
        headers = (
            *("remedy", "word", "zeros", "distinct columns", "validation loss"),
            *("95% interval", "error / no model's", "seeds"),
        )
        title = f"{NAMES[key[1]]}, {SCHEDULES[key[0]]}: changes to the base run"
        tables[key] = TextTable(title, headers, tuple(map(_cure, own)), 2)
    return tables


def _cure(cure: Cure) -> tuple[str, ...]:
    return (
        *(cure.remedy, cure.word, points(cure.zeros.mean)),
        count_change(cure.distinct.mean) if cure.distinct.n else NOTHING,
        *(signed(cure.loss.mean), interval(cure.loss, signed)),
        plain(cure.ratio.mean) if cure.ratio.n else NOTHING,
        str(cure.zeros.n),
    )
