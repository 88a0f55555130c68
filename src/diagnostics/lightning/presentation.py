"""How measured gradients and findings are named and shown."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ..findings import Diagnosis, Finding
from ..measuring.counts import Measurement
from ..measuring.details import (
    HIGHEST_EXPONENT,
    LOWEST_EXPONENT,
    DetailMeasurement,
    GradientDetails,
)
from .log_writer import LogWriter

EDGES = tuple(range(LOWEST_EXPONENT - 1, HIGHEST_EXPONENT + 2))
"""Edges of the magnitude histogram in log2; exact zeros fill the lowest bin."""
DEAD_ROW, DEAD_COLUMN = (0.0, 114.0, 178.0), (230.0, 159.0, 0.0)
"""Colours the colour-blind can tell apart (Okabe and Ito, 2008)."""
_WEIGHT = re.compile(r"zero_grad_fraction/(?!.*norm).*weight")


def measurement_scalars(measurement: Measurement) -> dict[str, float]:
    """Return one measurement's scalars by tag."""
    values: dict[str, float] = {}
    for name, stats in measurement.parameters.items():
        values[f"zero_grad_fraction/{name}"] = stats.zero_fraction
        values[f"grad_norm/{name}"] = stats.norm
        if stats.nonfinite:
            values[f"nonfinite_grad/{name}"] = stats.nonfinite
        if stats.touched_rows is not None:
            values[f"touched_rows/{name}"] = stats.touched_rows
    if measurement.parameters:
        values["grad_norm_total"] = measurement.total_norm
    if measurement.loss_scale is not None:
        values["loss_scale"] = measurement.loss_scale
    return values


def few_scalars(values: Mapping[str, float]) -> dict[str, float]:
    """Return what of one measurement's scalars is looked at first.

    >>> few_scalars({"zero_grad_fraction/a.weight": 0.1, "zero_grad_fraction/b.weight": 0.6,
    ...              "zero_grad_fraction/norm.weight": 1.0, "grad_norm/a.weight": 3.0,
    ...              "grad_norm_total": 3.0})
    {'grad_norm_total': 3.0, 'zeros/most_of_any_weight': 0.6}
    """
    always = ("grad_norm_total", "loss_scale", "nonfinite_grad/")
    few = {tag: value for tag, value in values.items() if tag.startswith(always)}
    zeros = [value for tag, value in values.items() if _WEIGHT.match(tag)]
    return few | ({"zeros/most_of_any_weight": max(zeros)} if zeros else {})


def show_details(
    writer: LogWriter, details: DetailMeasurement, first: str | None, every_scalar: bool
) -> None:
    """Write one detailed measurement.

    Args:
        writer: where to.
        details: what was measured.
        first: the first weight that has columns.
        every_scalar: whether all parameters are shown, or the first weight alone.
    """
    values: dict[str, float] = {}
    if (gradient := details.parameters.get(first or "")) is not None:
        values |= first_weight_scalars(gradient)
    shown = details.parameters if every_scalar else {first: gradient} if first and gradient else {}
    for name, gradient in details.parameters.items() if every_scalar else ():
        if not gradient.shape[1]:
            continue
        for kind, share in gradient.zeros.shares.items():
            values[f"zero_grad_shape/{name}/{kind}"] = share
        if gradient.distinct_columns is not None:
            values[f"distinct_columns/{name}"] = gradient.distinct_columns
    writer.scalars(values, details.step)
    # What is not finite has no magnitude; its count is a scalar of its own.
    magnitudes = {f"log2_of_gradient/{name}": g.magnitudes[:-1] for name, g in shown.items()}
    writer.counted(magnitudes, EDGES, details.step)


def first_weight_scalars(gradient: GradientDetails) -> dict[str, float]:
    """Return the zeros of the first weight by their shape, and what makes a chart's axis 0 to 1."""
    summary = gradient.summary()
    values = {
        "zeros/first_weight": summary["zero_fraction"],
        "zeros/first_weight_in_dead_rows": summary["rows"],
        "zeros/first_weight_in_dead_columns": summary["columns"],
        "zeros/first_weight_scattered": summary["scattered"],
        "zeros/axis_0": 0.0,
        "zeros/axis_1": 1.0,
    }
    return {tag: float(value) for tag, value in values.items() if value is not None}


