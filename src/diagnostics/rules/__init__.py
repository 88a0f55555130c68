"""Step 2, the cause: pure functions from a record of symptoms to candidate findings."""

from collections.abc import Callable

from src.diagnostics.findings import Finding
from src.diagnostics.record import Record
from src.diagnostics.rules.benign import find_sparse_rows, find_structural
from src.diagnostics.rules.flow import find_exploding, find_vanishing
from src.diagnostics.rules.initial import find_large_init, find_symmetric_init, find_zero_init
from src.diagnostics.rules.inputs import (
    find_constant_input,
    find_dead_input,
    find_duplicate_input,
    find_misscaled_input,
)
from src.diagnostics.rules.loop import (
    find_accumulating,
    find_overclipped,
    find_scaler_collapse,
)
from src.diagnostics.rules.membership import find_frozen, find_not_optimized, find_unused
from src.diagnostics.rules.numbers import find_nonfinite, find_underflow
from src.diagnostics.rules.steps import find_masked
from src.diagnostics.rules.targets import (
    find_degenerate_target,
    find_loss_mismatch,
    find_misscaled_target,
    find_unreachable_target,
)
from src.diagnostics.rules.units import find_blocked, find_dead_unit, find_saturated

RULES: tuple[Callable[[Record], list[Finding]], ...] = (
    find_nonfinite,
    find_scaler_collapse,
    find_masked,
    find_underflow,
    find_degenerate_target,
    find_loss_mismatch,
    find_unreachable_target,
    find_misscaled_target,
    find_dead_input,
    find_constant_input,
    find_duplicate_input,
    find_misscaled_input,
    find_zero_init,
    find_symmetric_init,
    find_large_init,
    find_dead_unit,
    find_saturated,
    find_exploding,
    find_vanishing,
    find_blocked,
    find_accumulating,
    find_overclipped,
    find_not_optimized,
    find_frozen,
    find_unused,
    find_sparse_rows,
    find_structural,
)
"""All rules; the order is that of reading, `relate` decides what is the root."""
