"""Dose and harm: each fault at eight doses, how much it hurts, and from where on it is named.

A fault that hurts nobody need not be named, and one that hurts has to be. Harm is the loss over
that of the clean twin after equally many steps, each on its own data, targets brought to one scale.

Usage: python -m benchmarks.dose [--ladders a b] [--nets a b] [--seeds 1] [--write]
"""

import argparse
import json
import math
import multiprocessing
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.faults import injectors
from benchmarks.faults.alarms import Alarm
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.cases import DIAGNOSERS
from benchmarks.faults.report import markdown_table, show_rate
from benchmarks.faults.scoring import Rate, clustered
from benchmarks.faults.trial import Observation, Trial, evaluating, make_trial, run_trial

RESULTS = Path(__file__).parent / "results"
NETS = ("mlp", "gru", "lstm", "tcn", "mixer", "hybrid")
HARMLESS, HARMFUL = 1.1, 1.5
"""Harm up to which silence is right, and from which on naming is a must."""
BINS = ((0.0, HARMLESS), (HARMLESS, HARMFUL), (HARMFUL, 3.0), (3.0, math.inf))


class Ladder(NamedTuple):
    """One fault at eight doses.

    Args:
        says: what a dose is.
        causes: accepted names.
        doses: from none at all to the one of the fault benchmark or more.
        inject: dose -> edit of a healthy trial.
        fits: the nets that it can be seeded in.
    """

    says: str
    causes: tuple[str, ...]
    doses: tuple[float, ...]
    inject: Callable[[float], Callable[[Trial], None]]
    fits: Callable[[str], bool] = lambda name: True


def scale_weights(factor: float, trial: Trial) -> None:
    """Multiply every weight matrix."""
    with torch.no_grad():
        for parameter in trial.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(factor)


def scale_targets(factor: float, trial: Trial) -> None:
    """Multiply the targets."""
    trial.task.y *= factor


def steepen_tanh(factor: float, trial: Trial) -> None:
    """Multiply what enters the trunk's tanh."""
    linear, activation = trial.model.trunk.children()
    trial.model.trunk = nn.Sequential(linear, injectors.Scale(factor), activation)


def kill_units(share: float, trial: Trial) -> None:
    """Give a share of a rectified layer's units a bias of -10."""
    assert trial.architecture.relu is not None
    layer = trial.model.get_submodule(trial.architecture.relu.shifted)
    bias = layer.get_parameter("bias")
    with torch.no_grad():
        bias[len(bias) - round(share * len(bias)) :] = -10.0


def empty_features(count: float, trial: Trial) -> None:
    """Make features zero."""
    trial.task.x[:, :, injectors.choose_features(trial, round(count))] = 0.0


def clip(norm: float, trial: Trial) -> None:
    """Clip the gradient norm, under plain gradient descent."""
    trial.clip_norm, trial.optimizer, trial.lr = norm, "sgd", 0.02


def stack_sigmoids(layers: float, trial: Trial) -> None:
    """Put sigmoid layers between pooling and head."""
    width = trial.model.head.get_parameter("weight").shape[1]
    stack = [m for _ in range(round(layers)) for m in (nn.Linear(width, width), nn.Sigmoid())]
    trial.model.trunk = nn.Sequential(trial.model.trunk, *stack)


def _has_tanh(name: str) -> bool:
    return ARCHITECTURES[name].tanh is not None and name in ("mlp", "lstm", "mixer", "hybrid")


def _has_relu(name: str) -> bool:
    return ARCHITECTURES[name].relu is not None


TIMES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4)
LADDERS: dict[str, Ladder] = {
    "features": Ladder(
        "13 of 129 features times",
        ("misscaled_input",),
        TIMES,
        injectors.scale_features,
    ),
    "targets": Ladder(
        "targets times", ("misscaled_target",), TIMES, lambda d: partial(scale_targets, d)
    ),
    "rate": Ladder(
        "learning rate times",
        ("learning_rate_too_high",),
        (1.0, 2.0, 4.0, 10.0, 30.0, 100.0, 300.0, 1e3),
        injectors.scale_rate,
    ),
    "slow rate": Ladder(
        "learning rate times",
        ("learning_rate_too_low",),
        (1.0, 0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-6),
        injectors.scale_rate,
    ),
    "weights": Ladder(
        "all weight matrices times",
        ("large_init",),
        (1.0, 1.5, 2.0, 3.0, 6.0, 10.0, 20.0, 50.0),
        lambda d: partial(scale_weights, d),
    ),
    "tanh": Ladder(
        "what enters the tanh times",
        ("saturated",),
        (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0),
        lambda d: partial(steepen_tanh, d),
        _has_tanh,
    ),
    "dead units": Ladder(
        "dead share of a rectified layer",
        ("dead_unit",),
        (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0),
        lambda d: partial(kill_units, d),
        _has_relu,
    ),
    "dead features": Ladder(
        "zero features of 129",
        ("dead_input", "duplicate_input"),
        (0.0, 8.0, 32.0, 64.0, 86.0, 110.0, 125.0, 128.0),
        lambda d: partial(empty_features, d),
    ),
    "clipping": Ladder(
        "gradient norm clipped at",
        ("overclipped",),
        (10.0, 1.0, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-6),
        lambda d: partial(clip, d),
    ),
    "sigmoids": Ladder(
        "sigmoid layers before the head",
        ("vanishing",),
        (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0),
        lambda d: partial(stack_sigmoids, d),
    ),
}


