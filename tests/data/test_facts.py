"""Facts of the data survive the way through a file, bit for bit."""

import json

import pytest
import torch

from src.data import PriceDataModule
from src.data.facts import DataFacts

OPTIONS = [
    {"features": "prices"},
    {"features": "prices", "input": "price", "target": "price"},
    {"features": "bars", "context_length": 20, "target": "residual"},
]


@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda options: "-".join(map(str, options.values()))
)
def test_facts_come_back_from_json_as_they_were(options):
    datamodule = PriceDataModule(**options)
    datamodule.setup()
    facts = DataFacts.of(datamodule)
    again = DataFacts.from_dict(json.loads(json.dumps(facts.to_dict())))
    assert torch.equal(again.feature_mean, datamodule.feature_mean)
    assert torch.equal(again.feature_std, datamodule.feature_std)
    assert again.input_scaling == datamodule.input_scaling
    assert again.target_scaling == datamodule.target_scaling
    assert again.persistence == datamodule.persistence
    assert (again.features, again.context_length) == (options["features"], facts.context_length)
    assert again.num_features == datamodule.num_features
    preds, last_price = torch.randn(4, 1), 100 + torch.rand(4, 1)
    assert torch.equal(again.to_price(preds, last_price), datamodule.to_price(preds, last_price))
