"""docs/claims.md: the summary, the ledger, the cures, a section per claim, how it was measured."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from benchmarks.claims.ledger import Claim
from benchmarks.claims.remedies import (
    ALIVE,
    COSMETIC,
    COSMETIC_HARM,
    CURE,
    HELPS,
    REPAIR,
    Causes,
    Cure,
)
from benchmarks.claims.table import NAMES, SCHEDULES, WORLDS
from benchmarks.claims.tables import (
    causes_table,
    cures_tables,
    ledger_table,
    rows_table,
    words_table,
)
from benchmarks.claims.verdict import (
    CANNOT_TELL,
    MIXED,
    NO_RUNS,
    SEEDS,
    WORDS,
    Verdict,
    listed,
    span,
)
from benchmarks.claims.verdict import percent as as_percent
from src.reporting.text import count_of, markdown

Judged = Sequence[tuple[Claim, Verdict]]
LONG = 12
"""Rows from which on a table is folded away."""
CAPTIONS = {
    "zeros.png": "Share of exactly zero gradient entries over the published steps.",
    "cures.png": "Zeros and validation loss: what each remedy changes.",
    "pace.png": "Weight of the latest three steps under a KL weight of 0.1.",
    "weights.png": "Pooling weights after 8,000 steps; left alone and with KL 0.1 after 12,000.",
    "retention.png": "Influence on the forecast by steps back.",
    "shares.png": "Share of the gradient by time step in short runs of every pooling.",
    "losses.png": "Validation loss while scales are shocked, and while nothing happens.",
}


def document(
    judged: Judged,
    cures: Sequence[Cure],
    causes: Sequence[Causes],
    meta: Mapping[str, Any],
    figures: Collection[str],
) -> str:
    """Return the whole page.

    Args:
        judged: every claim with its verdict.
        cures: what every remedy changes.
        causes: the two ways to one share of zeros.
        meta: how it was measured.
        figures: names of the figures there are.
    """
    parts = [
        "# What was said about dying gradients, measured",
        summary(judged, cures, causes, meta),
        *_figure("zeros.png", figures),
        *_two_causes(causes),
        "## The ledger",
        _bare(markdown(ledger_table(judged, link=True))),
        *_cures(cures, figures),
        "## Claim by claim",
    ]
    for claim, verdict in judged:
        parts += _section(claim, verdict, figures)
    return "\n\n".join([*parts, *_measured(meta, judged)]) + "\n"


def summary(
    judged: Judged, cures: Sequence[Cure], causes: Sequence[Causes], meta: Mapping[str, Any]
) -> str:
    """Return the three sentences that carry the page."""
    words = Counter(verdict.word for _, verdict in judged)
    counts = listed([f"{words[word]} {word}" for word in WORDS if words[word]])
    seeds = [verdict.seeds for _, verdict in judged if verdict.word != NO_RUNS]
    fewest = (
        f"at least {count_of(min(seeds), 'seed')} of what decides it" if seeds else "no seeds yet"
    )
    provisional = sum(verdict.is_provisional for _, verdict in judged)
    few = f", {provisional} of them provisional" if provisional else ""
    ends = [cure for cure in cures if cure.schedule == "dead_inputs"]
    real, idle, fake = (
        _remedies(ends, *words) for words in ((CURE,), (REPAIR,), (COSMETIC, COSMETIC_HARM))
    )
    idle = f", {idle} took as much off without a loss that is shown to fall" if idle else ""
    whole = [c.columns.mean / c.zeros.mean for c in causes if c.schedule == "dead_inputs"]
    place = (
        "The zeros are whole columns: input features that had died"
        if whole and min(whole) > 0.99
        else "Where the zeros lie is told below"
    )
    return (
        "A transformer on trading bars showed two thirds of exactly-zero gradients in its first "
        f"weight, and {len(judged)} claims were made about why, and what helps. Judged by "
        f"{count_of(meta['runs'], 'run')}, each by {fewest}, they stand at: **{counts}**{few}. "
        f"{place}; {real or 'nothing'} took at least 10 points off and lowered the validation "
        f"loss{idle}, {fake or 'nothing'} took as much off and brought back neither directions nor "
        f"a lower loss.{_shock(cures)}"
    )


def _remedies(cures: Sequence[Cure], *words: str) -> str:
    """List the remedies with one of these words, and the worlds where they are not in all."""
    found: dict[str, list[str]] = {}
    for cure in cures:
        if cure.word in words:
            found.setdefault(cure.remedy, []).append(NAMES[cure.world])
    tried = Counter(cure.remedy for cure in cures)
    return listed(
        [
            name if len(worlds) == tried[name] else f"{name} ({listed(worlds)})"
            for name, worlds in found.items()
        ]
    )


def _shock(cures: Sequence[Cure]) -> str:
    """Say what helped where large features were switched on; nothing where nothing was tried."""
    shocked = [c for c in cures if c.schedule == "scale_shock" and c.remedy != ALIVE]
    if not shocked:
        return ""
    helped = _remedies(shocked, HELPS)
    alive = [c for c in cures if c.schedule == "scale_shock" and c.remedy == ALIVE]
    lower = [NAMES[c.world] for c in alive if c.word == HELPS]
    beside = f"; features that stay alive lower it on {listed(lower)}" if lower else ""
    return (
        " Where features of sizes 50 to 1,000 switch on in mid-training, of what was tried on the "
        f"model {helped or 'nothing'} lowered the validation loss by 1% or more{beside}."
    )


def _figure(name: str, figures: Collection[str]) -> list[str]:
    return [f"![{CAPTIONS[name]}](claims/{name})"] if name in figures else []


def _bare(table: str) -> str:
    """Return a table without its title, where a heading says it."""
    return table.split("\n", 2)[2]


def _two_causes(causes: Sequence[Causes]) -> list[str]:
    if not causes:
        return []
    table = _bare(markdown(causes_table(causes)))
    both = {c.schedule for c in causes}
    if len(both) < 2:
        return ["## One number, two causes", table]
    shares = {s: span([c.zeros for c in causes if c.schedule == s], as_percent) for s in both}
    return [
        "## One number, two causes",
        f"Let input features die and {shares['dead_inputs']} of the entries are zero; let units "
        f"of the layer die and {shares['dead_units']} are. That some two thirds are does not say "
        "what to repair, the data or the layer. Their shape does: dead inputs leave whole columns, "
        "dead units whole rows. The published plateau of 66.7% is 86 of 129 columns; no whole "
        "number of the 128 rows gives it.",
        table,
        *_when_named(causes),
    ]


def _when_named(causes: Sequence[Causes]) -> list[str]:
    """Say by which rule dead units were named where the rule has changed since the runs."""
    named = [c for c in causes if "dead_unit" in c.named]
    if not named:
        return []
    days = listed(sorted({day for c in named for day in c.days}))
    return [
        f"What was named is what the diagnosis of these runs' own day said ({days}), by rules that "
        "have changed since: the death of some units is benign now where a model predicts well all "
        "the same. The rows are dead either way."
    ]


def _cures(cures: Sequence[Cure], figures: Collection[str]) -> list[str]:
    if not cures:
        return []
    parts = [
        "## Cures and cosmetics",
        "A **cure** takes at least 10 points off the zeros and lowers the validation loss. A "
        "**cosmetic** takes as much off and nothing else: the columns come back as copies of "
        "one another. A **repair, no gain** brings a tenth of the columns or more back as "
        "directions of their own, without a loss that is shown to fall. Where the zeros are not "
        "shown to fall by 10 points, a loss that moves **helps** or **harms**; with **none "
        "shown** it is not shown to move either, which is no proof that nothing happened. 95% "
        "intervals of the paired differences decide, and a loss has to move by 1%; "
        f"of {len(cures)} such intervals some {max(1, round(len(cures) / 20))} would leave out 0 "
        "by chance alone.",
        _bare(markdown(words_table(cures))),
        *_figure("cures.png", figures),
    ]
    for (schedule, world), table in cures_tables(cures).items():
        title = f"{NAMES[world]}, {SCHEDULES[schedule]}"
        parts += [f"<details><summary>{title}: the numbers</summary>", _bare(markdown(table))]
        parts.append("</details>")
    return parts


def _section(claim: Claim, verdict: Verdict, figures: Collection[str]) -> list[str]:
    parts = [
        f"### {claim.id}: {claim.title}",
        f"**Said.** {claim.said}",
        f"**What settles it.** {claim.asks}",
        f"**Measured.** {verdict.sentence}",
    ]
    if verdict.rows:
        table = rows_table(verdict)
        folded = len(table.rows) > LONG
        parts += [f"<details><summary>The {len(table.rows)} conditions</summary>"] * folded
        parts += [_bare(markdown(table)), *["</details>"] * folded]
    parts.append(f"**Verdict: {verdict.word}.**{_where(verdict)}{_provision(verdict)}")
    parts += _figure(claim.figure, figures) if claim.figure != "zeros.png" else []
    return [*parts, f"```bash\n{claim.command}\n```"]


def _where(verdict: Verdict) -> str:
    """Say on which world alone a verdict rests that could rest on both."""
    worlds = {row.world.partition(" (")[0] for row in verdict.rows if row.met}
    alone = [NAMES[world] for world in WORLDS if worlds == {NAMES[world]}]
    return f" On {alone[0]} alone." if alone else ""


def _provision(verdict: Verdict) -> str:
    if not verdict.is_provisional:
        return ""
    return f" Provisional: it rests on {count_of(verdict.seeds, 'seed')}, and {SEEDS} are needed."


def _measured(meta: Mapping[str, Any], judged: Judged) -> list[str]:
    several = len(meta["machines"]) > 1
    machines = listed(
        [
            f"{m['system']} with {m['cpu_count']} cores" + f" ({m['runs']} runs)" * several
            for m in meta["machines"]
        ]
    )
    versions = ", ".join(f"{name} {'/'.join(v)}" for name, v in meta["versions"].items())
    low, high = meta["steps"]
    left = sum(map(len, meta["left_out"].values()))
    how = "; ".join(f"{status}: {_some(names)}" for status, names in meta["left_out"].items())
    made = "; ".join(
        f"{one['runs']} on {one['day']}, {count_of(len(one['seeds']), 'seed')}"
        for one in meta["made"]
    )
    facts = [
        f"**When:** {made}; by {count_of(len(meta['commits']), 'commit')} of the code."
        f"{_agreement(meta.get('agreement'))}",
        f"**Runs:** {meta['runs']} finished, seeds {listed([str(s) for s in meta['seeds']])}; "
        f"{low:,} to {high:,} optimiser steps each; {_hours(meta['duration_s'])} on the clock in "
        "all, summed over runs.",
        f"**Left out:** {count_of(left, 'run')} that did not finish"
        + (f" ({how})" if left else "")
        + f"; {count_of(meta['repeated'], 'run')} repeated by a later one of the same condition "
        "and seed.",
        f"**Machine:** {machines or 'not recorded'}; {versions or 'versions not recorded'}.",
        "**Held fixed:** in each comparison everything but the named factor: data, batches, seed "
        "(weights, order of windows, dropout), optimiser, learning rate and number of steps. "
        "Differences are paired by seed; intervals are Student's t at 95% over seeds, of shares "
        "cut at 0% and 100%.",
        "**Verdicts:** rules in code, from the intervals, and from every run where a rule says so. "
        f'"{MIXED}" where some worlds or '
        'conditions confirm and others do not; "not reproduced" where nothing confirms, and not '
        f'everything refutes; "{CANNOT_TELL}" where the measurement is too coarse or too short.',
        "**Validation:** the first 512 windows of the validation part, the same at every reading, "
        "not all of it. The test error is that of all test windows.",
    ]
    limits = [
        "In C1, C2, C7, C11 and C13 the zeros are those of dead inputs: where an input is zero its "
        "weights have no gradient, whatever stands behind them. That no pooling, forcing, clipping "
        "or depth changes these zeros is arithmetic, which the runs only confirm"
        + _told_alive(judged),
        "C8 and C12 look at the end of training, on 512 validation windows: what died and came "
        "back is not seen.",
        "The models are smaller than the one in which the zeros were first seen, and, except for "
        "the pace of the pooling weights (C3 to C6, 8,000 to 12,000 steps), steps are scaled down "
        "(figures show published steps): effects that need all 12,000 could be missed.",
        "What died in that project was never recorded, only that 66.7% were zero: the schedules "
        "rebuild the numbers by the likeliest mechanism, and by one other.",
        "Mostly one width, one batch size, one optimiser (Adam), daily bars of one index. The "
        "scenario's truth is known, the bars' is not, and daily returns leave little to learn: on "
        "bars the zeros and the columns count, not the loss.",
        "An interval over seeds tells whether another seed would agree, not another market.",
    ]
    commands = (
        "```bash\n"
        "python -m src.train -m sweep=claims hydra/launcher=joblib   # every run\n"
        "python -m benchmarks.claims lightning_logs/sweeps/<the sweep's folder>   # this page\n"
        "python -m benchmarks.claims   # this page from docs/claims, without any run\n"
        "```"
    )
    return [
        "## How it was measured",
        "\n".join(f"- {fact}" for fact in facts),
        "**Limits.**",
        "\n".join(f"- {limit}" for limit in limits),
        commands,
        "Every number above comes from [runs.csv](claims/runs.csv), a row per run; the curves are "
        "in [curves.json](claims/curves.json).",
    ]


def _agreement(found: Mapping[str, Any] | None) -> str:
    """Say whether runs that were made again on another day, by later code, end alike."""
    if not found or not found["runs"]:
        return ""
    apart = f"within {as_percent(found['largest'])}" if found["largest"] else "in all six digits"
    again = count_of(found["runs"], "run")
    return f" {again} of one day made again on another: the last validation losses agree {apart}."


def _told_alive(judged: Judged) -> str:
    """Say where the same comparison with all features alive is told beside."""
    found = [c.id for c, v in judged if any(r.condition.endswith(f", {ALIVE}") for r in v.rows)]
    if not found:
        return "."
    return f"; in {listed(found)} the same with all features alive is told beside it."


def _some(names: Sequence[str], most: int = 3) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
