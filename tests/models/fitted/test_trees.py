import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

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


@pytest.mark.parametrize(("rose", "odds"), [(1.0, 401.0), (0.0, 1 / 401)])
def test_a_direction_that_never_changed_in_training_is_forecast_to_stay(rose, odds):
    always = Windows(TRAIN.x, torch.full((400, 1), rose))
    model = Boosting(3, 4, trees=5, leaves=[4], learning_rates=[0.3], steps=[1])
    fit = model.fit(always, Windows(VAL.x, torch.full((200, 1), rose)), "direction")
    assert fit.chosen["trees"] == 0
    assert model(VAL.x).preds.exp().unique().tolist() == pytest.approx([odds])


@pytest.mark.parametrize(("name", "value"), [("left", 7), ("right", -1), ("feature", 12)])
def test_arrays_that_lead_out_of_the_trees_are_refused(name, value):
    model, _ = fitted(steps=[1])
    state = model.state_dict()
    state[name][0, 0, 0] = value
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


def test_a_direction_is_grown_by_the_log_loss():
    rose = (Y > 0).double()
    model = Boosting(3, 4, trees=10, leaves=[4], learning_rates=[0.3], steps=[4])
    fit = model.fit(Windows(X[:400], rose[:400]), Windows(X[400:], rose[400:]), "direction")
    reference = HistGradientBoostingClassifier(
        learning_rate=0.3,
        max_iter=fit.chosen["trees"],
        max_leaf_nodes=4,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    ).fit(TRAIN.x.flatten(1).numpy(), rose[:400, 0].numpy())
    expected = reference.decision_function(VAL.x.flatten(1).numpy())
    np.testing.assert_allclose(model(VAL.x).preds[:, 0].numpy(), expected, rtol=1e-5)


def test_a_variance_is_grown_by_its_qlike():
    model = Boosting(3, 4, trees=30, leaves=[4], learning_rates=[0.3], steps=[1])
    fit = model.fit(TRAIN, VAL, "volatility")  # Y as the log of a variance
    off = VAL.y.double() - model(VAL.x).preds
    assert (off.exp() - off - 1).mean().item() == pytest.approx(fit.tried[0]["val_loss"])
    assert fit.tried[0]["val_loss"] < 0.05


def test_several_numbers_have_trees_of_their_own():
    both = torch.cat([Y, -2 * Y], dim=1)
    model = Boosting(3, 4, trees=30, leaves=[4], learning_rates=[0.3], steps=[1], num_outputs=2)
    model.fit(Windows(X[:400], both[:400]), Windows(X[400:], both[400:]))
    preds = model(VAL.x).preds
    assert preds.shape == (200, 2)
    assert (preds - both[400:]).square().mean().item() < 0.1
