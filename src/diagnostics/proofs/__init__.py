"""Step 3, the proof: one intervention per cause, on the replayed batch or a copy of the model."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from src.diagnostics.findings import Finding
from src.diagnostics.proofs.flow import straighten
from src.diagnostics.proofs.inputs import (
    fill_features,
    perturb_features,
    replace_nonfinite,
    rescale_features,
)
from src.diagnostics.proofs.loop import (
    clear_and_compare,
    compare_clipping,
    find_overflow,
    require_gradient,
    scale_loss,
    train_left_out,
)
from src.diagnostics.proofs.outputs import (
    predict_the_constant,
    remove_output_activation,
    rescale_targets,
    unmask,
)
from src.diagnostics.proofs.weights import (
    change_weights,
    lower_gain,
    raise_units,
    reinitialise,
    shift_entries,
)
from src.diagnostics.record import Record
from src.diagnostics.workbench import Workbench

Verdict = tuple[bool | None, Mapping[str, Any]]
Proof = Callable[[Workbench, Record, Finding], Verdict]

PROOFS: Mapping[str, Proof] = {
    "nonfinite": replace_nonfinite,
    "scaler_collapse": find_overflow,
    "masked": unmask,
    "underflow": scale_loss,
    "degenerate_target": predict_the_constant,
    "loss_mismatch": remove_output_activation,
    "unreachable_target": remove_output_activation,
    "misscaled_target": rescale_targets,
    "dead_input": fill_features,
    "constant_input": perturb_features,
    "duplicate_input": perturb_features,
    "misscaled_input": rescale_features,
    "zero_init": reinitialise,
    "symmetric_init": reinitialise,
    "large_init": lower_gain,
    "saturated": lower_gain,
    "exploding": lower_gain,
    "vanishing": straighten,
    "dead_unit": raise_units,
    "accumulating": clear_and_compare,
    "overclipped": compare_clipping,
    "not_optimized": train_left_out,
    "frozen": require_gradient,
    "unused": change_weights,
    "structural": shift_entries,
}
"""Cause -> the intervention that bears it out; the learning rates have theirs in `trial`."""


def prove(bench: Workbench, record: Record, finding: Finding) -> Finding:
    """Put one candidate to the test.

    Args:
        bench: The model, the batch and how to replay them.
        record: The symptoms.
        finding: A candidate.

    Returns:
        The finding with `confirmed` and the numbers before and after; unchanged if the intervention
        cannot be made on this model.
    """
    proof = PROOFS.get(finding.cause)
    if proof is None or finding.confirmed is not None:
        return finding
    try:
        confirmed, evidence = proof(bench, record, finding)
    except Exception as error:  # an exotic model must not cost the user the whole diagnosis
        return replace(finding, evidence={**finding.evidence, "not_tested": str(error)[:200]})
    return replace(finding, confirmed=confirmed, evidence={**finding.evidence, **evidence})
