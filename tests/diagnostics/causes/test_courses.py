"""Short trainings: how far one step moves a weight."""

import torch

from src.diagnostics.causes.courses import update_ratio


def test_update_ratio_of_zero_weights_and_of_no_step() -> None:
    assert update_ratio(torch.ones(3), torch.ones(3)) == 0.0
    assert update_ratio(torch.zeros(3), torch.ones(3)) == float("inf")