class Dose(NamedTuple):
    """One run: `harm` over the clean twin, and the causes that each diagnoser named in order."""

    ladder: str
    net: str
    seed: int
    rung: int
    dose: float
    loss: float
    harm: float
    named: dict[str, list[list[str]]]
    seconds: float


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


def run_case(case: Case) -> list[Dose]:
    """Train one net at every dose and ask every diagnoser."""
    torch.set_num_threads(1)
    ladder, rungs = LADDERS[case.ladder], []
    seed = 1000 * case.seed + zlib.crc32(f"{case.ladder}/{case.net}".encode()) % 1000
    for rung, dose in enumerate(ladder.doses):
        trial = make_trial(ARCHITECTURES[case.net], seed)
        ladder.inject(dose)(trial)
        seen = run_trial(trial)
        loss, begun = loss_of(seen), time.perf_counter()
        named = {name: _causes(ask, seen) for name, ask in DIAGNOSERS.items()}
        seconds = round(time.perf_counter() - begun, 2)
        harm = loss / rungs[0].loss if rungs else 1.0
        rungs.append(Dose(*case, rung, dose, loss, harm, named, seconds))
    return rungs


def _causes(ask: Callable[[Observation], list[Alarm]], seen: Observation) -> list[list[str]]:
    try:
        return [list(alarm.causes) for alarm in ask(seen)]
    except Exception as error:
        return [[f"crash: {type(error).__name__}"]]


def is_named(dose: Dose, diagnoser: str = "ours", first: bool = True) -> bool:
    """Return whether the first alarm, or any, names an accepted cause."""
    alarms = dose.named[diagnoser][: 1 if first else None]
    return any(cause in LADDERS[dose.ladder].causes for alarm in alarms for cause in alarm)


def in_bin(doses: Sequence[Dose], low: float, high: float) -> list[Dose]:
    """Return the doses whose harm lies in a bin; a loss that is no number hurts without end."""
    return [d for d in doses if low <= (d.harm if math.isfinite(d.harm) else 1e9) < high]


def share(doses: Sequence[Dose], hit: Callable[[Dose], bool]) -> Rate:
    """Return a share whose interval is clustered by fault and net."""
    return clustered(doses, hit, lambda dose: (dose.ladder, dose.net))


def summary(doses: Sequence[Dose]) -> list[list[str]]:
    """Say per bin of harm how often each diagnoser speaks, and how often it names the fault."""
    rows = []
    for low, high in BINS:
        part = in_bin(doses, low, high)
        label = f"{low:g} to {high:g}" if low and math.isfinite(high) else f"from {low:g}"
        label = f"below {high:g}" if not low else label
        for name in DIAGNOSERS:
            rates = (
                share(part, lambda d, n=name: bool(d.named[n])),  # type: ignore[misc]
                share(part, lambda d, n=name: is_named(d, n)),  # type: ignore[misc]
                share(part, lambda d, n=name: is_named(d, n, first=False)),  # type: ignore[misc]
            )
            rows.append([label, name, str(len(part)), *map(show_rate, rates)])
    return rows


def ladder_rows(doses: Sequence[Dose]) -> list[list[str]]:
    """Say per ladder what a dose does and how often ours names it: harm, and named of runs."""
    rows = []
    for name, ladder in LADDERS.items():
        cells = []
        for rung, dose in enumerate(ladder.doses):
            part = [d for d in doses if d.ladder == name and d.rung == rung]
            if not part:
                break
            harms = sorted(d.harm for d in part)
            named, spoke = sum(map(is_named, part)), sum(bool(d.named["ours"]) for d in part)
            other = f" (+{spoke - named})" if spoke > named else ""
            cells.append(f"{dose:g}: x{harms[len(harms) // 2]:.3g}, {named}/{len(part)}{other}")
        if cells:
            rows.append([f"{name}: {ladder.says}", *cells])
    return rows


