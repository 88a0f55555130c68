"""Whatever cannot be looked at is refused in one line that says what it is instead."""

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics import diagnose, what_would_help


def program(**other: Any) -> dict[str, Any]:
    """Return a program that can be looked at, or one that is another in some way."""
    torch.manual_seed(0)
    x = torch.randn(32, 3)
    batches = list(zip(x.split(8), x[:, :1].split(8), strict=True))
    return {"model": nn.Linear(3, 1), "batches": batches, "loss_fn": squares} | other


def squares(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


REFUSED = {
    "no batches": ({"batches": None}, "batches must be a list of batches or the like, got None"),
    "none left": ({"batches": iter(())}, "batches must hold at least"),
    "no samples": (
        {"batches": [(torch.zeros(0, 3), torch.zeros(0, 1))] * 2},
        "batches[0] holds no samples, only tensors of shape [(0, 3), (0, 1)]",
    ),
    "function": (
        {"model": abs},
        "model must be a torch.nn.Module that runs in Python, got b",
    ),
    "script": ({"model": torch.jit.script(nn.Linear(3, 1))}, "got RecursiveScriptModule"),
    "meta": (
        {"model": nn.Linear(3, 1, device="meta")},
        "weight of the model is on the meta",
    ),
    "lazy": ({"model": nn.LazyLinear(1)}, "weight of the model has no shape yet"),
    "rate": (
        {"optimizer": 0.1},
        "optimizer must be a torch.optim.Optimizer or a list of them",
    ),
    "mean": ({"loss_fn": nn.MSELoss()}, "loss_fn must be a function (model, batch)"),
}


@pytest.mark.parametrize("ask", [diagnose, what_would_help])
@pytest.mark.parametrize(("other", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_looked_at_is_refused_in_one_line(
    ask: Any, other: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as refused:
        ask(**program(**other))
    assert "\n" not in str(refused.value)


def test_inference_mode_is_told_from_a_loss_that_is_detached() -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode"):
        diagnose(**program())


def test_batches_may_be_a_generator_that_ends() -> None:
    given = program()
    given["batches"] = (batch for batch in given["batches"][:2])
    assert diagnose(**given).num_batches == 2


def test_a_trial_takes_no_negative_time() -> None:
    with pytest.raises(ValueError, match="seconds must be at least 0, got -1"):
        what_would_help(**program(), seconds=-1)
