"""The list of cases, faulty and clean in equal number per architecture and seed, and one case run.

Clean runs are the traps and, up to the number of faulty ones, plain healthy runs.
"""

import time
import traceback
import zlib
from collections.abc import Collection
from typing import NamedTuple

import torch

from benchmarks.faults.alarms import Alarm, Diagnoser, ours
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.rivals import RIVALS
from benchmarks.faults.scoring import Answer, Result
from benchmarks.faults.traps import TRAPS
from benchmarks.faults.trial import Observation, Trial, make_trial, run_trial

DIAGNOSERS: dict[str, Diagnoser] = {"ours": ours, **RIVALS}


class Case(NamedTuple):
    """One run: `kind` is "fault", "trap" or "plain"."""

    kind: str
    name: str
    architecture: str
    seed: int


def list_cases(
    seeds: int,
    architectures: Collection[str] = tuple(ARCHITECTURES),
    faults: Collection[str] = tuple(FAULTS),
) -> list[Case]:
    """List the faulty runs, and as many clean runs on the same architectures.

    Args:
        seeds: runs per fault and architecture.
        architectures: names to keep.
        faults: names to keep.

    Returns:
        Cases ordered by architecture and seed. Where an architecture has fewer faults than there
        are traps, the traps take turns over the seeds.
    """
    cases = []
    for architecture in ARCHITECTURES:
        if architecture not in architectures:
            continue
        faulty = [f for f in faults if architecture in FAULTS[f].architectures]
        traps = [name for name, trap in TRAPS.items() if architecture in trap.architectures]
        clean = [("trap", name) for name in traps]
        clean += [("plain", f"plain_{i:02d}") for i in range(max(len(faulty) - len(traps), 1))]
        for seed in range(seeds):
            cases += [Case("fault", name, architecture, seed) for name in faulty]
            turn = [clean[(seed * len(faulty) + i) % len(clean)] for i in range(len(faulty))]
            cases += [Case(kind, name, architecture, seed) for kind, name in turn]
    return cases


def case_seed(case: Case) -> int:
    """Give every case its own data and weights."""
    return 1000 * case.seed + zlib.crc32(f"{case.name}/{case.architecture}".encode()) % 1000


def prepare(case: Case) -> Trial:
    """Set up the trial of a case and seed its fault or trap."""
    architecture, seed = ARCHITECTURES[case.architecture], case_seed(case)
    if case.kind == "plain":
        return make_trial(architecture, seed, classify=int(case.name[-2:]) % 2 == 1)
    if case.kind == "trap":
        trap = TRAPS[case.name]
        trial = make_trial(architecture, seed, **trap.setup)
        trap.prepare(trial)
        return trial
    fault = FAULTS[case.name]
    trial = make_trial(architecture, seed, **fault.setup)
    fault.inject(trial)
    return trial


def ask(diagnoser: Diagnoser, seen: Observation) -> Answer:
    """Ask one diagnoser; a crash is an answer without alarms that carries its error."""
    started, alarms, error = time.perf_counter(), list[Alarm](), None
    try:
        alarms = diagnoser(seen)
    except Exception as problem:
        where = traceback.extract_tb(problem.__traceback__)[-1]
        error = f"{type(problem).__name__}: {problem} ({where.name}:{where.lineno})"
    seconds = round(time.perf_counter() - started, 3)
    first = alarms[0] if alarms else Alarm("", ())
    named = tuple(dict.fromkeys(cause for alarm in alarms for cause in alarm.causes))
    return Answer(len(alarms), first.rule, first.causes, first.module, error, seconds, named)


def run_case(case: Case) -> Result:
    """Train one case and ask every diagnoser about it."""
    torch.set_num_threads(1)
    trial = prepare(case)
    seen = run_trial(trial)
    fault = FAULTS[case.name] if case.kind == "fault" else None
    return Result(
        kind=case.kind,
        name=case.name,
        architecture=case.architecture,
        tuned=ARCHITECTURES[case.architecture].tuned,
        seed=case.seed,
        causes=fault.causes if fault else (),
        modules=fault.modules(trial) if fault and fault.modules else None,
        answers={name: ask(diagnoser, seen) for name, diagnoser in DIAGNOSERS.items()},
    )
