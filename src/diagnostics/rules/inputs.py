"""Causes that sit in the data: features dead, constant, copied, or on scales far apart."""

from collections.abc import Mapping

import torch

from src.diagnostics.columns import duplicate_columns, misscaled_sizes
from src.diagnostics.findings import Finding
from src.diagnostics.record import ModuleRecord, Record

MIN_ROWS = 8
"""Rows below which nothing is said about a feature: with one sample every feature is constant."""
FAR = 100.0
"""A feature this many times larger or smaller than the median feature is misscaled."""
HUGE, TINY = 1e3, 1e-4
"""A median feature size outside of these bounds is misscaled as a whole."""


def readers(record: Record) -> list[ModuleRecord]:
    """Return the modules with parameters that read the data itself, and enough of it."""
    return [
        module
        for module in record.called
        if module.from_data
        and module.input is not None
        and module.input.rows >= MIN_ROWS
        and _reads_features(record, module, module.input.features)
    ]


def _reads_features(record: Record, module: ModuleRecord, features: int) -> bool:
    """Return whether a module's own parameters meet the features, not its children's."""
    own = record.own(module.name)
    return bool(own) and (module.leaf or any(features in p.weight.shape[-2:] for p in own))


def find_dead_input(record: Record) -> list[Finding]:
    """Find features that are zero in every row of every batch: whole zero columns in the gradient.

    Sparse binary features beside them mean that the dead ones may be categories that are only
    rare, so as many dead ones as there are such neighbours are benign.
    """
    findings = []
    for module in readers(record):
        stats = module.input
        assert stats is not None
        dead = torch.nonzero(stats.dead).flatten().tolist()
        if not dead:
            continue
        rare = int(stats.rare.sum())
        findings.append(
            _finding(
                record,
                module,
                "dead_input",
                dead,
                {"zero_features": len(dead), "features": stats.features, "rare_features": rare},
                "Drop these features or repair their source, or set norm=feature if they are only"
                " unscaled; a normalisation over the features would merely hide the zeros.",
                benign=len(dead) <= rare,
            )
        )
    return findings


def find_constant_input(record: Record) -> list[Finding]:
    """Find features with one value other than zero in all rows: columns c * bias gradient."""
    findings = []
    for module in readers(record):
        stats = module.input
        assert stats is not None
        constant = torch.nonzero(stats.constant).flatten().tolist()
        if not constant or (len(constant) == stats.features and stats.rows < 4 * MIN_ROWS):
            continue
        values = (stats.total / max(stats.rows, 1))[constant].tolist()
        findings.append(
            _finding(
                record,
                module,
                "constant_input",
                constant,
                {"constants": values[:8], "features": stats.features},
                "Drop these features: a constant only repeats the bias.",
            )
        )
    return findings


def find_duplicate_input(record: Record) -> list[Finding]:
    """Find features that are proportional to one another: copies of one gradient column.

    Features that stay at rest in the sample, constant or rare and shifted by a normalisation, all
    look alike there: which of them are copies only rows in which they move can tell.
    """
    findings = []
    for module in readers(record):
        stats = module.input
        assert stats is not None
        if stats.nonfinite.any():
            continue
        moving = stats.departures >= MIN_ROWS
        groups = duplicate_columns(stats.sample.double() * moving, tolerance=1e-5)
        if not groups:
            continue
        copies = [column for group in groups for column in group]
        hidden = _dead_before(record, module, copies)
        hint = " Their zeros are only hidden: norm=feature keeps features apart." if hidden else ""
        findings.append(
            _finding(
                record,
                module,
                "duplicate_input",
                copies,
                {
                    "copies": len(copies),
                    "groups": len(groups),
                    "distinct": stats.features - len(copies) + len(groups),
                    "features": stats.features,
                    "zero_before_normalisation": hidden,
                },
                f"Keep one feature of each group.{hint}",
            )
        )
    return findings


def find_misscaled_input(record: Record) -> list[Finding]:
    """Find features far larger or smaller than the others, or all far from one."""
    findings = []
    for module in readers(record):
        stats = module.input
        assert stats is not None
        if module.kind.startswith("BatchNorm") or not (stats.sizes > 0).any():
            continue
        relative = misscaled_sizes(stats.sizes, FAR)
        median = float(stats.sizes[stats.sizes > 0].median())
        everywhere = not module.kind.endswith("Norm") and not TINY <= median <= HUGE
        columns = list(range(stats.features)) if everywhere else sorted(relative)
        if not columns:
            continue
        findings.append(
            _finding(
                record,
                module,
                "misscaled_input",
                columns,
                {
                    "median_size": median,
                    "largest_ratio": max(relative.values(), default=1.0),
                    "smallest_ratio": min(relative.values(), default=1.0),
                },
                "Bring the features to one scale: norm=feature.",
            )
        )
    return findings


def _dead_before(record: Record, module: ModuleRecord, columns: list[int]) -> int:
    """Count those of a module's features that were zero before a normalisation."""
    assert module.input is not None
    return max(
        (
            int(earlier.input.dead[columns].sum())
            for earlier in record.called
            if earlier.order < module.order and earlier.from_data and earlier.input is not None
            if earlier.input.features == module.input.features
        ),
        default=0,
    )


def _finding(
    record: Record,
    module: ModuleRecord,
    cause: str,
    columns: list[int],
    evidence: Mapping[str, object],
    remedy: str,
    benign: bool = False,
) -> Finding:
    features = module.input.features if module.input else len(columns)
    own = record.own(module.name)
    facing = [p for p in own if p.weight.dim() > 1 and p.weight.shape[1] == features]
    weight = facing[0] if facing else record.weight(module.name) or own[0]
    return Finding(
        cause=cause,
        module=module.name,
        parameter=weight.name,
        fraction=len(columns) / features,
        indices=record.name_features(columns, features),
        evidence={**evidence, "columns": columns},
        benign=benign,
        remedy=remedy,
    )
