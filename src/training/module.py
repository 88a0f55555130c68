"""One training step around any price regressor: loss, prices, metrics, optimiser. Nothing else."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from src.models.output import PointOutput, read
from src.models.precision import at_least_float32, without_autocast
from src.training.finite import FiniteGradients
from src.training.metrics import skill_score
from src.training.rows import Rows
from src.training.tasks import PRICE, Metrics, Task

# B batch, T time steps, F features, K numbers that are forecast. A batch has x (B, T, F), y (B, K)
# scaled target, actual (B, K) what came, reference (B, 1) the forecast without a model, index (B,)
# row of the first bar to predict, series (B,) the number of the series it is of.


class Prior(Protocol):
    """What pushes pooling weights somewhere during training."""

    def loss(self, weights: Tensor) -> Tensor:
        """Return the weighted penalty of pooling weights (B, T) or (T,), a scalar."""
        ...

    def callbacks(self) -> Sequence[pl.Callback]:
        """Return what acts on the weights outside the loss."""
        ...


class RegressionModule(pl.LightningModule):
    """Train a regressor and score it in the unit of what it forecasts, such as a price.

    Args:
        model: maps x (B, T, F) to an output with `preds` (B, K), scaled, and `weights` over time.
        to_price: turns scaled predictions (B, K) and references (B, 1) into what is forecast, told
            which of several series each window is of (B,).
        optimizer: makes the optimiser from the parameters that are trained.
        prior: penalty on the pooling weights; None for none.
        hyperparameters: plain values saved in every checkpoint.
        task: how the kind of target is learnt and scored.
        output: what the model says of each number that is forecast; None for the number itself.

    Attributes:
        scores: of the latest evaluation, by `model` and `baseline`.
        forecasts: of the latest test, a row a day, and of several steps a row for each.
        training_losses: `step` and `loss` of the training steps that were logged.
        validation: `step`, `loss` and `skill` of each validation during the fit.

    | tag | meaning | unit | frequency |
    |---|---|---|---|
    | train/loss | the task's loss plus the prior's penalty | scaled | `log_every_n_steps` |
    | train/aux_loss | the prior's penalty alone | scaled | `log_every_n_steps` |
    | val/loss, test/loss | the task's loss | scaled | every evaluation |
    | val/rmse, val/mae, test/... | error of the predicted price | price | every evaluation |
    | val/mape, test/mape | mean absolute percentage error | percent | every evaluation |
    | val/directional_accuracy, ... | right signs on days that moved | share | every evaluation |
    | val/qlike, val/log_mse, ... | error of a variance | 1 | every evaluation |
    | val/accuracy, val/brier, val/log_loss, ... | of a direction | 1 | every evaluation |
    | val/skill, test/skill | 1 - error / error without a model | share | every evaluation |
    """

    def __init__(
        self,
        model: nn.Module,
        to_price: Callable[[Tensor, Tensor, Tensor], Tensor],
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        prior: Prior | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        task: Task = PRICE,
        output: PointOutput | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.to_price = to_price
        self.prior = prior
        self.task = task
        self.output = output or PointOutput()
        self._loss = self.output.loss if self.output.levels else task.loss
        self.scores: dict[str, dict[str, float]] = {}
        self.forecasts: list[dict[str, float]] = []
        self.training_losses: list[dict[str, float]] = []
        self.validation: list[dict[str, float]] = []
        self._make_optimizer = optimizer
        self.val_metrics, self.test_metrics = task.metrics(), task.metrics()
        self._finite_gradients = FiniteGradients(self)
        self._eval_losses, self._test_rows = Rows(), Rows()
        self.save_hyperparameters(dict(hyperparameters or {}), logger=False)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *_: Any, **__: Any) -> NoReturn:
        """Say what to use: the parts of a module are objects, which a checkpoint does not hold.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "a module is built from the config in its checkpoint: "
            f"from src import open_run; module = open_run({str(checkpoint_path)!r}).module"
        )

    def forward(self, x_btf: Tensor) -> Tensor:
        """Return what the model says of windows (B, T, F), scaled, float32 or better.

        Autocast is for training: scored is what the run forecasts when it is opened again.

        Predictions (B, K); of a distribution the parameters of each (B, K * P).
        """
        # After 64-true the layers are float64, and windows straight from the data are not.
        with without_autocast(x_btf.device):
            return at_least_float32(self.model(x_btf.to(self.dtype)).preds)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the training loss of one batch, a scalar."""
        loss, aux_loss = self._losses(batch)
        # Logging walks every metric: a third of a small model's step if done at each one.
        logs_now = (self.trainer.global_step + 1) % self._log_every_n_steps == 0
        # Reading a value stalls a GPU, so there it is read only when it is logged anyway: the one
        # check of each step is that of the gradients.
        if loss.device.type == "cpu" or logs_now:
            self._refuse_non_finite(loss)
        if logs_now:
            # Lightning reads what it shows at each step: a GPU would wait, so our bar does not ask.
            self.log("train/loss", loss, prog_bar=loss.device.type == "cpu")
            if self.prior is not None:
                self.log("train/aux_loss", aux_loss)
            step = self.trainer.global_step + 1
            self.training_losses.append({"step": step, "loss": float(loss.detach())})
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse a gradient that is not finite before it reaches the weights.

        A loss scaler does so itself: it skips the step and tries a smaller scale.

        Raises:
            FloatingPointError: naming the parameter and the step.
        """
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            return
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        self._finite_gradients.check(parameters, self.trainer.global_step)

    def on_validation_start(self) -> None:
        """Score no weights that a gradient of NaN has reached."""
        self._finite_gradients.settle()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write none either."""
        self._finite_gradients.settle()

    def on_train_end(self) -> None:
        """Leave none behind."""
        self._finite_gradients.settle()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Add one batch to the validation metrics."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Add one batch to the test metrics and keep its forecasts."""
        forecast, quantiles = self._evaluate(batch, "test")
        step = torch.arange(1, forecast.shape[1] + 1)
        row = (batch.index.unsqueeze(1), step, batch.reference, batch.actual, forecast)
        each = [column.cpu().double().expand(forecast.shape).flatten() for column in row]
        if quantiles is not None:
            each += quantiles.cpu().double().flatten(0, 1).unbind(1)
        self._test_rows.add(torch.stack(each, dim=1))

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the test metrics and order the forecasts by day."""
        self._log_scores("test")
        rows = self._test_rows.take()
        keys = ["row", "step", *self.task.columns, *(f"q{level:g}" for level in self.output.levels)]
        if not (rows[:, 1] > 1).any():
            keys, rows = [keys[0], *keys[2:]], torch.cat([rows[:, :1], rows[:, 2:]], dim=1)
        ordered = rows[rows[:, 0].argsort(stable=True)].tolist()
        self.forecasts = [dict(zip(keys, row, strict=True)) for row in ordered]

    def on_fit_start(self) -> None:
        """Remember how often to log."""
        self._log_every_n_steps: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser over the parameters that are trained."""
        return self._make_optimizer(p for p in self.parameters() if p.requires_grad)

    def diagnosis_loss(self, batch: Any) -> Tensor:
        """Return the training loss without logging anything, for replaying a batch."""
        return self._losses(batch)[0]

    def _losses(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the loss to minimise and the prior's part of it, both scalars."""
        output = self.model(batch.x)
        loss = self._loss(at_least_float32(output.preds), batch.y)
        if self.prior is None or output.weights is None:
            return loss, loss.new_zeros(())
        aux_loss = self.prior.loss(at_least_float32(output.weights))
        return loss + aux_loss, aux_loss

    def _evaluate(self, batch: Any, stage: str) -> tuple[Tensor, Tensor | None]:
        preds = self(batch.x)
        self._eval_losses.add(self._loss(preds, batch.y, reduction="none").flatten())
        forecast, quantiles = self.read(preds, batch.reference, batch.series)
        self._metrics(stage).update(forecast, batch.reference, batch.actual)
        return forecast, quantiles

    def read(
        self, preds: Tensor, reference: Tensor, series: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return what is forecast (B, K) and its quantiles (B, K, L), if any, in its unit.

        Args:
            preds: what `forward` returned.
            reference: of each window (B, 1).
            series: which of several each window is of (B,).
        """
        return read(self.output, preds, lambda one: self.to_price(one, reference, series))

    def _metrics(self, stage: str) -> Metrics:
        return self.val_metrics if stage == "val" else self.test_metrics

    def _log_scores(self, stage: str) -> None:
        metrics = self._metrics(stage)
        scores = metrics.compute()
        metrics.reset()
        loss = self._eval_losses.take().mean()
        if not bool(loss.isfinite()):
            name = {"val": "validation"}.get(stage, stage)
            step = self.trainer.global_step
            raise FloatingPointError(f"{name} loss is {loss.item()} at step {step}")
        error = self.task.error
        skill = skill_score(scores["model"][error], scores["baseline"][error])
        self.log(f"{stage}/loss", loss, prog_bar=stage == "val", sync_dist=True)
        self.log(f"{stage}/skill", skill, prog_bar=stage == "val", sync_dist=True)
        self.log_dict({f"{stage}/{k}": v for k, v in scores["model"].items()}, sync_dist=True)
        if stage == "val" and self.trainer.state.fn == TrainerFn.FITTING:
            step = self.trainer.global_step
            self.validation.append({"step": step, "loss": float(loss), "skill": skill})
        self.scores = scores

    def _refuse_non_finite(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss.detach())):
            raise FloatingPointError(
                f"training loss is {loss.item()} at step {self.trainer.global_step}: "
                "stopped before the weights were changed"
            )