def missed(doses: Sequence[Dose]) -> list[list[str]]:
    """List what hurts by half and is not named first, and what is named but hurts nobody."""
    rows = []
    for dose in doses:
        said = ", ".join(alarm[0] for alarm in dose.named["ours"][:3]) or "silent"
        wrong = dose.harm >= HARMFUL and not is_named(dose)
        false = dose.harm < HARMLESS and bool(dose.named["ours"])
        if wrong or false:
            what = f"{dose.ladder} {dose.dose:g}"
            rows.append([what, dose.net, f"{dose.harm:.3g}", said])
    return rows


def plot(doses: Sequence[Dose], path: Path) -> None:
    """Draw harm over dose per ladder; filled where named, a cross where something else is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 5, figsize=(16, 6), sharey=True, layout="constrained")
    marks = {"named first": "o", "something else is": "x", "silent": "."}
    for axis, (name, ladder) in zip(axes.flat, LADDERS.items(), strict=True):
        for kind, marker in marks.items():
            part = [d for d in doses if d.ladder == name and _kind(d) == kind]
            x = [d.rung + 0.08 * (NETS.index(d.net) - 2.5) for d in part]
            y = [min(max(d.harm, 0.5), 1e3) for d in part]
            axis.plot(x, y, marker, label=kind, color={"o": "C2", "x": "C3", ".": "C7"}[marker])
        axis.axhspan(HARMFUL, 1e3, color="C1", alpha=0.08)
        axis.set(title=name, xlabel=ladder.says, yscale="log", xticks=range(len(ladder.doses)))
        axis.set_xticklabels([f"{dose:g}" for dose in ladder.doses], fontsize=7)
    axes[0, 0].legend()
    for axis in axes[:, 0]:
        axis.set_ylabel("loss over the clean twin's")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _kind(dose: Dose) -> str:
    if is_named(dose):
        return "named first"
    return "something else is" if dose.named["ours"] else "silent"


def write(doses: Sequence[Dose], command: str, seconds: float) -> None:
    """Write the committed table, records and picture."""
    harmful = [d for d in doses if d.harm >= HARMFUL]
    harmless = [d for d in doses if d.harm < HARMLESS]
    goal = share(harmful, is_named)
    quiet = share(harmless, lambda dose: not dose.named["ours"])
    heads = ["harm", "diagnoser", "runs", "any alarm", "named first", "named by any alarm"]
    nets = len({dose.net for dose in doses})
    text = f"""# Dose and harm

`{command}`: {len(LADDERS)} faults at eight doses in {nets} nets, {len(doses)} runs of 60 steps,
{seconds:.0f} s, torch {torch.__version__}. Harm: the share of the targets' variance that is left
over that of the clean twin, the ladder's first dose. Intervals are 95% Wilson over clusters (fault
and net).

Where the loss is {HARMFUL} times the twin's or worse, ours names the fault first in
{show_rate(goal)} of {goal.total} runs (goal: 0.9). Where it is below {HARMLESS} times, ours is
silent in {show_rate(quiet)} of {quiet.total} runs.

![harm over dose](dose.png)

## By harm

{markdown_table(heads, summary(doses))}

## By fault: dose, median harm, named first of runs (+ other alarms)

{markdown_table(["fault", *(f"dose {i}" for i in range(1, 9))], ladder_rows(doses))}

## Harmful and not named first, or harmless and not silent

{markdown_table(["fault and dose", "net", "harm", "ours says"], missed(doses))}
"""
    (RESULTS / "dose.md").write_text(text, encoding="utf-8")
    records = [{**d._asdict(), "loss": f"{d.loss:.6g}", "harm": f"{d.harm:.6g}"} for d in doses]
    facts: dict[str, Any] = {"command": command, "seconds": round(seconds), "runs": records}
    (RESULTS / "dose.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    plot(doses, RESULTS / "dose.png")


def rescore() -> None:
    """Write the tables again from the committed records."""
    facts = json.loads((RESULTS / "dose.json").read_text())
    numbers = ("loss", "harm")
    runs = [Dose(**{**run, **{key: float(run[key]) for key in numbers}}) for run in facts["runs"]]
    write(runs, facts["command"], facts["seconds"])


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dose", description=__doc__)
    parser.add_argument("--ladders", nargs="+", choices=list(LADDERS), default=list(LADDERS))
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--seeds", type=int, default=1, help="runs per fault, net and dose")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rescore", action="store_true", help="score the committed runs again")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}/dose.*")
    options = parser.parse_args(arguments)
    if options.rescore:
        return rescore()
    cases = [
        Case(ladder, net, seed)
        for ladder in options.ladders
        for net in options.nets
        for seed in range(options.seeds)
        if LADDERS[ladder].fits(net)
    ]
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        doses = [dose for rungs in pool.imap(run_case, cases) for dose in rungs]
    for row in summary(doses):
        print("  ".join(row))
    if options.write:
        command = " ".join(["python -m benchmarks.dose", *arguments])
        write(doses, command, time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1:])
