import math

import pytest
import torch
from torch import nn

from src.models.contract import DropoutRates
from src.models.transformer import LearnedEncoding, SinusoidalEncoding, TransformerEncoder


def small_encoder(**options) -> TransformerEncoder:
    torch.manual_seed(0)
    return TransformerEncoder(
        5, 6, **{"hidden_size": 8, "num_heads": 2, "feedforward_size": 16} | options
    )


def layer_twin(layer: nn.TransformerEncoderLayer, x_td: torch.Tensor, scale: float):
    """A pre-norm layer on one sequence, written head by head and step by step."""
    attention, width, heads = layer.self_attn, x_td.shape[1], layer.self_attn.num_heads
    normed_td = layer.norm1(x_td)
    packed = normed_td @ attention.in_proj_weight.T + attention.in_proj_bias
    queries, keys, values = packed.split(width, dim=1)
    rows = []
    for step in range(x_td.shape[0]):
        found = []
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            scores = keys[:, part] @ queries[step, part] / math.sqrt(width / heads)
            found.append(scores.softmax(0) @ values[:, part])
        rows.append(attention.out_proj(torch.cat(found)))
    x_td = x_td + scale * torch.stack(rows)
    return x_td + scale * layer.linear2(layer.linear1(layer.norm2(x_td)).relu())


def test_sinusoidal_positions_follow_the_formula():
    table_td = SinusoidalEncoding(7, 5)(torch.zeros(1, 7, 5))[0]
    for step in range(7):
        for unit in range(5):
            angle = step / 10_000 ** ((unit - unit % 2) / 5)
            expected = math.cos(angle) if unit % 2 else math.sin(angle)
            assert table_td[step, unit].item() == pytest.approx(expected, abs=1e-6)


def test_learned_positions_are_added_to_their_step():
    encoding = LearnedEncoding(3, 2)
    with torch.no_grad():
        encoding.table_td.copy_(torch.arange(6.0).view(3, 2))
    added_btd = encoding(10 * torch.ones(1, 2, 2))
    assert added_btd.tolist() == [[[10.0, 11.0], [12.0, 13.0]]]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.1])
def test_the_encoder_agrees_with_a_loop_over_heads_and_steps(scale, training):
    encoder = small_encoder(residual_scale=scale).train(training)
    x_btf = torch.randn(2, 6, 5)
    with torch.no_grad():
        rows = []
        for x_tf in x_btf:
            hidden_td = encoder.temporal_projection(x_tf)
            hidden_td = encoder.positional_encoding(hidden_td.unsqueeze(0))[0]
            for layer in encoder.layers:
                hidden_td = layer_twin(layer, hidden_td, scale)
            rows.append(nn.functional.layer_norm(hidden_td, (8,)))
        torch.testing.assert_close(encoder(x_btf), torch.stack(rows), atol=1e-5, rtol=1e-4)


def test_post_norm_layers_scale_their_branches_too_and_need_no_final_norm():
    encoder = small_encoder(norm_first=False, num_layers=1, residual_scale=0.1)
    layer, x_btd = encoder.layers[0], torch.randn(2, 6, 8)
    attended = layer.self_attn(x_btd, x_btd, x_btd, need_weights=False)[0]
    middle = layer.norm1(x_btd + 0.1 * attended)
    expected = layer.norm2(middle + 0.1 * layer.linear2(layer.linear1(middle).relu()))
    torch.testing.assert_close(layer(x_btd), expected)
    assert isinstance(encoder.final_norm, nn.Identity)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_trailing_padding_equals_cutting_it_off(training):
    encoder, x_btf = small_encoder().train(training), torch.randn(3, 6, 5)
    mask_bt = torch.arange(6).expand(3, 6) < 4
    with torch.no_grad():
        masked_btd, cut_btd = encoder(x_btf, mask_bt), encoder(x_btf[:, :4])
    torch.testing.assert_close(masked_btd[:, :4], cut_btd)


def test_no_real_step_looks_at_leading_padding():
    encoder, mask_bt = small_encoder(), torch.arange(6).expand(1, 6) >= 2
    x_btf, other_btf = torch.randn(1, 6, 5), torch.randn(1, 6, 5)
    other_btf[:, 2:] = x_btf[:, 2:]
    assert torch.equal(encoder(x_btf, mask_bt)[:, 2:], encoder(other_btf, mask_bt)[:, 2:])


def test_order_matters_through_the_positions_alone():
    encoder, x_btf = small_encoder(), torch.randn(1, 6, 5)
    assert not torch.allclose(encoder(x_btf.flip(1)).flip(1), encoder(x_btf), atol=1e-3)
    encoder.positional_encoding = nn.Identity()
    torch.testing.assert_close(encoder(x_btf.flip(1)).flip(1), encoder(x_btf))


@pytest.mark.parametrize("place", ["projection", "encoder"])
def test_each_dropout_rate_acts_in_training_only(place):
    encoder, x_btf = small_encoder(dropout=DropoutRates(**{place: 0.5})), torch.randn(1, 6, 5)
    assert not torch.equal(encoder(x_btf), encoder(x_btf))
    encoder.eval()
    assert torch.equal(encoder(x_btf), encoder(x_btf))


def test_encoder_dropout_acts_on_the_branches_and_leaves_attention_fused():
    encoder = small_encoder(dropout=DropoutRates(encoder=0.5))
    for layer in encoder.layers:
        assert (layer.dropout1.p, layer.dropout2.p) == (0.5, 0.5)
        assert (layer.self_attn.dropout, layer.dropout.p) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 10, "num_heads": 4}, "num_heads must divide hidden_size, got 4 and 10"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"feedforward_size": 0}, "feedforward_size must be at least 1, got 0"),
        ({"residual_scale": 0}, "residual_scale must be above 0, got 0"),
        ({"positional_encoding": "none"}, r"one of \['sinusoidal', 'learned'\], got 'none'"),
    ],
    ids=["heads", "depth", "feedforward", "residual scale", "positions"],
)
def test_options_that_cannot_work_are_refused_with_their_value(options, message):
    with pytest.raises(ValueError, match=message):
        small_encoder(**options)
