"""Claims on pooling weights, left alone and pushed: C3, C4, C5, C6, C16."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.claims.rows import PUBLISHED_STEPS
from benchmarks.claims.table import ANY, NAMES, WORLDS, Runs
from benchmarks.claims.verdict import (
    CANNOT_TELL,
    CONFIRMED,
    REFUTED,
    TOO_FEW,
    Row,
    Verdict,
    fine_points,
    judge,
    listed,
    percent,
    plain,
    points,
    rate,
    share_of,
    span,
    verdict,
)
from benchmarks.claims.zeros import LEARNED, POINT, START
from src.reporting.statistics import Estimate, estimate

PACE: Mapping[str, Any] = {
    "schedule": "dead_inputs",
    "pooling": "learnable",
    "num_layers": 1,
    "hidden_size": ANY,
}
"""The small model that trains for 8,000 or all 12,000 steps."""
PUSHED = {**PACE, "prior": ANY}
SIGNS = {"published": "published sign", "descent": "sign of descent"}
MILESTONES = {"2k": 0.20, "6k": 0.40, "8k": 0.60}
PUBLISHED_LR = 1e-4
SPECIALISED = 0.02
HELD = "weight of the latest 3"
KEPT_LEAD = "latest 3 at 8,000 steps, to uniform start"
LARGEST = "the largest share"
SLACK, LEARNED_SHARE = 0.001, (0.10, 0.30)


def c3(runs: Runs) -> Verdict:
    """Learnable weights specialise by themselves."""
    rows, top, lengths = [], [], []
    for world in WORLDS:
        here = {**PACE, "data": world}
        for lr in runs.levels("lr", **here):
            std = runs.mean("std_end", **{**here, "lr": lr})
            leads = runs.values("top3_end", **{**here, "lr": lr})
            latest = bool(len(leads)) and bool((leads == 1).all())
            never = bool(len(leads)) and bool((leads == 0).all())
            met = judge(std, std.low > SPECIALISED and latest, std.high < SPECIALISED or never)
            title = f"Adam at {rate(lr)}"
            rows.append(Row(NAMES[world], title, "std of the weights", std, plain, met))
            recent = runs.mean("recent_end", **{**here, "lr": lr})
            rows.append(Row(NAMES[world], title, HELD, recent, percent))
            rows.append(Row(NAMES[world], title, "runs they lead in", share_of(leads), percent))
            top += list(leads)
            lengths += list(runs.values("steps", **{**here, "lr": lr}))
    stds = [row.value for row in rows if row.met and row.value.n]
    recents = [row.value for row in rows if row.quantity == HELD and row.value.n]
    sentence = (
        f"After {span(lengths, _steps)} steps the standard deviation of the weights is "
        f"{span(stds, plain)} and the latest three steps hold {span(recents, percent)} "
        f"(uniform: 15%); they are the largest three in {sum(top):g} of {len(top)} runs."
    )
    return verdict(rows, sentence, f"std {span(stds, plain)}")


def c4(runs: Runs) -> Verdict:
    """A start that favours the latest steps breaks uniformity."""
    rows: list[Row] = []
    for world in WORLDS:
        here = {**PACE, "data": world, "lr": ANY}
        for init, title in START.items():
            std = runs.mean("std_first", **here, init=init)
            recent = runs.mean("recent_first", **here, init=init)
            paired = ("seed", "lr")
            gain = runs.change("recent_8k", {**here, "init": init}, here, paired)
            met = judge(gain, gain.low > POINT, gain.high < POINT)
            rows += [
                Row(NAMES[world], title, "std at the first step", std, plain),
                Row(NAMES[world], title, "latest 3, first step", recent, percent),
                Row(NAMES[world], title, KEPT_LEAD, gain, points, met),
            ]
    parts = []
    for title in START.values():
        own = [row for row in rows if row.condition == title and row.value.n]
        if own:
            stds, recents, gains = (
                [row.value for row in own if row.form is form] for form in (plain, percent, points)
            )
            end = (
                f"; after 8,000 steps it is {span(gains, points)} from a uniform start's"
                if gains
                else ""
            )
            parts.append(
                f"The {title} gives the weights a standard deviation of {span(stds, plain)} "
                f"(uniform: 0) and the latest three steps {span(recents, percent)} of the weight "
                f"(uniform: 15%){end}."
            )
    leads = [row.value for row in rows if row.met and row.value.n]
    return verdict(rows, " ".join(parts), f"{span(leads, points)} after 8,000 steps")


def c5(runs: Runs) -> Verdict:
    """A KL weight of 0.1 passes three milestones."""
    rows: list[Row] = []
    published: dict[str, list[Estimate]] = {mark: [] for mark in MILESTONES}
    for world in WORLDS:
        here = {**PUSHED, "data": world, "kl_weight": 0.1}
        for lr in runs.levels("lr", **here):
            for mark, bound in MILESTONES.items():
                recent = runs.mean(f"recent_{mark}", **{**here, "lr": lr})
                is_published = bool(np.isclose(lr, PUBLISHED_LR))
                met = judge(recent, recent.low > bound, recent.high < bound)
                what = f"{mark} (> {bound:.0%})"
                title = f"Adam at {rate(lr)}"
                met_shown = met if is_published else ""
                rows.append(Row(NAMES[world], title, what, recent, percent, met_shown))
                if is_published and recent.n:
                    published[mark].append(recent)
        strong = runs.mean("recent_8k", **{**here, "lr": PUBLISHED_LR, "kl_weight": 0.5})
        rows.append(Row(NAMES[world], "KL 0.5, Adam at 1e-4", "8k (> 60%)", strong, percent))
    told = [span(found, percent) for found in published.values()]
    stronger = [r.value for r in rows if r.condition.startswith("KL") and r.value.n]
    rates = [row for row in rows if row.condition.startswith("Adam") and row.value.n]
    others = [row for row in rates if not row.met and "8k" in row.quantity]
    most = max(others, key=lambda row: row.value.mean, default=None)
    beside = (
        f"Of the other rates {most.condition} gets furthest by 8,000: "
        f"{percent(most.value.mean)} ({most.world}). "
        if most
        else ""
    )
    if stronger:
        where = listed([r.world for r in rows if r.condition.startswith("KL") and r.value.n])
        beside += f"A KL weight of 0.5 takes them to {span(stronger, percent)} at 1e-4 ({where}). "
    sentence = (
        f"With Adam at 1e-4, as published, the latest three steps hold {told[0]} at 2,000, "
        f"{told[1]} at 6,000 and {told[2]} at 8,000 steps, where 20%, 40% and 60% were promised. "
        f"{beside}60% is what the KL term's own target holds."
    )
    return verdict(rows, sentence, f"{' / '.join(told)}")


def c6(runs: Runs) -> Verdict:
    """Gradient injection pulls the weights to the target."""
    rows: list[Row] = []
    alone: dict[str, list[Estimate]] = {"published": [], "descent": []}
    beside: list[Estimate] = []
    for world in WORLDS:
        here = {**PUSHED, "data": world, "lr": ANY}
        for weight in runs.levels("kl_weight", **here, injection=ANY):
            for direction in alone:
                kl = {**here, "kl_weight": weight}
                injected = {**kl, "injection": direction}
                change = runs.change("recent_8k", injected, kl, ("seed", "lr"))
                decides = direction == "published" and not weight
                met = judge(change, change.low > 0, change.high < 0) if decides else ""
                title = f"{SIGNS[direction]}, " + (f"with KL {weight:g}" if weight else "no KL")
                rows.append(
                    Row(NAMES[world], title, "weight of the latest 3", change, fine_points, met)
                )
                if change.n:
                    (beside if weight else alone[direction]).append(change)
    told = [
        ("with the published sign and nothing else", alone["published"]),
        ("with the sign of descent", alone["descent"]),
        ("beside a KL term, with either sign,", beside),
    ]
    parts = [f"{how} it changes by {span(found, fine_points)}" for how, found in told if found]
    sentence = f"The weight of the latest three steps after 8,000 steps: {'; '.join(parts)}."
    number = f"{span(alone['published'], fine_points)} with the published sign"
    return verdict(rows, sentence, number)


def c16(runs: Runs) -> Verdict:
    """Uniform pooling gives each step 5% of the gradient, learned pooling 10% to 30% to some."""
    rows: list[Row] = []
    long: dict[str, list[tuple[Estimate, int, int]]] = {}
    for world in WORLDS:
        schedules = [s for s in ("none", "dead_inputs") if len(_shares(runs, world, s, "mean"))]
        for schedule in schedules[:1]:
            rows.append(_uniform(runs, world, schedule))
            for pooling in LEARNED:
                found = _shares(runs, world, schedule, pooling)
                rows += _largest(found, world, f"{pooling} pooling")[0]
        here = {**PACE, "data": world}
        for lr in runs.levels("lr", **here):
            found = runs.pick(**{**here, "lr": lr}).dropna(subset=["share_largest"])
            own, latest = _largest(found, world, f"learnable pooling (Adam at {rate(lr)}")
            rows += own
            if own[0].met not in ("", CANNOT_TELL):
                long.setdefault(rate(lr), []).append((own[0].value, latest, len(found)))
    shares = [row for row in rows if row.quantity == LARGEST]
    if not long:
        unmet = [row for row in shares if not row.met]
        rows = [replace(row, met=CANNOT_TELL) if row in unmet else row for row in rows]
    uniform = [row.value for row in shares if row.condition == "mean pooling" and row.value.n]
    short = [row.value for row in shares if row.met in ("", CANNOT_TELL) and row.value.n]
    at = {r: span([share for share, _, _ in found], percent) for r, found in long.items()}
    told = [
        f"{at[r]} with Adam at {r}, and that step is the latest in "
        f"{sum(latest for _, latest, _ in found)} of {sum(n for _, _, n in found)} runs"
        for r, found in long.items()
    ]
    sentence = (
        f"With mean pooling the largest share of any step is {span(uniform, percent)} of the "
        f"gradient. After the published {PUBLISHED_STEPS:,} steps with learnable weights it is "
        f"{'; '.join(told) or 'not known'}. In shorter runs, and with other learned poolings, it "
        f"is {span(short, percent)}."
    )
    number = ", ".join(f"{share} at {r}" for r, share in at.items())
    return verdict(rows, sentence, f"largest {number or span(short, percent)}")


def _largest(found: Any, world: str, title: str) -> tuple[list[Row], int]:
    """Return the rows of the largest share, and in how many runs it is the latest step's.

    Only runs of the published length decide.
    """
    share = estimate(found.groupby("seed")["share_largest"].mean())
    latest = (found["share_latest"] >= found["share_largest"] - 1e-9).to_numpy()
    within = share.low >= LEARNED_SHARE[0] and share.high <= LEARNED_SHARE[1]
    outside = share.high < LEARNED_SHARE[0] or share.low > LEARNED_SHARE[1]
    never = bool(len(latest)) and not latest.any()
    met = judge(share, within and bool(latest.all()), outside or never)
    is_long = bool(len(found)) and bool((found["steps"] >= PUBLISHED_STEPS).all())
    steps = f"{found['steps'].mean():,.0f} steps)" if len(found) else ")"
    title += (", " if "(" in title else " (") + steps
    row = Row(NAMES[world], title, LARGEST, share, percent, met * is_long)
    lead = Row(NAMES[world], title, "runs where it is the latest", share_of(latest), percent)
    return [row, lead], int(latest.sum())


def _shares(runs: Runs, world: str, schedule: str, pooling: str) -> Any:
    picked = runs.pick(data=world, schedule=schedule, pooling=pooling)
    return picked.dropna(subset=["share_largest"])


def _uniform(runs: Runs, world: str, schedule: str) -> Row:
    """Return mean pooling's row: each step of every run within 0.1 points of its 1 / T."""
    found = _shares(runs, world, schedule, "mean")
    ends = found[["share_smallest", "share_largest"]].sub(1 / found["window"], axis=0)
    share = estimate(found.groupby("seed")["share_largest"].mean())
    equal = bool((ends.abs() <= SLACK).all().all())
    met = TOO_FEW if share.n < 2 else CONFIRMED if equal else REFUTED
    return Row(NAMES[world], "mean pooling", LARGEST, share, percent, met)


def _steps(count: float) -> str:
    return f"{count:,.0f}"
