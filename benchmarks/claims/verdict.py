"""A verdict: the word, the sentence that carries it, and the numbers it rests on."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from src.reporting.statistics import Estimate, estimate

CONFIRMED, REFUTED, MIXED = "confirmed", "refuted", "mixed"
NOT_REPRODUCED, CANNOT_TELL = "not reproduced", "cannot tell"
TOO_FEW, NO_RUNS = "too few seeds", "no runs"
WORDS = (CONFIRMED, REFUTED, NOT_REPRODUCED, MIXED, CANNOT_TELL, TOO_FEW, NO_RUNS)
SEEDS = 5
"""Seeds a verdict needs; below, it is provisional."""

Form = Callable[[float], str]


@dataclass(frozen=True)
class Row:
    """One measured quantity of one condition.

    Args:
        world: where it was measured.
        condition: what was varied.
        quantity: what was measured.
        value: mean over seeds and its interval.
        form: how its numbers are written.
        met: what this row alone says of the claim; empty where it is told beside it.
    """

    world: str
    condition: str
    quantity: str
    value: Estimate
    form: Form
    met: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Args:
        word: one of `WORDS`.
        sentence: what was measured, as one would say it.
        rows: what it rests on.
        number: the number that decided it.
    """

    word: str
    sentence: str
    rows: Sequence[Row] = field(default=())
    number: str = ""

    @property
    def seeds(self) -> int:
        """The fewest seeds any number rests on that decided."""
        return min((row.value.n for row in self.rows if row.met), default=0)

    @property
    def is_provisional(self) -> bool:
        """Whether it rests on too few seeds."""
        return self.word not in (TOO_FEW, NO_RUNS) and self.seeds < SEEDS


def judge(value: Estimate, confirmed: bool, refuted: bool) -> str:
    """Return what one number says; neither confirmed nor refuted is not reproduced."""
    if value.n < 2:
        return TOO_FEW
    return CONFIRMED if confirmed else REFUTED if refuted else NOT_REPRODUCED


def combine(words: Iterable[str]) -> str:
    """Return what several numbers say together: mixed where some confirm and others do not.

    >>> combine(["refuted", "refuted"]), combine(["refuted", "not reproduced"])
    ('refuted', 'not reproduced')
    >>> combine(["confirmed", "refuted"]), combine([])
    ('mixed', 'no runs')
    >>> combine(["confirmed", "cannot tell"]), combine(["refuted", "cannot tell"])
    ('cannot tell', 'not reproduced')
    """
    found = {word for word in words if word}
    if TOO_FEW in found:
        return TOO_FEW
    if CANNOT_TELL in found and found <= {CONFIRMED, CANNOT_TELL}:
        return CANNOT_TELL
    if len(found) < 2:
        return found.pop() if found else NO_RUNS
    return MIXED if found & {CONFIRMED, MIXED} else NOT_REPRODUCED


def verdict(rows: Sequence[Row], sentence: str, number: str = "", split: bool = True) -> Verdict:
    """Return the verdict of rows; where they disagree, the sentence says on what.

    Args:
        rows: all that was measured; those with a `met` decide.
        sentence: what was measured.
        number: the number that decided it.
        split: whether to name what confirms and what does not.
    """
    kept = tuple(row for row in rows if row.value.n)
    word = combine(row.met for row in kept)
    if word == NO_RUNS:
        return Verdict(NO_RUNS, "No run yet.")
    disagreement = len({row.met for row in kept if row.met}) > 1
    told = f"{sentence} {by_word(kept)}" if split and disagreement else sentence
    return Verdict(word, told, kept, number)


def by_word(rows: Sequence[Row]) -> str:
    """Say which rows say what, in no more words than tell them apart."""
    deciding = [row for row in rows if row.met]
    said: dict[str, list[str]] = {}
    for row in deciding:
        said.setdefault(row.met, []).append(_name(row, deciding))
    order = [word for word in WORDS if word in said]
    told = "; ".join(f"{word}: {listed(said[word])}" for word in order)
    return told[:1].upper() + told[1:] + "."


def _name(row: Row, rows: Sequence[Row]) -> str:
    """Name a row by its condition, and its world and quantity where these make a difference."""
    conditions = {other.condition for other in rows}
    alike = [other for other in rows if other.condition == row.condition]
    name = row.condition if len(conditions) > 1 else ""
    if len({other.quantity for other in alike}) > 1:
        name = ", ".join(filter(None, [name, row.quantity]))
        alike = [other for other in alike if other.quantity == row.quantity]
    if len({other.met for other in alike}) > 1 or not name:
        name = f"{name} ({row.world})" if name else row.world
    return name


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    unique = list(dict.fromkeys(names))
    return " and ".join(filter(None, [", ".join(unique[:-1]), unique[-1]])) if unique else ""


