import pytest
import torch

from src.models.masking import blank_padding, check_mask, last_real_step

X_BTF = torch.ones(2, 3, 4)


def test_blanking_replaces_nan_and_infinity_by_zero_and_keeps_the_rest():
    x_btf = torch.tensor([[[float("nan")], [2.0], [float("inf")]]])
    blanked = blank_padding(x_btf, torch.tensor([[False, True, False]]))
    assert blanked.flatten().tolist() == [0.0, 2.0, 0.0]


def test_last_real_step_ignores_gaps_and_padding_on_both_sides():
    mask_bt = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 0], [1, 0, 1]], dtype=torch.bool)
    assert last_real_step(mask_bt).tolist() == [2, 0, 1, 2]


def test_a_float_mask_is_refused():
    with pytest.raises(ValueError, match=r"must be bool.*got torch\.float32"):
        check_mask(torch.ones(2, 3), X_BTF)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\) .*got \(2, 4\)"):
        check_mask(torch.ones(2, 4, dtype=torch.bool), X_BTF)


def test_samples_without_a_real_step_are_refused_by_index():
    mask_bt = torch.tensor([[True, False, False], [False, False, False]])
    with pytest.raises(ValueError, match=r"at least one step per sample, got none in \[1\]"):
        check_mask(mask_bt, X_BTF)
