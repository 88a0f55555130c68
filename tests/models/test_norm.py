from types import SimpleNamespace

import pytest
import torch

from src.models.norm import BatchNorm, FeatureNorm, LayerNorm, Norm, ReversibleNorm, RMSNorm

PRICES_BTF = torch.tensor([[[10.0], [12.0], [17.0]], [[100.0], [120.0], [170.0]]])
PERSISTENCE = SimpleNamespace(feature=0, scale=2.0, offset=-1.0)


def test_the_base_norm_changes_nothing():
    x_btf, preds_b1 = torch.randn(2, 3, 4), torch.randn(2, 1)
    assert torch.equal(Norm(4)(x_btf), x_btf)
    assert torch.equal(Norm(4).undo(preds_b1, x_btf), preds_b1)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_layer_norm_standardises_each_bar_over_its_features(training):
    norm = LayerNorm(3, eps=0.0).train(training)
    root = 1.5**0.5  # (1, 2, 3) has mean 2 and deviation sqrt(2/3)
    expected = torch.tensor([[[-root, 0.0, root], [root, 0.0, -root]]])
    torch.testing.assert_close(norm(torch.tensor([[[1.0, 2.0, 3.0], [9.0, 6.0, 3.0]]])), expected)


def test_layer_norm_learns_nothing_unless_it_is_affine():
    assert list(LayerNorm(3).parameters()) == []
    shapes = [tuple(p.shape) for p in LayerNorm(3, affine=True).parameters()]
    assert shapes == [(3,), (3,)]


def test_rms_norm_divides_each_bar_by_its_root_mean_square():
    normed = RMSNorm(2, eps=0.0)(torch.tensor([[[3.0, 4.0]]]))
    torch.testing.assert_close(normed, torch.tensor([[[3.0, 4.0]]]) / 12.5**0.5)


def test_batch_norm_standardises_each_feature_over_batch_and_time():
    x_btf = 5 + 3 * torch.randn(8, 4, 2, generator=torch.Generator().manual_seed(0))
    flat = BatchNorm(2)(x_btf).flatten(0, 1)
    torch.testing.assert_close(flat.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat.var(0, unbiased=False), torch.ones(2), atol=1e-4, rtol=0)


def test_batch_norm_takes_its_statistics_from_real_steps_only():
    x_btf = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    mask_bt = torch.arange(4).expand(3, 4) < 3
    masked_btf = BatchNorm(2)(x_btf.masked_fill(~mask_bt.unsqueeze(-1), 1e6), mask_bt)
    torch.testing.assert_close(masked_btf[:, :3], BatchNorm(2)(x_btf[:, :3]))


def test_feature_norm_uses_the_statistics_it_was_given():
    norm = FeatureNorm(2, feature_mean=[1.0, 10.0], feature_std=[2.0, 5.0])
    assert norm(torch.tensor([[[5.0, 0.0]]])).tolist() == [[[2.0, -2.0]]]
    assert set(norm.state_dict()) == {"mean_f", "std_f"}
    assert list(norm.parameters()) == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "got no feature_mean"),
        ({"feature_mean": [0.0, 0.0]}, "got no feature_std"),
        ({"feature_mean": [0.0], "feature_std": [1.0, 1.0]}, r"shape \(2,\), got \(1,\)"),
        ({"feature_mean": [0.0, 0.0], "feature_std": [1.0, 0.0]}, r"above 0, got 0\.0"),
    ],
    ids=["no mean", "no std", "shape", "zero std"],
)
def test_feature_norm_refuses_missing_or_impossible_statistics(facts, message):
    with pytest.raises(ValueError, match=message):
        FeatureNorm(2, **facts)


def test_reversible_norm_standardises_each_window_by_itself():
    # (10, 12, 17) and ten times that: mean 13, variance 26 / 3; both windows look alike.
    normed_btf = ReversibleNorm(1, center="mean", eps=0.0)(PRICES_BTF)
    expected = torch.tensor([[-3.0], [-1.0], [4.0]]) / (26 / 3) ** 0.5
    torch.testing.assert_close(normed_btf, expected.expand(2, 3, 1))


@pytest.mark.parametrize(("center", "level"), [("last", 17.0), ("mean", 13.0)])
def test_a_head_that_says_zero_predicts_the_center_of_each_window(center, level):
    preds_b1 = ReversibleNorm(1, center=center).undo(torch.zeros(2, 1), PRICES_BTF)
    torch.testing.assert_close(preds_b1, torch.tensor([[level], [10 * level]]))


@pytest.mark.parametrize("center", ["last", "mean"])
def test_undoing_the_reversible_norm_gives_the_window_back(center):
    norm = ReversibleNorm(1, center=center)
    for step in range(3):
        back_b1 = norm.undo(norm(PRICES_BTF)[:, step], PRICES_BTF)
        torch.testing.assert_close(back_b1, PRICES_BTF[:, step])


def test_reversible_norm_answers_in_the_units_of_the_target():
    norm = ReversibleNorm(1, persistence=PERSISTENCE)
    preds_b1 = norm.undo(torch.zeros(2, 1), PRICES_BTF)
    torch.testing.assert_close(preds_b1, torch.tensor([[33.0], [339.0]]))


@pytest.mark.parametrize("center", ["last", "mean"])
def test_reversible_norm_looks_at_real_steps_only(center):
    norm = ReversibleNorm(1, center=center)
    mask_bt = torch.tensor([[True, True, False]] * 2)
    padded_btf = PRICES_BTF.clone()
    padded_btf[:, 2] = 0.0
    preds_b1, cut_btf = torch.ones(2, 1), PRICES_BTF[:, :2]
    torch.testing.assert_close(norm(padded_btf, mask_bt)[:, :2], norm(cut_btf))
    torch.testing.assert_close(
        norm.undo(preds_b1, padded_btf, mask_bt), norm.undo(preds_b1, cut_btf)
    )


def test_reversible_norm_of_a_constant_window_is_zero_and_finite():
    assert ReversibleNorm(1)(torch.full((1, 5, 1), 42.0)).tolist() == [[[0.0]] * 5]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ReversibleNorm(129), "single price feature, got 129"),
        (lambda: ReversibleNorm(1, center="first"), "center must be 'mean' or 'last', got 'first'"),
        (
            lambda: ReversibleNorm(1, persistence=SimpleNamespace(feature=0, scale=0.0, offset=0)),
            "price level as target, got persistence scale 0",
        ),
        (lambda: LayerNorm(1), "norm=layer .* at least 2, got 1: all bars would become 0"),
        (lambda: RMSNorm(1), "norm=rms .* at least 2, got 1: only its sign would be left"),
    ],
    ids=["many features", "center", "return target", "layer of one", "rms of one"],
)
def test_norms_that_cannot_work_are_refused_with_the_reason(build, message):
    with pytest.raises(ValueError, match=message):
        build()
