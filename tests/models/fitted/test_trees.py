import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor

from src.models.fitted.fitted import Windows
from src.models.fitted.trees import Boosting

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(600, 4, 3, generator=GENERATOR)
Y = torch.where(X[:, -1, :1] > 0.5, 2.0, -1.0) + 0.1 * torch.randn(600, 1, generator=GENERATOR)
TRAIN, VAL = Windows(X[:400], Y[:400]), Windows(X[400:], Y[400:])


def fitted(**options):
    model = Boosting(3, 4, trees=30, leaves=[4], learning_rates=[0.3], **options)
    return model, model.fit(TRAIN, VAL)


def test_the_trees_walked_here_predict_as_scikit_learn_does():
    model, fit = fitted(steps=[4])
    reference = HistGradientBoostingRegressor(
        learning_rate=0.3,
        max_iter=fit.chosen["trees"],
        max_leaf_nodes=4,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    ).fit(TRAIN.x.flatten(1).numpy(), TRAIN.y[:, 0].numpy())
    expected = reference.predict(VAL.x.flatten(1).numpy())
    np.testing.assert_allclose(model(VAL.x).preds[:, 0].numpy(), expected, atol=1e-12)


def test_a_step_in_the_last_bar_is_found_whatever_steps_are_read():
    for steps in ([1], [4]):
        model, _ = fitted(steps=steps)
        loss = (model(VAL.x).preds - VAL.y).square().mean().item()
        assert loss < 0.05  # noise of 0.01, against a variance of 1.9


def test_the_number_of_trees_is_chosen_on_the_validation_part():
    _, fit = fitted(steps=[1, 4])
    assert [row["steps"] for row in fit.tried] == [1, 4]
    assert 1 <= fit.chosen["trees"] <= 30


def test_what_was_fitted_comes_back_from_its_arrays_bit_for_bit():
    model, _ = fitted(steps=[1])
    again = Boosting(3, 4, trees=30, leaves=[4], learning_rates=[0.3], steps=[1])
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(VAL.x).preds, model(VAL.x).preds)


@pytest.mark.parametrize(("name", "value"), [("left", 7), ("right", -1), ("feature", 12)])
def test_arrays_that_lead_out_of_the_trees_are_refused(name, value):
    model, _ = fitted(steps=[1])
    state = model.state_dict()
    state[name][0, 0] = value
    with pytest.raises(ValueError, match=f"{name} of a tree leads out of its"):
        model.load_state_dict(state)


def test_steps_with_too_many_features_are_left_out():
    assert Boosting(129, 20, steps=[1, 5, 20]).steps == [1, 5]
    with pytest.raises(ValueError, match="20 steps of 129 features are 2,580"):
        Boosting(129, 20, steps=[20])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trees": 0}, "trees must be from 1 to 2000, got 0"),
        ({"leaves": [1]}, "leaves must be 2 or more"),
        ({"learning_rates": [0.0]}, "learning_rates must be in"),
        ({"steps": [-1]}, "steps must be whole numbers above 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Boosting(3, 4, **options)
