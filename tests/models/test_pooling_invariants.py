"""What holds for every pooling: weights sum to 1, padding counts for nothing."""

import pytest
import torch
from hydra.utils import instantiate

from tests.models.options import load, options

B, T, D = 4, 6, 8
# Trailing padding, leading padding, a gap, one real step.
MASK_BT = torch.tensor(
    [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0]],
    dtype=torch.bool,
)


@pytest.fixture(params=options("pooling"))
def pooling(request):
    torch.manual_seed(0)
    module = instantiate(load("pooling", request.param))(D, T)
    if hasattr(module, "logits"):
        torch.nn.init.normal_(module.logits)
    return module


@pytest.fixture
def hidden_btd():
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(1))


def test_weights_sum_to_one_and_shapes_are_as_announced(pooling, hidden_btd):
    pooled, weights = pooling(hidden_btd)
    assert pooled.shape == (B, pooling.output_size)
    assert weights.shape in {(B, T), (T,)}
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_a_mask_of_real_steps_only_changes_nothing(pooling, hidden_btd):
    plain = pooling(hidden_btd)
    masked = pooling(hidden_btd, torch.ones(B, T, dtype=torch.bool))
    torch.testing.assert_close(masked.pooled, plain.pooled)
    torch.testing.assert_close(masked.weights, plain.weights.expand(B, T))


def test_padded_steps_weigh_exactly_zero(pooling, hidden_btd):
    weights = pooling(hidden_btd, MASK_BT).weights
    assert (weights[~MASK_BT] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(B))


@pytest.mark.parametrize("padding", [1e30, -1e30, float("inf"), float("nan")])
def test_whatever_the_padding_holds_it_reaches_neither_output_nor_gradient(
    pooling, hidden_btd, padding
):
    def run(fill: float):
        leaf = hidden_btd.masked_fill(~MASK_BT.unsqueeze(-1), fill).requires_grad_()
        pooling.zero_grad()
        output = pooling(leaf, MASK_BT)
        output.pooled.square().sum().backward()
        return [*output, leaf.grad, *(p.grad for p in pooling.parameters())]

    for got, expected in zip(run(padding), run(0.0), strict=True):
        assert torch.equal(got, expected)
        assert got.isfinite().all()


@pytest.mark.parametrize("keep", [slice(0, 4), slice(2, 6)], ids=["trailing", "leading"])
def test_masking_equals_cutting_the_padding_off(pooling, hidden_btd, keep):
    mask_bt = torch.zeros(B, T, dtype=torch.bool)
    mask_bt[:, keep] = True
    masked = pooling(hidden_btd, mask_bt)
    if hasattr(pooling, "logits"):
        pooling.logits = torch.nn.Parameter(pooling.logits[keep].detach())
    cut = pooling(hidden_btd[:, keep])
    torch.testing.assert_close(masked.pooled, cut.pooled)
    torch.testing.assert_close(masked.weights[:, keep], cut.weights.expand(B, 4))


def test_a_sample_does_not_depend_on_its_neighbours(pooling, hidden_btd):
    together = pooling(hidden_btd, MASK_BT).pooled
    alone = torch.cat([pooling(hidden_btd[i : i + 1], MASK_BT[i : i + 1]).pooled for i in range(B)])
    torch.testing.assert_close(alone, together)


def test_a_sample_without_a_real_step_is_refused(pooling, hidden_btd):
    mask_bt = MASK_BT.clone()
    mask_bt[2] = False
    with pytest.raises(ValueError, match=r"got none in \[2\]"):
        pooling(hidden_btd, mask_bt)


@pytest.mark.parametrize("mask_bt", [None, MASK_BT], ids=["unmasked", "masked"])
def test_gradients_agree_with_finite_differences(pooling, hidden_btd, mask_bt):
    pooling = pooling.double()
    leaf = hidden_btd.double().requires_grad_()
    torch.autograd.gradcheck(lambda h: pooling(h, mask_bt).pooled, (leaf,), atol=1e-6)


@pytest.mark.parametrize("mask_bt", [None, MASK_BT], ids=["unmasked", "masked"])
def test_weights_stay_float32_and_sum_to_one_under_autocast(pooling, hidden_btd, mask_bt):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = pooling(hidden_btd.bfloat16(), mask_bt).weights
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_the_maskless_path_traces_without_a_graph_break(pooling, hidden_btd):
    compiled = torch.compile(pooling, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(hidden_btd).pooled, pooling(hidden_btd).pooled)
