"""`compile=true` changes how fast a model trains, and where it cannot says so before anything."""

import pytest
import torch

from src.runs.run import run
from tests.conftest import TINY, report_of


def test_a_machine_that_cannot_compile_is_told_so_and_nothing_is_written(
    composed, tmp_path, monkeypatch
):
    def without_a_compiler(_):
        raise RuntimeError("no C++ compiler\nmany lines more")

    monkeypatch.setattr(torch, "compile", without_a_compiler)
    config, choices = composed("experiment=price_lstm", *TINY, "compile=true")
    expected = "^compile: this machine cannot, use compile=false: no C\\+\\+ compiler$"
    with pytest.raises(ValueError, match=expected):
        run(config, choices, ["compile=true"])
    assert not list(tmp_path.iterdir())


def test_what_has_nothing_to_train_is_not_compiled(composed, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda _: pytest.fail("nothing to gain"))
    config, choices = composed("model=naive", *TINY, "compile=true", "logger=none")
    run(config, choices, ["compile=true"])


@pytest.mark.slow
def test_a_compiled_model_trains_to_the_same_losses_and_is_watched_as_ever(kept_run):
    size = [
        "experiment=bars_transformer",
        "model.hidden_size=16",
        "model.num_layers=1",
        "callbacks=default",
    ]
    plain = report_of(kept_run(*size))
    compiled = report_of(kept_run(*size, "compile=true"))
    for name in ("rmse", "mae"):
        expected = plain["test"]["model"][name]
        assert compiled["test"]["model"][name] == pytest.approx(expected, rel=1e-4)
    assert compiled["best"]["val_loss"] == pytest.approx(plain["best"]["val_loss"], rel=1e-4)
    causes = [[f["cause"] for f in r["diagnosis"]["findings"]] for r in (plain, compiled)]
    assert causes[0] == causes[1]
    assert compiled["pooling"]["latest"].keys() == plain["pooling"]["latest"].keys()
