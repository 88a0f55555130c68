"""The bench of the proofs: how far one step moves a weight."""

import torch

from src.diagnostics.causes.experiment import update_ratio


def test_update_ratio_of_zero_weights_and_of_no_step() -> None:
    assert update_ratio(torch.ones(3), torch.ones(3)) == 0.0
    assert update_ratio(torch.zeros(3), torch.ones(3)) == float("inf")
