"""How measured gradients and findings are named and shown."""

from collections.abc import Iterable

from ..findings import Diagnosis, Finding
from ..measuring.counts import Measurement
from ..measuring.details import HIGHEST_EXPONENT, LOWEST_EXPONENT, DetailMeasurement
from .log_writer import LogWriter

EDGES = tuple(range(LOWEST_EXPONENT - 1, HIGHEST_EXPONENT + 2))
"""Edges of the magnitude histogram in log2; exact zeros fill the lowest bin."""


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


def show_details(writer: LogWriter, details: DetailMeasurement) -> None:
    """Write one detailed measurement's scalars and histograms."""
    values: dict[str, float] = {}
    for name, gradient in details.parameters.items():
        if not gradient.shape[1]:
            continue
        for kind, share in gradient.zeros.shares.items():
            values[f"zero_grad_shape/{name}/{kind}"] = share
        if gradient.distinct_columns is not None:
            values[f"distinct_columns/{name}"] = gradient.distinct_columns
    writer.scalars(values, details.step)
    # What is not finite has no magnitude; its count is a scalar of its own.
    magnitudes = {f"grad_magnitude/{n}": g.magnitudes[:-1] for n, g in details.parameters.items()}
    writer.counted(magnitudes, EDGES, details.step)


def show_diagnosis(writer: LogWriter, diagnosis: Diagnosis, step: int) -> None:
    """Write the findings as text."""
    writer.text("diagnosis", findings_text(diagnosis), step)


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
