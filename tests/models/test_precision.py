"""Under autocast only the encoder computes in half precision; every encoder with every pooling."""

from collections.abc import Callable

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from src.models.output import QuantileOutput
from src.models.precision import without_autocast
from src.models.regressor import LinearRegressor, build_regressor
from tests.models.options import load, options

B, T, F = 16, 10, 8
LEVEL = 100.0
"""Half precision steps by 0.5 at this height, several times what forecasts differ by here."""
ROUNDING = 0.06
"""Of the forecasts' spread: what an encoder's 8 bits may cost, 0.004 to 0.042 where measured."""

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")


@pytest.fixture(params=["lstm", "gru", "rnn", "transformer_tiny"])
def encoder(request):
    return request.param


@pytest.fixture(params=options("pooling"))
def regressor(encoder, request):
    return make(encoder, request.param)


def make(encoder, pooling, **options) -> nn.Module:
    torch.manual_seed(0)
    parts = [
        instantiate(load(group, option))
        for group, option in (("model", encoder), ("pooling", pooling), ("norm", "none"))
    ]
    rates = {"input": 0.0, "projection": 0.0, "encoder": 0.0}
    model = build_regressor(*parts, rates, context_length=T, num_features=F, **options)
    nn.init.constant_(model.head.bias, LEVEL)
    return model


@pytest.fixture
def windows_btf():
    return torch.randn(B, T, F, generator=torch.Generator().manual_seed(0))


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def with_and_without(call: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    with autocast():
        half = call()
    return half, call()


def test_forecasts_differ_by_the_rounding_of_the_encoder_alone(regressor, windows_btf):
    half, full = with_and_without(lambda: regressor(windows_btf).preds)
    assert half.dtype == torch.float32
    assert (half - full).square().mean().sqrt() < ROUNDING * full.std()


def test_nothing_behind_the_encoder_is_computed_in_half_precision(regressor, windows_btf):
    with autocast():
        output = regressor(windows_btf)
    pooled, weights = regressor.pooling(output.hidden)
    assert torch.equal(output.preds, regressor.head(pooled))
    assert torch.equal(output.weights, weights)


def test_the_encoder_does_compute_in_half_precision(encoder, windows_btf):
    half, full = with_and_without(lambda: make(encoder, "mean").encoder(windows_btf))
    assert not torch.equal(half.float(), full)


def test_gradients_point_where_those_of_float32_point(regressor, windows_btf):
    target = LEVEL + torch.randn(B, 1, generator=torch.Generator().manual_seed(1))
    grads = []
    for context in (autocast(), without_autocast(windows_btf.device)):
        regressor.zero_grad()
        with context:
            loss = (regressor(windows_btf).preds - target).square().mean()
        loss.backward()
        grads.append({name: p.grad for name, p in regressor.named_parameters()})
    half, full = grads
    for name in full:
        if full[name].norm() > 1e-6:  # the bias of attention's scores gets rounding alone
            assert torch.cosine_similarity(half[name].flatten(), full[name].flatten(), 0) > 0.98
    zeros = [sum(int((g == 0).sum()) for g in one.values()) for one in grads]
    assert zeros[0] <= zeros[1] + 10


def test_a_linear_model_forecasts_the_same_to_the_bit(windows_btf):
    model = LinearRegressor(F, T)
    nn.init.constant_(model.head.bias, LEVEL)
    half, full = with_and_without(lambda: model(windows_btf).preds)
    assert torch.equal(half, full)


def test_quantiles_keep_their_distances_at_any_height(windows_btf):
    model = make("lstm", "last", output=QuantileOutput([0.1, 0.5, 0.9]))
    nn.init.zeros_(model.head.bias)
    with torch.no_grad():
        model.head.bias[1] = LEVEL
    half, full = with_and_without(lambda: model(windows_btf).preds)
    torch.testing.assert_close(half.diff(dim=1), full.diff(dim=1), rtol=0.0, atol=1e-2)


def test_autocast_is_on_again_afterwards():
    with autocast():
        with without_autocast(torch.device("cpu")):
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")