def span(values: Iterable[Any], form: Form) -> str:
    """Return the range of means as it is read: one number where all are written alike.

    >>> span([0.6666, 0.6667], percent), span([0.1, 0.2], percent), span([], percent)
    ('66.7%', '10.0% to 20.0%', '-')
    """
    means = [v.mean if isinstance(v, Estimate) else float(v) for v in values]
    means = [mean for mean in means if math.isfinite(mean)]
    if not means:
        return "-"
    low, high = form(min(means)), form(max(means))
    return low if low == high else f"{low} to {high}"


def percent(share: float) -> str:
    """Return a share in per cent; small ones keep a digit that counts.

    >>> percent(0.66667), percent(0.0004), percent(0), percent(1), percent(1e-9), percent(0.9999)
    ('66.7%', '0.04%', '0%', '100%', '1e-07%', '>99.9%')
    """
    in_percent = 100 * share
    if in_percent in (0, 100):
        return f"{in_percent:.0f}%"
    if 99.95 <= in_percent < 100:
        return ">99.9%"
    if abs(in_percent) < 0.01:
        return f"{in_percent:.0e}%"
    return f"{in_percent:.2f}%" if abs(in_percent) < 0.1 else f"{in_percent:.1f}%"


def points(share: float) -> str:
    """Return a difference of shares in percentage points; small ones keep a digit that counts.

    >>> points(-0.66667), points(0.0), points(-1e-5), points(1e-17)
    ('-66.7 points', '0 points', '-0.001 points', '0 points')
    """
    in_points = round(100 * share, 9)
    if abs(in_points) >= 0.05:
        return f"{in_points:+.1f} points"
    return f"{in_points:+.1g} points" if in_points else "0 points"


def fine_points(share: float) -> str:
    """Return a small difference of shares in percentage points.

    >>> fine_points(-0.00012), fine_points(0.0)
    ('-0.012 points', '0 points')
    """
    return f"{100 * share:+.3f} points" if share else "0 points"


def plain(value: float, sign: str = "") -> str:
    """Return a number with the digits that count.

    >>> plain(0.00012), plain(0.0043), plain(0.12345), plain(1.0012), plain(8.0), plain(1234.5)
    ('0.00012', '0.0043', '0.123', '1.001', '8.00', '1,234')
    """
    if value == 0:
        return "0"
    if abs(value) < 0.1:
        return f"{value:{sign}.2g}"
    decimals = 3 if abs(value) < 2 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:{sign},.{decimals}f}"


def signed(value: float) -> str:
    """Return a difference, with its sign.

    >>> signed(0.0123), signed(-3.0), signed(0.0)
    ('+0.012', '-3.00', '0')
    """
    return plain(value, "+")


def count_change(value: float) -> str:
    """Return a change of a count.

    >>> count_change(37.2), count_change(-0.01)
    ('+37', '0')
    """
    return f"{value:+.0f}" if round(value) else "0"


def rate(value: float) -> str:
    """Return a learning rate.

    >>> rate(0.0001), rate(0.003)
    ('1e-4', '3e-3')
    """
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def power(log10: float) -> str:
    """Return what a logarithm stands for.

    >>> power(-7.3), power(-0.3)
    ('5e-8', '0.501')
    """
    value = 10**log10
    return rate(value) if value < 0.001 else plain(value)


def power_percent(log10: float) -> str:
    """Return the share a logarithm stands for.

    >>> power_percent(-1), power_percent(-3.5), power_percent(-6)
    ('10.0%', '0.03%', '<0.01%')
    """
    return "<0.01%" if log10 < -4 else percent(10**log10)


def kept_times(log10: float) -> str:
    """Return the share a logarithm stands for, and from twice the whole on how many times it.

    >>> kept_times(-1), kept_times(-6), kept_times(2.4), kept_times(7.0)
    ('10.0%', '<0.01%', '251 times', '>1,000 times')
    """
    if log10 < math.log10(2):
        return power_percent(log10)
    return f"{10**log10:.3g} times" if log10 < 3 else ">1,000 times"


def share_of(flags: Iterable[Any]) -> Estimate:
    """Return in how many runs something is so, as a share; of a count there is no interval."""
    found = estimate([float(flag) for flag in flags])
    return found._replace(sd=math.nan, low=math.nan, high=math.nan, p_value=math.nan)


def interval(value: Estimate, form: Form) -> str:
    """Return the 95% interval; "-" where one seed leaves it open."""
    if math.isnan(value.low):
        return "-"
    return f"{form(value.low)} to {form(value.high)}"