def show_diagnosis(
    writer: LogWriter,
    diagnosis: Diagnosis,
    step: int,
    first: tuple[str, GradientDetails] | None = None,
) -> None:
    """Write the findings as text, how many call for action, and a picture of the first weight.

    Args:
        writer: where to.
        diagnosis: what was found.
        step: optimiser steps done.
        first: the first weight that has columns, and its latest gradient.
    """
    writer.text("diagnosis", findings_text(diagnosis), step)
    writer.scalars({"findings_to_act_on": float(len(diagnosis.alarms))}, step)
    if first is not None and writer.draws:
        name, gradient = first
        writer.image(f"dead_rows_blue_and_columns_orange/{name}", dead_map(gradient), step)


def dead_map(gradient: GradientDetails, cell: int = 4) -> Tensor:
    """Draw which rows and columns of a weight's gradient are zero throughout.

    A picture element is an entry: rows (units) go down, columns (features) go right. Dead rows are
    blue, dead columns orange, the others grey by the size of their row and column.

    Args:
        gradient: of a weight.
        cell: side of an entry in pixels.

    Returns:
        (3, R * cell, C * cell), uint8.
    """
    rows, columns = gradient.row_norm.float(), gradient.column_norm.float()
    size = (rows[:, None] * columns[None]).sqrt().nan_to_num(posinf=0.0)
    grey = 245 - 150 * size / size.max().clamp(min=torch.finfo(torch.float32).tiny)
    picture = grey.expand(3, *grey.shape).clone()
    picture[:, :, gradient.column_max == 0] = torch.tensor(DEAD_COLUMN)[:, None, None]
    picture[:, gradient.row_max == 0] = torch.tensor(DEAD_ROW)[:, None, None]
    picture = picture.repeat_interleave(cell, 1).repeat_interleave(cell, 2)
    return picture.round().to(torch.uint8)


def alarm_sentence(finding: Finding) -> str:
    """Return one sentence with place, cause and what would repair it."""
    confirmed = {True: ", confirmed by a replay", False: ", not confirmed by a replay", None: ""}
    return f"{finding.sentence}{confirmed[finding.confirmed]}. {finding.remedy}".strip()


def findings_text(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as Markdown: one paragraph per alarm, one line for all that is benign.

    >>> print(findings_text(Diagnosis(findings=(
    ...     Finding(cause="dead_input", parameter="fc.weight", fraction=0.5, indices=("volume",),
    ...             confirmed=True, remedy="Drop it."),))))
    **1. dead_input** at `fc.weight`: input features that are zero in every batch
    <BLANKLINE>
    - 50.0% of its entries; confirmed by a replay
    - which: volume
    - remedy: Drop it.
    """
    alarms = [finding for finding in diagnosis.findings if not finding.benign]
    benign = [f"{f.cause} at `{f.location}`" for f in diagnosis.findings if f.benign]
    healthy = f"**Healthy**: nothing to repair, seen over {diagnosis.num_batches} batches."
    paragraphs = [_paragraph(number, f) for number, f in enumerate(alarms, 1)] or [healthy]
    if benign:
        paragraphs.append(f"Benign, nothing to repair: {', '.join(benign)}.")
    return "\n\n".join(paragraphs)


def _paragraph(number: int, finding: Finding) -> str:
    confirmed = {True: "; confirmed by a replay", False: "; not confirmed by a replay", None: ""}
    heading = f"**{number}. {finding.cause}** at `{finding.location}`: {finding.meaning}"
    points = [f"{finding.fraction:.1%} of its entries{confirmed[finding.confirmed]}"]
    if finding.indices:
        points.append(f"which: {_shortened(finding.indices)}")
    if finding.remedy:
        points.append(f"remedy: {finding.remedy}")
    return "\n".join([heading, "", *(f"- {point}" for point in points)])


def _shortened(indices: Iterable[int | str], most: int = 12) -> str:
    labels = [str(index) for index in indices]
    more = f", and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more
