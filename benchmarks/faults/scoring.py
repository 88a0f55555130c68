"""From answers to rates: pure functions of recorded results.

- detection recall: share of faulty runs with any alarm;
- cause, accepted / primary: share of faulty runs whose first alarm names an accepted / the primary
  cause; a run without alarm counts as wrong; by any alarm: some alarm names an accepted cause;
- module: share of faulty runs with a place whose first alarm points at it;
- false alarms: share of clean runs with any alarm. A crash is a miss, and on a clean run an alarm.

The seeds of a fault in a net nearly always agree, so intervals count pairs of fault and net.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Z_95 = 1.959963984540054


class Answer(NamedTuple):
    """What one diagnoser said of one run: how many alarms, the first, and the causes of all."""

    alarms: int
    rule: str = ""
    causes: Sequence[str] = ()
    module: str | None = None
    error: str | None = None
    seconds: float = 0.0
    any_causes: Sequence[str] | None = None


class Result(NamedTuple):
    """One run, what was true of it, and every diagnoser's answer; clean runs have no causes."""

    kind: str
    name: str
    architecture: str
    tuned: bool
    seed: int
    causes: Sequence[str]
    modules: Sequence[str] | None
    answers: Mapping[str, Answer]

    @property
    def faulty(self) -> bool:
        """Whether a fault was seeded."""
        return self.kind == "fault"


class Rate(NamedTuple):
    """Hits out of a total; runs of one cluster agree, so the interval counts clusters."""

    hits: int
    total: int
    clusters: int | None = None

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.hits / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of Wilson (1927).

        >>> low, high = Rate(9, 10).interval
        >>> round(low, 3), round(high, 3)
        (0.596, 0.982)
        """
        if not self.total:
            return math.nan, math.nan
        n = self.total if self.clusters is None else self.clusters
        share, z2 = self.value, Z_95**2
        centre = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


class Scores(NamedTuple):
    """The rates of one diagnoser over one set of runs."""

    recall: Rate
    cause: Rate
    primary: Rate
    any_alarm: Rate
    module: Rate
    false_alarms: Rate


def is_at(module: str | None, accepted: Sequence[str]) -> bool:
    """Tell whether a module is one of the accepted ones or lies beneath one.

    >>> is_at("body.0.linear", ["body.0"]), is_at("body.01", ["body.0"]), is_at("body", [""])
    (True, False, False)
    """
    if module is None:
        return False
    return any(module == name or (name and module.startswith(name + ".")) for name in accepted)


def is_silent(answer: Answer) -> bool:
    """Tell whether a diagnoser ran and raised no alarm."""
    return answer.alarms == 0 and answer.error is None


def names_cause(answer: Answer, accepted: Sequence[str]) -> bool:
    """Tell whether the first alarm names one of these causes."""
    return answer.alarms > 0 and not set(answer.causes).isdisjoint(accepted)


def clustered(
    items: Iterable[Any], hit: Callable[[Any], bool], cluster: Callable[[Any], Hashable]
) -> Rate:
    """Count the items that hit, with an interval over clusters.

    >>> rate = clustered([1, 1, 1, 0], bool, lambda item: item)
    >>> rate.value, rate.total, rate.clusters
    (0.75, 4, 2)
    """
    items = list(items)
    return Rate(sum(map(hit, items)), len(items), len(set(map(cluster, items))))


def score(results: Iterable[Result], diagnoser: str) -> Scores:
    """Score one diagnoser.

    Args:
        results: faulty and clean runs.
        diagnoser: key of their answers.
    """
    results = list(results)
    faulty = [result for result in results if result.faulty]
    clean = [result for result in results if not result.faulty]
    placed = [result for result in faulty if result.modules is not None]

    def answer(result: Result) -> Answer:
        return result.answers[diagnoser]

    def rate(runs: list[Result], hit: Callable[[Result], bool]) -> Rate:
        return clustered(runs, hit, lambda run: (run.name, run.architecture))

    recorded = [run for run in faulty if answer(run).any_causes is not None]

    return Scores(
        recall=rate(faulty, lambda r: answer(r).alarms > 0),
        cause=rate(faulty, lambda r: names_cause(answer(r), r.causes)),
        primary=rate(faulty, lambda r: names_cause(answer(r), r.causes[:1])),
        any_alarm=rate(
            recorded, lambda r: not set(answer(r).any_causes or ()).isdisjoint(r.causes)
        ),
        module=rate(
            placed, lambda r: answer(r).alarms > 0 and is_at(answer(r).module, r.modules or ())
        ),
        false_alarms=rate(clean, lambda r: not is_silent(answer(r))),
    )


def group(results: Iterable[Result], key: Callable[[Result], str]) -> dict[str, list[Result]]:
    """Sort results into groups, in order of first appearance."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups
