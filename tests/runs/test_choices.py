import pytest
import torch

from src.models.regressor import LinearRegressor, NaiveRegressor
from src.runs.run import effective_choices
from src.training.module import RegressionModule
from tests.models.test_baselines import PERSISTENCE

CHOICES = {"data": "sp500", "pooling": "mean", "pooling_prior": "none", "norm": "layer"}
CHOICES |= {"dropout": "input", "optimizer": "adam"}


@pytest.mark.parametrize(
    ("model", "matter"),
    [
        (LinearRegressor(2, 3), {"data", "norm", "dropout", "optimizer"}),
        (NaiveRegressor(2, 3, persistence=PERSISTENCE), {"data"}),
    ],
)
def test_groups_that_a_model_does_not_use_have_no_choice(model, matter):
    module = RegressionModule(model, lambda preds, last: preds, torch.optim.Adam)
    choices = effective_choices(CHOICES, module)
    assert {group for group, option in choices.items() if option is not None} == matter
    assert choices.keys() == CHOICES.keys()
