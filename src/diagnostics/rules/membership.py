"""Causes that leave a parameter out: of the graph, of the optimiser, or of training."""

from collections.abc import Mapping

from src.diagnostics.findings import Finding
from src.diagnostics.record import ParameterRecord, Record


def find_unused(record: Record) -> list[Finding]:
    """Find parameters the loss does not depend on in any batch.

    Of modules that were called the last one is named: behind it the graph is cut.
    """
    missing = _by_module(
        [
            p
            for p in record.parameters.values()
            if record.loss_values and p.missing == len(record.loss_values)
            if not _routed(record, p)
        ]
    )
    called = [name for name in missing if not _uncalled(record, name)]
    last = max(called, key=lambda name: record.modules[name].order, default=None)
    reported = [name for name in missing if name == last or _uncalled(record, name)]
    return [
        _per_module(
            "unused",
            module,
            missing[module],
            {"called": module == last, "modules": called if module == last else [module]},
            "Use the module's output in the loss (look for detach() or no_grad()), or remove it.",
        )
        for module in sorted(reported, key=lambda name: name != last)
    ]


def find_not_optimized(record: Record) -> list[Finding]:
    """Find parameters that get a gradient and are in no group of the optimiser."""
    left_out = [
        p
        for p in record.parameters.values()
        if p.optimized is False and p.requires_grad and p.missing < len(record.loss_values)
    ]
    return [
        _per_module(
            "not_optimized",
            module,
            own,
            {"gradient_norm": max(p.norm for p in own)},
            "Add these parameters to a group of the optimiser.",
        )
        for module, own in _by_module(left_out).items()
    ]


def find_frozen(record: Record) -> list[Finding]:
    """Find parameters that require no gradient; outside the optimiser that is deliberate."""
    frozen = [p for p in record.parameters.values() if not p.requires_grad]
    return [
        _per_module(
            "frozen",
            module,
            own,
            {"in_optimizer": own[0].optimized},
            "Call requires_grad_(True) on it, or leave it out of the optimiser if it is meant so.",
            benign=own[0].optimized is not True,
        )
        for module, own in _by_module(frozen).items()
    ]


def _by_module(parameters: list[ParameterRecord]) -> dict[str, list[ParameterRecord]]:
    modules: dict[str, list[ParameterRecord]] = {}
    for parameter in parameters:
        modules.setdefault(parameter.module, []).append(parameter)
    return modules


def _uncalled(record: Record, module: str) -> bool:
    return module in record.uncalled


def _routed(record: Record, parameter: ParameterRecord) -> bool:
    """Return whether a parameter belongs to an expert that no sample was routed to."""
    return record.routed and _uncalled(record, parameter.module)


def _per_module(
    cause: str,
    module: str,
    own: list[ParameterRecord],
    evidence: Mapping[str, object],
    remedy: str,
    benign: bool = False,
) -> Finding:
    return Finding(
        cause=cause,
        module=module,
        parameter=own[0].name,
        fraction=1.0,
        evidence={"parameters": [p.name for p in own], **evidence},
        benign=benign,
        remedy=remedy,
    )
