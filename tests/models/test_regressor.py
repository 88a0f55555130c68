import copy
import pickle
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from src.models.norm import Norm, ReversibleNorm
from src.models.pooling import AttentionPooling, AttentiveStatsPooling, LastPooling, MeanPooling
from src.models.recurrent import RecurrentEncoder
from src.models.regressor import LinearRegressor, NaiveRegressor, SequenceRegressor, build_regressor
from src.models.transformer import TransformerEncoder

PERSISTENCE = SimpleNamespace(feature=0, scale=1.0, offset=0.0, bars=1)
SMALL = partial(TransformerEncoder, hidden_size=8, num_heads=2, feedforward_size=16)


def build(model=RecurrentEncoder, pooling=LastPooling, norm=Norm, dropout=None, **facts):
    facts = {"context_length": 60, "num_features": 1, "persistence": PERSISTENCE} | facts
    torch.manual_seed(0)
    return build_regressor(model, pooling, norm, dropout or {}, **facts)


def test_the_worked_example_is_an_lstm_and_a_linear_head_on_the_last_state():
    torch.manual_seed(0)
    lstm, head = nn.LSTM(1, 50, num_layers=2, batch_first=True), nn.Linear(50, 1)
    x_btf = torch.randn(32, 60, 1, generator=torch.Generator().manual_seed(1))
    output = build()(x_btf)
    assert output.preds.shape == (32, 1)
    assert output.hidden.shape == (32, 60, 50)
    assert torch.equal(output.preds, head(lstm(x_btf)[0][:, -1]))


def test_two_requests_in_a_row_give_bitwise_what_each_gives_alone():
    first, second = torch.randn(2, 1, 60, 1).unbind()
    alone = [build().eval()(request).preds for request in (first, second)]
    model = build().eval()
    in_a_row = [model(request).preds for request in (first, second)]
    assert all(map(torch.equal, in_a_row, alone))


def test_hidden_is_what_went_into_the_pooling_and_weights_what_came_out():
    model = build(SMALL, AttentionPooling, context_length=4, num_features=3)
    preds, weights, hidden = model(torch.randn(2, 4, 3))
    pooled = model.pooling(hidden)
    assert torch.equal(weights, pooled.weights)
    assert torch.equal(preds, model.head(pooled.pooled))


def test_the_head_takes_its_width_from_the_pooling():
    model = build(SMALL, AttentiveStatsPooling, context_length=4, num_features=3)
    assert model.head.in_features == 16


def test_a_reversible_regressor_follows_the_level_and_spread_of_its_window():
    model = build(norm=ReversibleNorm).eval()
    x_btf = torch.rand(2, 60, 1, generator=torch.Generator().manual_seed(1)).cumsum(1)
    shifted = model(1000 + 3 * x_btf).preds
    torch.testing.assert_close(shifted, 1000 + 3 * model(x_btf).preds, rtol=1e-4, atol=0)


@pytest.mark.parametrize("model", [RecurrentEncoder, SMALL], ids=["lstm", "transformer"])
def test_padding_of_any_content_reaches_neither_prediction_nor_gradient(model):
    regressor = build(model, AttentionPooling, context_length=6, num_features=2)
    x_btf = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(1))
    mask_bt = torch.arange(6) >= torch.tensor([[0], [2], [5]])

    def run(fill):
        regressor.zero_grad()
        preds = regressor(x_btf.masked_fill(~mask_bt.unsqueeze(-1), fill), mask_bt).preds
        preds.sum().backward()
        return [preds, *(p.grad for p in regressor.parameters())]

    for got, expected in zip(run(float("nan")), run(7.0), strict=True):
        assert torch.equal(got, expected)


def test_input_dropout_acts_on_the_features_in_training_only():
    model = build(dropout={"input": 0.5}, norm=Norm)
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x_btf = torch.ones(4, 60, 1)
    model(x_btf)
    model.eval()(x_btf)
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}
    assert torch.equal(seen[1], x_btf)


@pytest.mark.parametrize("shape", [(2, 59, 1), (2, 60, 2), (60, 1)])
def test_windows_of_another_shape_are_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match=rf"\(batch, 60, 1\), got \({shape[0]}, {shape[1]}"):
        build()(torch.zeros(shape))


def test_baselines_are_built_from_the_parts_they_use():
    naive = build(NaiveRegressor, dropout={"projection": 0.1})
    linear = build(partial(LinearRegressor), norm=ReversibleNorm, dropout={"input": 0.1})
    assert isinstance(naive, NaiveRegressor)
    assert isinstance(linear, LinearRegressor)
    assert isinstance(linear.norm, ReversibleNorm)
    assert linear.input_dropout.p == 0.1


def test_weights_return_from_a_checkpoint_bitwise():
    saved, fresh = build(SMALL, MeanPooling).eval(), build(SMALL, MeanPooling).eval()
    for parameter in fresh.parameters():
        nn.init.ones_(parameter)
    fresh.load_state_dict(saved.state_dict())
    x_btf = torch.randn(2, 60, 1)
    assert torch.equal(fresh(x_btf).preds, saved(x_btf).preds)


def test_a_regressor_can_be_composed_by_hand():
    model = SequenceRegressor(Norm(1), RecurrentEncoder(1, 5), MeanPooling(50, 5))
    assert model(torch.zeros(2, 5, 1)).preds.shape == (2, 1)


def test_the_transformer_regressor_traces_without_a_graph_break():
    model, x_btf = (
        build(SMALL, AttentionPooling, context_length=4, num_features=3),
        torch.ones(2, 4, 3),
    )
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x_btf).preds, model(x_btf).preds)


@pytest.mark.parametrize("model", [RecurrentEncoder, SMALL], ids=["lstm", "transformer"])
def test_copies_and_pickles_predict_the_same(model):
    regressor, x_btf = build(partial(model, num_layers=1)).eval(), torch.randn(2, 60, 1)
    for twin in (copy.deepcopy(regressor), pickle.loads(pickle.dumps(regressor))):
        assert torch.equal(twin(x_btf).preds, regressor(x_btf).preds)
