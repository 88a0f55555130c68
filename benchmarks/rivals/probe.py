"""Build programs and ask one package about each; a line of JSON a program, on standard output.

Runs in its own environment: `python -m benchmarks.rivals.probe torchdiag 1 posted seeded`.
"""

import importlib
import json
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.posted.program import PROGRAMS, Program, start
from benchmarks.rivals.adapters import Subject, ask

THEMES = ("axes", "wiring", "numerics", "sequences", "learning")
NETS = ("gru", "lstm", "tcn", "mixer", "hybrid", "stacked_rnn", "rnn", "resmlp", "rescnn")
"""Nets of the seeded faults, none of them tuned on; each fault takes the first that it fits."""


_KEPT: list[Any] = []
"""Schedulers, which no optimiser holds: they have to outlive the programs' making."""


def posted() -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield posted programs and their repaired twins, with what makes them."""
    for theme in THEMES:
        importlib.import_module(f"benchmarks.posted.{theme}")
    for program in PROGRAMS.values():
        for faulty in (True, False):
            facts = {"set": "posted", "program": program.name, "faulty": faulty}
            facts |= {"causes": program.causes, "half": program.half}
            yield facts, lambda p=program, f=faulty: _started(p, f)


def _started(program: Program, faulty: bool) -> Subject:
    setup = start(program, faulty)
    _KEPT.append(setup.scheduler)
    return Subject(*setup[:4])


def seeded() -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each seeded fault in one net, and as many plain runs, trained for 60 steps."""
    from benchmarks.faults.faults import FAULTS

    for number, fault in enumerate(FAULTS.values()):
        net = next((net for net in NETS if net in fault.architectures), "")
        if net and fault.name not in ("fp16_underflow", "scaler_collapse", "overclipped"):
            for faulty in (True, False):
                facts = {"set": "seeded", "program": f"{fault.name}/{net}", "faulty": faulty}
                facts |= {"causes": fault.causes, "half": "report"}
                name = fault.name if faulty else f"plain_{number:02d}"
                yield facts, lambda n=name, a=net, f=faulty: _trained(n, a, f)


def _trained(name: str, net: str, faulty: bool) -> Subject:
    from benchmarks.faults.cases import Case, prepare
    from benchmarks.faults.trial import run_trial

    seen = run_trial(prepare(Case("fault" if faulty else "plain", name, net, 0)))
    seen.optimizer.zero_grad()
    return Subject(seen.model, seen.batches, seen.loss_fn, seen.optimizer)


def main(package: str, every: int, sets: list[str]) -> None:
    """Ask about each so many-th program, and its twin, of some sets."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    makers = {"posted": posted, "seeded": seeded}
    for name in sets:
        for number, (facts, make) in enumerate(makers[name]()):
            if number // 2 % every:
                continue
            subject, error, said = make(), "", []
            begun = time.perf_counter()
            try:
                said = ask(package, subject)
            except Exception as problem:
                error = f"{type(problem).__name__}: {problem}".splitlines()[0][:200]
            seconds = round(time.perf_counter() - begun, 3)
            line = {**facts, "said": [list(one) for one in said[:20]], "error": error}
            print(json.dumps({**line, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
