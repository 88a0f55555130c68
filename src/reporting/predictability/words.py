"""Says what can be predicted, by which model and how surely, in words that follow the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from src.reporting.predictability.scores import BRIER, GOAL, QLIKE, RMSE, Against, Judged, against
from src.reporting.predictability.store import NAIVE, NAMES
from src.reporting.standing import ALPHA
from src.reporting.statistics import holm
from src.reporting.text import count_of, listed, p_text, percents

OURS = ("lstm", "transformer")
HAR = "har"
NOTICEABLE = 0.01
"""Of what is lost: a smaller gain is called small, however sure it is."""


class Rival(NamedTuple):
    """A model of ours beside HAR, on one question about one series."""

    model: str
    where: str
    against: Against
    p_value: float

    @property
    def verdict(self) -> str:
        """What the test says, adjusted for all these comparisons."""
        if not self.p_value < ALPHA:
            return "cannot be told from HAR"
        return "beats HAR" if self.against.relative < 0 else "loses to HAR"


class Asked(NamedTuple):
    """What is asked of the models, in words that a layman understands.

    Attributes:
        kind: Of the questions.
        what: Is forecast; begins a sentence.
        baseline: The forecast that needs no model.
        measure: The loss that counts.
    """

    kind: str
    what: str
    baseline: str
    measure: str


ASKED = (
    Asked("return", "How far an index will rise or fall", "saying “no change”", RMSE),
    Asked("direction", "Whether it will rise", "saying how often it has risen so far", BRIER),
    Asked("volatility", "How much it will swing", "saying “as much as lately”", QLIKE),
)
SURE = (
    "(A difference counts where chance would make it in fewer than one of twenty such tables; "
    "less than that is called a draw.)"
)


def plain_words(judged: Sequence[Judged]) -> str:
    """Return the paragraph for a reader who knows no statistics: what, by which model, how sure."""
    parts = [headline(asked, of_kind(judged, asked.kind)) for asked in ASKED]
    parts += [rival_words(rivals(of_kind(judged, "volatility"))), coverage_words(judged), SURE]
    return " ".join(part for part in parts if part)


def of_kind(judged: Sequence[Judged], kind: str) -> list[Judged]:
    """Return the questions of a kind."""
    return [one for one in judged if one.kept.question.kind == kind]


def headline(asked: Asked, judged: Sequence[Judged]) -> str:
    """Say whether anything predicts better than no model, which does best, and by how much."""
    if not judged:
        return ""
    told = [one for one in judged if _better(one, asked.measure)]
    if not told:
        return (
            f"**{asked.what}: no.** Nothing that was tried is shown to do better than "
            f"{asked.baseline}."
        )
    best = _best_over(told, asked.measure)
    gains = [one.cells[asked.measure][best].against for one in told]
    sizes = [-gain.relative for gain in gains if gain]
    sure = "yes" if len(told) == len(judged) else "in part"
    hardly = ", but hardly" if max(sizes) < NOTICEABLE else ""
    ties = _ties(best, told, asked.measure, rivals(judged))
    also = f" ({listed(ties)} cannot be told from it)" if ties else ""
    return (
        f"**{asked.what}: {sure}{hardly}.** Best by {best}{also}: it loses {percents(sizes)} less "
        f"than {asked.baseline} does, in {len(told)} of {len(judged)} cases beyond chance."
    )


def _ties(best: str, told: Sequence[Judged], measure: str, found: Sequence[Rival]) -> list[str]:
    """Return what every confidence set keeps beside the best, but for what a test tells from it.

    The set may keep HAR where the test of the two alone, which the page shows too, tells them
    apart: then it is said in how many cases it does not.
    """
    apart = {(one.where, frozenset({one.model, HAR})) for one in found if one.p_value < ALPHA}
    ties = []
    for name in told[0].cells[measure]:
        if name in (best, NAIVE) or not all(_kept(one, measure, name) for one in told):
            continue
        count = sum((where(one), frozenset({best, name})) not in apart for one in told)
        if count:
            some = "" if count == len(told) else f" in {count} of {len(told)} cases"
            ties.append(name + some)
    return ties


def _kept(one: Judged, measure: str, name: str) -> bool:
    cell = one.cells[measure].get(name)
    return cell is not None and cell.in_set


def _best_over(told: Sequence[Judged], measure: str) -> str:
    """Return the model that is better in the most cases, and there loses least on average."""
    names = dict.fromkeys(name for one in told for name in _better(one, measure))

    def rank(name: str) -> tuple[int, float]:
        gains = [one.cells[measure][name].against for one in told if name in _better(one, measure)]
        return -len(gains), sum(gain.relative for gain in gains if gain) / len(gains)

    return min(names, key=rank)


def gain_words(asked: Asked, judged: Sequence[Judged]) -> list[str]:
    """Return what was found of each question, with its interval."""
    return [_told(one, asked.measure) or _untold(one, asked.measure) for one in judged]


def _better(one: Judged, measure: str) -> list[str]:
    """Return the models that are told from the baseline and lose less, the best one first."""
    cells = one.cells[measure]
    found = [name for name, cell in cells.items() if cell.mark.startswith("+")]
    return sorted(found, key=lambda name: float(one.losses[measure][name].mean()))


def _told(one: Judged, measure: str) -> str:
    """Say which models predict better, or nothing."""
    better = _better(one, measure)
    if not better:
        return ""
    kept = [name for name in better if one.cells[measure][name].in_set]
    also = [name for name in kept if name != better[0]]
    with_it = f" (the confidence set keeps {listed(also)} too)" if also else ""
    return f"{where(one)} best by {better[0]}{with_it}, {_sized(one, measure, better[0])}"


def _untold(one: Judged, measure: str) -> str:
    """Say which model loses least, though it may be by chance."""
    others = {name: cell for name, cell in one.cells[measure].items() if cell.against}
    name = min(others, key=lambda model: float(one.losses[measure][model].mean()))
    size = _sized(one, measure, name)
    return f"{where(one)} nothing told from the naive forecast; least by {name}, {size}"


def _sized(one: Judged, measure: str, name: str) -> str:
    cell = one.cells[measure][name]
    assert cell.against is not None
    return f"{change_words(cell.against)} (p {p_text(cell.p_value)})"


def change_words(own: Against) -> str:
    """Say how much less or more is lost, with the 95% interval.

    >>> change_words(Against(-0.2, -0.25, -0.15, 0.001))
    '20.0% less loss (95% interval 15.0% to 25.0% less)'
    >>> change_words(Against(0.01, -0.01, 0.03, 0.3))
    '1.0% more loss (95% interval 1.0% less to 3.0% more)'
    """
    ends = sorted((own.low, own.high), key=abs) if own.low * own.high > 0 else (own.low, own.high)
    shown = [_way(end) for end in ends]
    if own.low * own.high > 0:
        shown[0] = shown[0].split()[0]
    return f"{_way(own.relative)} loss (95% interval {shown[0]} to {shown[1]})"


def _way(share: float) -> str:
    return f"{abs(share):.1%} {'less' if share < 0 else 'more'}"


def where(one: Judged) -> str:
    """Return which series, what of it and how many days ahead, short."""
    question = one.kept.question
    days = count_of(question.horizon, "day")
    return f"{NAMES.get(one.kept.series, one.kept.series)}, {question.kind}, {days}:"


def rivals(judged: Sequence[Judged]) -> list[Rival]:
    """Return our models beside HAR, on every question of volatility, adjusted together (Holm)."""
    found = []
    for one in judged:
        losses = one.losses.get(QLIKE, {})
        for name in OURS:
            if name in losses and HAR in losses:
                test = against(losses[name], losses[HAR], one.kept.question.horizon)
                found.append(Rival(name, where(one), test, test.p_value))
    adjusted = holm([one.p_value for one in found])
    return [one._replace(p_value=p) for one, p in zip(found, adjusted, strict=True)]


def rival_words(found: Sequence[Rival]) -> str:
    """Say whether a model of ours beats HAR on volatility."""
    if not found:
        return ""
    won = sum(one.verdict == "beats HAR" for one in found)
    lost = sum(one.verdict == "loses to HAR" for one in found)
    head = "no" if not won else "yes" if won == len(found) else "in part"
    return (
        f"**Do our networks beat HAR, the classical model of swings: {head}.** Of {len(found)} "
        f"comparisons they win {won}, lose {lost}, and {len(found) - won - lost} are a draw."
    )


def rival_list(found: Sequence[Rival]) -> list[str]:
    """Return each comparison with HAR, with its interval."""
    return [
        f"{one.where} {one.model} {one.verdict}: {change_words(one.against)}, p "
        f"{p_text(one.p_value)}"
        for one in found
    ]


def coverage_words(judged: Sequence[Judged]) -> str:
    """Say whether 95% intervals held as often as they should over all years: hit or missed."""
    shares = [one.coverage(name, 0.95) for one in judged for name in one.spreads]
    if not shares:
        return ""
    low, high = GOAL
    within = sum(low <= share <= high for share in shares)
    head = "yes" if within == len(shares) else "no" if not within else "in part"
    span = " to ".join(dict.fromkeys(f"{share:.1%}" for share in (min(shares), max(shares))))
    rigid = [float(held.mean()) for one in judged for held in one.rigid.values()]
    before = sum(low <= share <= high for share in rigid)
    return (
        f"**Do 95% intervals hold on 94 to 96% of all days: {head}.** They held on {span} of them, "
        f"within the goal in {within} of {len(shares)} rows of the tables ({before} where their "
        "level does not follow how often they held before)."
    )
