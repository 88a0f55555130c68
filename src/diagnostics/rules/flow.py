"""Causes that sit between layers or steps: gradients that fade or grow on the way back."""

from collections.abc import Mapping

from torch import Tensor

from src.diagnostics.findings import Finding
from src.diagnostics.memory import reach
from src.diagnostics.record import ModuleRecord, Record
from src.diagnostics.rules.initial import weight_gain

FADED = 1e-4
"""Flow at the earliest layer over that at the latest, below which a gradient has vanished."""
GROWN = 1e3
"""The same ratio above which it has exploded."""
LONG, REMEMBERED = 100, 0.2
"""A recurrent layer over at least LONG steps forgets if less than this share of them matters."""
GROWN_OVER_TIME, GROWN_BY_GAIN, GAIN = 30.0, 3.0, 1.5
"""Largest over latest influence of a time step, above which a recurrent gradient explodes: by
itself, or, as a weaker sign, with recurrent weights of this gain (0.6 is usual)."""


def find_vanishing(record: Record) -> list[Finding]:
    """Find gradients that shrink by orders of magnitude from the last layer or step back."""
    findings = []
    for module in record.called:
        over_time = module.input_over_time
        if over_time is None or len(over_time) < LONG or not over_time[-1] > 0:
            continue
        steps = reach(over_time / over_time.max())
        if steps < REMEMBERED * len(over_time):
            evidence = {"steps_reached": steps, "steps": len(over_time), **_ends(over_time)}
            findings.append(
                _finding(
                    record,
                    "vanishing",
                    module,
                    1 - steps / len(over_time),
                    evidence,
                    "Shorten the window (data.context_length), use model=lstm, or pool over all"
                    " steps (pooling=mean).",
                )
            )
    path = _path(record)
    if len(path) > 2 and 0 < path[0].flow < FADED * path[-1].flow:
        faded: dict[str, object] = {
            "ratio": path[0].flow / path[-1].flow,
            "layers": len(path),
            "first_layer": path[0].name,
        }
        remedy = "Use residual connections, normalisation or a rectified activation between layers."
        findings.append(_finding(record, "vanishing", _midway(path), 1.0, faded, remedy))
    return findings


def _midway(path: list[ModuleRecord]) -> ModuleRecord:
    """Return the layer at which the gradient has lost half of its orders of magnitude."""
    halfway = (path[0].flow * path[-1].flow) ** 0.5
    return [module for module in path if module.flow <= halfway][-1]


def find_exploding(record: Record) -> list[Finding]:
    """Find gradients that grow by orders of magnitude on the way back."""
    findings = []
    for module in record.called:
        over_time = module.input_over_time
        if over_time is None or len(over_time) < 4 or not over_time[-1] > 0:
            continue
        growth = float(over_time.max() / over_time[-1])
        gain = _recurrent_gain(record, module)
        if growth >= GROWN_OVER_TIME or (growth >= GROWN_BY_GAIN and gain >= GAIN):
            evidence = {"growth_over_time": growth, "recurrent_gain": gain, **_ends(over_time)}
            findings.append(_finding(record, "exploding", module, 1.0, evidence, _CLIP))
    path = _path(record)
    if len(path) > 2 and path[0].flow > GROWN * path[-1].flow > 0:
        evidence = {"ratio": path[0].flow / path[-1].flow, "layers": len(path)}
        findings.append(_finding(record, "exploding", path[0], 1.0, evidence, _CLIP))
    return findings


_CLIP = "Clip the gradient (trainer.gradient_clip_val=1.0) and lower the gain of these weights."


def _recurrent_gain(record: Record, module: ModuleRecord) -> float:
    return max(
        (
            weight_gain(parameter.weight)
            for parameter in record.own(module.name)
            if parameter.local_name.startswith("weight_hh")
        ),
        default=0.0,
    )


def _path(record: Record) -> list[ModuleRecord]:
    """Return the layers with a weight matrix, in order, that a gradient reaches."""
    return [m for m in record.called if m.connected and record.weight(m.name) is not None]


def _ends(over_time: Tensor) -> dict[str, float]:
    return {"first_step": float(over_time[0]), "last_step": float(over_time[-1])}


def _finding(
    record: Record,
    cause: str,
    module: ModuleRecord,
    fraction: float,
    evidence: Mapping[str, object],
    remedy: str,
) -> Finding:
    weight = record.weight(module.name)
    return Finding(
        cause=cause,
        module=module.name,
        parameter=weight.name if weight else None,
        fraction=fraction,
        evidence=evidence,
        remedy=remedy,
    )
