from types import SimpleNamespace

from src.callbacks.progress import RichProgressBar


def bar(max_epochs=-1, max_steps=-1):
    one = RichProgressBar()
    one._trainer = SimpleNamespace(
        max_epochs=max_epochs,
        max_steps=max_steps,
        progress_bar_metrics={"val/loss": 0.5},
        loggers=[],
    )
    return one


def test_the_training_loss_is_the_one_that_was_logged_last():
    module = SimpleNamespace(training_losses=[{"loss": loss} for loss in (3.0, 2.0, 1.0)])
    one = bar()
    shown = one.get_metrics(one.trainer, module)
    assert shown["train/loss"] == 1.0
    assert shown["val/loss"] == 0.5


def test_before_anything_is_logged_nothing_is_shown_of_it():
    one = bar()
    assert "train/loss" not in one.get_metrics(one.trainer, SimpleNamespace(training_losses=[]))


def test_where_steps_end_a_training_the_bar_says_which():
    assert bar(max_steps=1200)._get_train_description(9).strip() == "Epoch 9, to step 1,200"
    assert bar(max_steps=0)._get_train_description(0).strip() == "Epoch 0, to step 0"
    assert bar()._get_train_description(9).strip() == "Epoch 9"
    assert bar(max_epochs=20)._get_train_description(9).strip() == "Epoch 9/19"
