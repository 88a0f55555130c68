"""The predictor: the run's own forecasts, bitwise the same alone and together."""

import csv
import itertools
import json
import shutil

import numpy as np
import pytest
import torch

from src.data import load_prices
from src.data.reading.sources import BAR_COLUMNS
from src.runs.calibration import calibrate
from src.runs.opening import open_run
from src.runs.predictor import BLOCK_SIZE, Predictor, bitwise_block_size


def share(seed, price, spread):
    """Return 60 closes of a made-up share."""
    rng = np.random.default_rng(seed)
    return price * np.exp(np.cumsum(spread * rng.standard_normal(60)))


PETR4, VALE3 = share(1, 35.0, 0.03), share(2, 60.0, 0.02)


def bits(forecasts):
    return [array.tobytes() for array in forecasts]


def test_two_requests_in_a_row_give_exactly_what_each_gives_alone(kept_run):
    folder = kept_run("experiment=price_lstm")
    both = open_run(folder).predictor
    in_a_row = [bits(both.forecast(both.windows_of_closes(w[None]))) for w in (PETR4, VALE3, PETR4)]
    for window, found in zip((PETR4, VALE3, PETR4), in_a_row, strict=True):
        fresh = open_run(folder).predictor
        assert bits(fresh.forecast(fresh.windows_of_closes(window[None]))) == found
    assert in_a_row[0] != in_a_row[1]


@pytest.mark.parametrize("model", ["lstm", "gru", "rnn"])
def test_a_window_is_forecast_bitwise_alike_among_any_others(kept_run, model):
    predictor = open_run(kept_run("experiment=price_lstm", f"model={model}")).predictor
    closes = np.stack([share(seed, 10.0 * (seed + 1), 0.02) for seed in range(21)])
    together = predictor.forecast(predictor.windows_of_closes(closes)).predicted_price
    order = np.random.default_rng(0).permutation(21)
    shuffled = predictor.forecast(predictor.windows_of_closes(closes[order])).predicted_price
    alone = [
        predictor.forecast(predictor.windows_of_closes(w[None])).predicted_price for w in closes
    ]
    assert together.tobytes() == np.concatenate(alone).tobytes()
    assert shuffled.tobytes() == together[order].tobytes()


def test_a_model_whose_rounding_depends_on_the_place_is_asked_one_window_at_a_time():
    def by_place(x):
        return x.sum((1, 2))[:, None] + torch.arange(len(x))[:, None]

    assert bitwise_block_size(by_place, 5, 1) == 1
    assert bitwise_block_size(lambda x: x.sum((1, 2))[:, None], 5, 1) == BLOCK_SIZE


@pytest.mark.parametrize("preset", ["price_lstm", "price_lstm_textbook", "bars_transformer"])
def test_the_checkpoint_alone_repeats_the_forecasts_of_the_run(kept_run, preset, tmp_path):
    folder = kept_run(f"experiment={preset}")
    alone = tmp_path / "model.ckpt"
    shutil.copy(folder / "checkpoints" / "best.ckpt", alone)
    predictor = open_run(alone).predictor
    table = load_prices("sp500", columns=BAR_COLUMNS)
    windows = predictor.windows_of_table(table, last=11)
    predicted = predictor.forecast(windows).predicted_price[:10]
    run = open_run(folder)
    datamodule = run.datamodule
    batch = datamodule.datasets["test"][torch.arange(-10, 0) % datamodule.windows("test")]
    assert torch.equal(windows.x[:10], batch.x)
    with (folder / "forecasts.csv").open() as file:
        rows = {row["date"]: float(row["predicted_price"]) for row in csv.DictReader(file)}
    for row, price in zip(batch.index.tolist(), predicted, strict=True):
        date = str(datamodule.dates[row])[:10]
        if date in rows:
            assert price == pytest.approx(rows[date], rel=1e-6)


def test_the_calibration_kept_is_the_one_measured_on_both_held_out_parts(kept_run):
    folder = kept_run("experiment=price_lstm")
    run = open_run(folder)
    module, datamodule = run.module, run.datamodule
    measured = calibrate(module, datamodule)
    kept = open_run(folder).predictor.calibration
    np.testing.assert_array_equal(kept.validation, measured.validation)
    np.testing.assert_array_equal(kept.test, measured.test)
    assert len(kept.validation) == datamodule.windows("val")
    assert len(kept.test) == datamodule.windows("test")


def test_calibration_equals_a_slow_walk_over_the_test_days(kept_run):
    predictor = open_run(kept_run("experiment=price_lstm")).predictor
    run = open_run(kept_run("experiment=price_lstm"))
    datamodule = run.datamodule
    closes = load_prices("sp500").close
    kept = predictor.calibration.test
    assert (np.diff(kept) >= 0).all()
    for row in datamodule.datasets["test"].index[::23].tolist():
        window = closes[row - 60 : row].copy()
        found = predictor.forecast(predictor.windows_of_closes(window[None])).predicted_price[0]
        returns = [b / a - 1 for a, b in itertools.pairwise(window)]
        slow = abs(closes[row] - found) / (window[-1] * np.std(returns))
        assert np.abs(kept - slow).min() < 1e-4


def test_without_the_data_there_are_forecasts_but_no_intervals(tiny_run, tmp_path):
    closes = np.exp(np.cumsum(0.01 * np.random.default_rng(0).standard_normal(600)))
    file = tmp_path / "my.csv"
    days = np.arange(600) + np.datetime64("2020-01-01")
    lines = (f"{day},{close:.6f}\n" for day, close in zip(days, closes, strict=True))
    file.write_text("date,close\n" + "".join(lines))
    folder = tiny_run("experiment=price_lstm", f"data.path={file}")
    file.unlink()
    assert open_run(folder).predictor.calibration is not None
    (folder / "calibration.json").unlink()
    predictor = open_run(folder).predictor
    assert predictor.calibration is None
    assert predictor.forecast(predictor.windows_of_closes(PETR4[None])).interval is None


def test_a_damaged_calibration_is_one_clear_error(kept_run, tmp_path):
    folder = shutil.copytree(kept_run("experiment=price_lstm"), tmp_path / "run")
    (folder / "calibration.json").write_text(json.dumps({"validation": [1.0]}))
    with pytest.raises(ValueError, match=r"calibration\.json is damaged"):
        _ = open_run(folder).predictor


def test_a_forecast_that_is_not_finite_is_refused(kept_run):
    facts = open_run(kept_run("experiment=price_lstm")).predictor.facts
    broken = Predictor(lambda x: torch.full((len(x), 1), torch.nan), facts)
    with pytest.raises(ValueError, match="finite"):
        broken.forecast(broken.windows_of_closes(PETR4[None]))
