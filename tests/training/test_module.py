"""One step around a model whose numbers are known: what is minimised, logged, kept and refused."""

from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from src.models.output import QuantileOutput
from src.training.module import RegressionModule

# Four windows of one value; the model says w x, and what comes is y.
X, Y = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 2.0, 3.0, 6.0])
LAST, PRICE = torch.tensor([10.0, 10, 10, 10]), torch.tensor([11.0, 12, 13, 16])


class Line(nn.Module):
    """Predict w x, with pooling weights (2,) that are learned too."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(float(w)))
        self.pooling = nn.Parameter(torch.tensor([0.5, 0.5]))
        self.has_weights = True

    def forward(self, x_btf):
        weights = self.pooling if self.has_weights else None
        return SimpleNamespace(preds=self.w * x_btf[:, 0], weights=weights)


class Prior:
    def loss(self, weights):
        return 10 * weights[0]

    def callbacks(self):
        return ()


def batch_of(rows):
    rows = torch.as_tensor(rows)
    columns = {"y": Y, "reference": LAST, "last_price": LAST, "actual": PRICE, "price": PRICE}
    return SimpleNamespace(
        x=X[rows, None, None],
        index=100 + rows,
        series=torch.zeros_like(rows),
        **{name: values[rows, None] for name, values in columns.items()},
    )


def loader(*batches):
    return DataLoader([torch.tensor(rows) for rows in batches], batch_size=None)


def module_of(w=1.0, prior=None, to_price=None, rate=0.0):
    made = RegressionModule(
        Line(w),
        to_price or (lambda preds, last_price, series: last_price + preds),
        lambda parameters: torch.optim.SGD(parameters, lr=rate),
        prior,
    )
    made.on_before_batch_transfer = lambda batch, index: batch_of(batch)
    return made


@pytest.fixture
def trainer(tmp_path):
    def _trainer(**options):
        quiet = {"enable_progress_bar": False, "enable_model_summary": False}
        quiet |= {"enable_checkpointing": False, "accelerator": "cpu", "logger": False}
        return pl.Trainer(default_root_dir=tmp_path, **quiet | {"max_epochs": 1} | options)

    return _trainer


def test_what_is_minimised_is_the_squared_error_plus_the_priors_penalty(trainer):
    # w = 1: errors 0, 0, 0 and -2; the mean square of all four is 1
    plain, weighed = module_of(), module_of(prior=Prior())
    every = batch_of([0, 1, 2, 3])
    assert plain.diagnosis_loss(every).item() == 1
    assert weighed.diagnosis_loss(every).item() == 1 + 10 * 0.5
    weighed.model.has_weights = False
    assert weighed.diagnosis_loss(every).item() == 1, "no weights, no penalty"


def test_losses_are_logged_at_every_nth_step_and_at_no_other(trainer):
    fit = trainer(log_every_n_steps=2)
    module = module_of(w=1, prior=Prior())
    fit.fit(module, loader([0], [3], [0], [3], [0]))
    assert module.training_losses == [{"step": 2, "loss": 9.0}, {"step": 4, "loss": 9.0}]
    assert float(fit.callback_metrics["train/loss"]) == 9
    assert float(fit.callback_metrics["train/aux_loss"]) == 5


def test_the_bar_shows_the_losses_and_the_skill_of_a_validation_and_nothing_of_a_test(trainer):
    fit, module = trainer(log_every_n_steps=1, num_sanity_val_steps=0), module_of()
    fit.fit(module, loader([0], [3]), loader([0, 1, 2], [3]))
    assert {"train/loss", "val/loss", "val/skill"} <= set(fit.progress_bar_metrics)
    assert "val/mae" not in fit.progress_bar_metrics
    test = trainer()
    test.test(module, loader([0, 1]), verbose=False)
    assert not [name for name in test.progress_bar_metrics if name.startswith("test/")]


def test_a_checkpoint_holds_the_settings_and_a_logger_gets_none_of_them():
    made = RegressionModule(Line(1.0), None, None, hyperparameters={"config": {"lr": 0.1}})
    assert dict(made.hparams) == {"config": {"lr": 0.1}}
    assert made._log_hyperparams is False
    assert dict(module_of().hparams) == {}


def test_without_a_prior_no_penalty_is_logged(trainer):
    fit = trainer(log_every_n_steps=1)
    fit.fit(module_of(), loader([0], [3]))
    assert "train/aux_loss" not in fit.callback_metrics
    assert {"train/loss"} <= set(fit.callback_metrics)


def test_a_validation_is_scored_over_all_its_batches_and_kept_with_its_step(trainer):
    module = module_of(w=1)
    fit = trainer(num_sanity_val_steps=0)
    fit.fit(module, loader([0], [0], [0]), loader([0, 1, 2], [3]))
    # forecasts 11, 12, 13 and 14 for 11, 12, 13 and 16; "tomorrow = today" errs by 1, 2, 3 and 6
    skill = 1 - (4 / 4) ** 0.5 / ((1 + 4 + 9 + 36) / 4) ** 0.5
    assert module.validation == [{"step": 3, "loss": 1.0, "skill": pytest.approx(skill)}]
    assert module.scores["model"]["rmse"] == 1
    assert module.scores["baseline"]["rmse"] == pytest.approx(12.5**0.5)
    assert float(fit.callback_metrics["val/mae"]) == 0.5
    fit.validate(module, loader([0, 1]), verbose=False)
    assert len(module.validation) == 1, "only what a fit sees is its course"
    assert float(fit.callback_metrics["val/loss"]) == 0, "nothing of the first validation is left"


def test_the_forecasts_of_a_test_are_in_the_order_of_days(trainer):
    module = module_of(w=2)
    trainer().test(module, loader([3, 1], [0]), verbose=False)
    keys = ("row", "last_price", "price", "predicted_price")
    rows = [(100, 10, 11, 12), (101, 10, 12, 14), (103, 10, 16, 18)]
    assert module.forecasts == [dict(zip(keys, row, strict=True)) for row in rows]
    assert module.scores["model"]["directional_accuracy"] == 1
    trainer().test(module, loader([1]), verbose=False)
    assert [row["row"] for row in module.forecasts] == [101]


def test_each_step_ahead_and_each_quantile_has_its_own_column_in_the_forecasts(trainer):
    class Bands(nn.Module):
        """Say x - 1 and x + 1 of the next day, 2 x - 2 and 2 x + 2 of the one after."""

        def forward(self, x_btf):
            x = x_btf[:, 0]
            return SimpleNamespace(
                preds=torch.cat([x - 1, x + 1, 2 * x - 2, 2 * x + 2], dim=1), weights=None
            )

    module = RegressionModule(
        Bands(),
        lambda preds, last_price, series: last_price + preds,
        lambda parameters: torch.optim.SGD(parameters, lr=0.0),
        output=QuantileOutput([0.25, 0.75]),
    )

    def both_days(batch, index):
        one = batch_of(batch)
        one.y, one.actual = one.y.expand(-1, 2), one.actual.expand(-1, 2)
        return one

    module.on_before_batch_transfer = both_days
    trainer().test(module, loader([3], [0]), verbose=False)
    columns = ("row", "step", "last_price", "price", "predicted_price", "q0.25", "q0.75")
    rows = [
        (100, 1, 10, 11, 11, 10, 12),
        (100, 2, 10, 11, 12, 10, 14),
        (103, 1, 10, 16, 14, 13, 15),
        (103, 2, 10, 16, 18, 16, 20),
    ]
    assert [list(one) for one in module.forecasts] == [list(columns)] * 4
    assert module.forecasts == [dict(zip(columns, row, strict=True)) for row in rows]


def test_each_window_is_priced_as_its_series(trainer):
    module = module_of(to_price=lambda preds, last, series: last + preds + series[:, None])
    batch = batch_of([0, 1])
    batch.series = torch.tensor([0, 5])
    forecast, quantiles = module._evaluate(batch, "val")
    assert forecast.flatten().tolist() == [11, 17]
    assert quantiles is None


def test_only_what_is_trained_is_given_to_the_optimiser():
    module = module_of()
    module.model.pooling.requires_grad_(False)
    (group,) = module.configure_optimizers().param_groups
    assert group["params"] == [module.model.w]


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(trainer):
    module = module_of(w=float("inf"), rate=0.1)
    stopped = "training loss is inf at step 0: stopped before the weights were changed"
    with pytest.raises(FloatingPointError, match=stopped):
        trainer().fit(module, loader([0]))
    assert module.model.pooling.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("stage", "name"), [("validate", "validation"), ("test", "test")])
def test_an_evaluation_that_is_not_finite_says_which(trainer, stage, name):
    with pytest.raises(FloatingPointError, match=f"^{name} loss is inf at step 0"):
        getattr(trainer(), stage)(module_of(w=1e30), loader([0]), verbose=False)


def test_half_precision_is_made_float32_and_float64_stays():
    module = module_of()
    for given, kept in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        module.to(given)
        assert module(X[:, None, None]).dtype == kept
