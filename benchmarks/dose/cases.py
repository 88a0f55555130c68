"""One fault on one net at all of its doses: what is trained, and who is asked about it.

Apart from the command, whose own functions a process of a pool does not find.
"""

import math
import time
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from benchmarks.dose.ladders import LADDERS
from benchmarks.dose.scores import Dose
from benchmarks.faults.alarms import Alarm
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.cases import DIAGNOSERS
from benchmarks.faults.trial import Observation, evaluating, make_trial, run_trial


class Case(NamedTuple):
    """A ladder on one net: all its doses share one data set and one start."""

    ladder: str
    net: str
    seed: int


def loss_of(seen: Observation) -> float:
    """Return the share of the targets' variance that is left, over 512 samples."""
    batch = seen.trial.task.select(torch.arange(512))
    with evaluating(seen.model):
        preds = seen.model(batch.x, batch.mask).float()
    left = (preds - batch.y).square().mean() / batch.y.var(correction=0)
    return float(left) if math.isfinite(float(left)) else math.inf


def run_case(case: Case, asked: Sequence[str] = tuple(DIAGNOSERS)) -> list[Dose]:
    """Train one net at every dose and ask some diagnosers."""
    torch.set_num_threads(1)
    ladder, rungs = LADDERS[case.ladder], []
    seed = 1000 * case.seed + zlib.crc32(f"{case.ladder}/{case.net}".encode()) % 1000
    for rung, dose in enumerate(ladder.doses):
        trial = make_trial(ARCHITECTURES[case.net], seed)
        ladder.inject(dose)(trial)
        seen = run_trial(trial)
        loss, begun = loss_of(seen), time.perf_counter()
        named = {name: _causes(DIAGNOSERS[name], seen) for name in asked}
        seconds = round(time.perf_counter() - begun, 2)
        harm = loss / rungs[0].loss if rungs else 1.0
        rungs.append(Dose(*case, rung, dose, loss, harm, named, seconds))
    return rungs


def _causes(ask: Callable[[Observation], list[Alarm]], seen: Observation) -> list[list[str]]:
    try:
        return [list(alarm.causes) for alarm in ask(seen)]
    except Exception as error:
        return [[f"crash: {type(error).__name__}"]]
