"""Every YAML option of the groups model, pooling, norm and dropout builds and trains."""

from inspect import Parameter, signature
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from hydra.utils import instantiate

from src.models.contract import DropoutRates
from src.models.regressor import build_regressor
from tests.models.options import load, options

T = 8


def build(model="lstm", pooling="mean", norm="none", dropout="none"):
    num_features = 1 if norm == "reversible" else 4
    parts = {"model": model, "pooling": pooling, "norm": norm}
    partials = [instantiate(load(group, option)) for group, option in parts.items()]
    torch.manual_seed(0)
    regressor = build_regressor(
        *partials,
        load("dropout", dropout),
        context_length=T,
        num_features=num_features,
        feature_mean=torch.zeros(num_features),
        feature_std=torch.ones(num_features),
        persistence=SimpleNamespace(feature=0, scale=1.0, offset=0.0, bars=1),
    )
    return regressor, torch.randn(3, T, num_features)


def assert_a_gradient_step_moves_the_parameters(regressor, x_btf):
    parameters = dict(regressor.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    regressor(x_btf).preds.square().mean().backward()
    torch.optim.SGD(parameters.values(), lr=0.1).step()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, f"{name} is not used"
        assert parameter.grad.isfinite().all(), name
    assert any(not torch.equal(before[name], parameters[name]) for name in parameters)


def test_the_groups_hold_the_options_that_are_documented():
    recurrent, transformers = {"gru", "lstm", "rnn"}, {"", "_small", "_tiny"}
    named = recurrent | {f"transformer{size}" for size in transformers} | {"linear", "naive"}
    named |= {"drift", "seasonal_naive", "autoregression", "ridge", "boosting", "arima"}
    assert named <= set(options("model"))
    assert {"encoder", "input", "none", "projection", "strong"} <= set(options("dropout"))
    assert {"none", "layer", "feature", "reversible"} <= set(options("norm"))
    assert {"last", "mean", "max", "learnable", "gated", "attention"} <= set(options("pooling"))


@pytest.mark.parametrize(
    ("model", "pooling"), list(product(["lstm", "gru", "rnn", "transformer"], options("pooling")))
)
def test_every_pooling_trains_with_every_encoder(model, pooling):
    assert_a_gradient_step_moves_the_parameters(*build(model, pooling))


@pytest.mark.parametrize(
    ("model", "norm"), list(product(["lstm", "transformer", "linear"], options("norm")))
)
def test_every_norm_trains_with_every_kind_of_model(model, norm):
    assert_a_gradient_step_moves_the_parameters(*build(model, norm=norm))


@pytest.mark.parametrize("dropout", options("dropout"))
def test_every_dropout_trains_with_the_transformer(dropout):
    assert_a_gradient_step_moves_the_parameters(*build("transformer", dropout=dropout))


@pytest.mark.parametrize(
    ("model", "dropout"),
    [("lstm", "projection"), ("lstm", "strong"), ("linear", "encoder"), ("linear", "projection")],
)
def test_dropout_without_a_place_to_act_is_refused(model, dropout):
    with pytest.raises(ValueError, match="use dropout=none"):
        build(model, dropout=dropout)


def test_naive_needs_nothing_but_the_persistence():
    regressor, x_btf = build("naive", pooling="gated", norm="feature", dropout="strong")
    assert torch.equal(regressor(x_btf).preds, x_btf[:, -1, :1])


@pytest.mark.parametrize("group", ["model", "pooling", "norm"])
def test_yaml_files_spell_out_every_option_of_what_they_build(group):
    from_builder = {"dropout", "norm", "feature_mean", "feature_std", "persistence"}
    from_builder |= {"history", "num_outputs", "output"}
    of_other_cells = {"gru": {"forget_bias"}, "rnn": {"forget_bias"}}
    for option in options(group):
        config = load(group, option)
        parameters = signature(instantiate(config).func).parameters.values()
        accepted = {p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY} - from_builder
        accepted -= of_other_cells.get(option, set())
        assert {str(key) for key in config} - {"_target_", "_partial_"} == accepted, option


@pytest.mark.parametrize(
    ("option", "place", "rate"),
    [("input", "input", 0.1), ("projection", "projection", 0.1), ("strong", "projection", 0.3),
     ("encoder", "encoder", 0.1)],
)  # fmt: skip
def test_each_dropout_option_sets_one_rate(option, place, rate):
    assert DropoutRates.from_mapping(load("dropout", option)) == DropoutRates(**{place: rate})
