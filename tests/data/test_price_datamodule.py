"""The data module keeps its contract: shapes, splits without leakage, order, and prices back."""

import dataclasses
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src.data import PriceDataModule, encode_closes, load_prices, preparation
from src.data.preparation import prepare
from src.data.reading import cache
from src.data.reading.errors import DataError
from src.data.reading.several import load_series

CONFIGS = Path(__file__).parents[2] / "conf" / "data"
BARS = {"features": "bars", "context_length": 20, "batch_size": 64}
TEXTBOOK = {"input": "price", "target": "price", "scaler": "minmax"}
SETTINGS = {
    "bars": BARS,
    "bars residual": {**BARS, "target": "residual"},
    "prices": {},
    "nasdaq": {"source": "nasdaq"},
    "residual": {"target": "residual"},
    "textbook": TEXTBOOK,
    "standard": {**TEXTBOOK, "scaler": "standard"},
    "raw": {**TEXTBOOK, "scaler": "none"},
    "price input": {"input": "price"},
}
every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def ready(**settings):
    data = PriceDataModule(**settings)
    data.setup()
    return data


def all_batches(data):
    return {name: dataset[torch.arange(len(dataset))] for name, dataset in data.datasets.items()}


@every_setting
def test_batches_keep_the_contract(settings):
    data = ready(**settings)
    batch = next(iter(data.train_dataloader()))
    size, length, width = data.batch_size, data.context_length, data.num_features
    assert batch.x.shape == (size, length, width)
    assert batch.y.shape == batch.price.shape == batch.last_price.shape == (size, 1)
    assert [field.dtype for field in batch] == [torch.float32] * 4 + [torch.int64] * 2 + [
        torch.float32
    ] * 2
    assert all(field.is_contiguous() for field in batch)
    assert len(data.feature_names) == len(data.feature_units) == width
    assert data.feature_mean.shape == data.feature_std.shape == (width,)
    assert all(torch.isfinite(field).all() for field in batch)


@every_setting
def test_targets_turn_back_into_prices_and_persistence_into_last_prices(settings):
    data = ready(**settings)
    closes = torch.from_numpy(data.datasets["test"].price.numpy())
    batch = all_batches(data)["test"]
    assert torch.allclose(data.to_price(batch.y, batch.last_price), closes, rtol=1e-5)
    feature, scale, offset, _ = data.persistence
    preds = (scale * batch.x[:, -1, feature] + offset)[:, None]
    assert torch.allclose(data.to_price(preds, batch.last_price), batch.last_price, rtol=1e-5)


@every_setting
def test_no_raw_row_is_in_two_splits(settings):
    data = ready(**settings)
    rows = {
        name: {
            row for end in batch.index.tolist() for row in range(end - data.context_length, end + 1)
        }
        for name, batch in all_batches(data).items()
    }
    assert max(rows["train"]) < min(rows["val"])
    assert max(rows["val"]) < min(rows["test"])
    assert max(rows["test"]) == len(data.dates) - 1


@every_setting
def test_rows_after_the_training_split_leave_training_bitwise_the_same(settings, monkeypatch):
    before = ready(**settings)
    end = before.rows[0]["train"].stop

    def load_tampered(*args, **kwargs):
        (table,) = load_series(*args, **kwargs)
        columns = {name: values.copy() for name, values in table.columns.items()}
        for values in columns.values():
            values[end:] *= 10
        return (dataclasses.replace(table, columns=columns),)

    monkeypatch.setattr(cache, "load_series", load_tampered)
    monkeypatch.setattr(cache, "_load_and_prepare", cache._load_and_prepare.__wrapped__)
    after = ready(**settings)
    assert before.input_scaling == after.input_scaling
    assert before.target_scaling == after.target_scaling
    assert torch.equal(before.feature_mean, after.feature_mean)
    assert torch.equal(before.feature_std, after.feature_std)
    batches = all_batches(before)["train"], all_batches(after)["train"]
    assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True))
    assert not torch.equal(all_batches(before)["val"].price, all_batches(after)["val"].price)


def test_increasing_integers_show_no_off_by_one_in_any_split(make_table):
    data = prepare(
        [make_table(np.arange(1, 201))],
        features="prices",
        context_length=5,
        input="price",
        target="price",
        scaler="none",
        split=(0.7, 0.15, 0.15),
    )
    for dataset in data.datasets.values():
        batch = dataset[torch.arange(len(dataset))]
        assert torch.equal(batch.x[:, -1], batch.last_price)
        assert torch.equal(batch.last_price + 1, batch.price)
        assert torch.equal(batch.y, batch.price)
        assert torch.equal(batch.index, batch.price[:, 0].long() - 1)
        assert torch.all(batch.x.diff(dim=1) == 1)


def test_bar_windows_are_those_of_the_named_raw_rows(sp500):
    data = ready(**BARS)
    for name, batch in all_batches(data).items():
        rows = batch.index.numpy()
        assert np.allclose(batch.price[:, 0], sp500.close[rows]), name
        assert np.allclose(batch.last_price[:, 0], sp500.close[rows - 1]), name
        entry = data.feature_names.index("position_trend_notional")
        quantity = data.feature_names.index("position_trend_quantity")
        held = batch.x[:, -1, quantity] * batch.last_price[:, 0]
        assert torch.allclose(batch.x[:, -1, entry], held, rtol=1e-4), name


def test_inputs_are_about_one_in_size_and_statistics_are_those_of_training():
    data = ready()
    x = all_batches(data)["train"].x
    assert 0.5 < x.std() < 2
    assert torch.allclose(data.feature_mean, x.mean((0, 1)), atol=1e-4)
    assert torch.allclose(data.feature_std, x.flatten(0, 1).std(0), atol=1e-3)


@every_setting
def test_statistics_taken_block_by_block_are_the_same(settings, monkeypatch):
    whole = ready(**settings)
    monkeypatch.setattr(preparation, "_BLOCK", 20_000)
    monkeypatch.setattr(cache, "_load_and_prepare", cache._load_and_prepare.__wrapped__)
    blocks = ready(**settings)
    assert torch.allclose(whole.feature_mean, blocks.feature_mean, rtol=1e-5, atol=1e-6)
    assert torch.allclose(whole.feature_std, blocks.feature_std, rtol=1e-5)


def test_a_constant_feature_has_standard_deviation_one():
    data = ready(**BARS)
    kicking = data.feature_names.index("indicator_kicking")
    assert (data.feature_mean[kicking], data.feature_std[kicking]) == (0, 1)
    assert (data.feature_std > 0).all()


@pytest.mark.parametrize("settings", [{}, {"input": "price"}], ids=["relative", "price"])
def test_serving_encodes_closes_exactly_as_training_does(settings):
    data = ready(**settings)
    table = load_prices("sp500")
    batch = all_batches(data)["val"]
    windows = np.stack([table.close[end - 60 : end] for end in batch.index.tolist()])
    x, last_price = encode_closes(windows, data.input_scaling)
    assert torch.equal(x, batch.x)
    assert torch.equal(last_price, batch.last_price)


@pytest.mark.parametrize("name", ["prices", "bars"])
def test_each_config_file_holds_arguments_of_the_data_module(name):
    config = OmegaConf.load(CONFIGS / f"{name}.yaml")
    defaults = {key: item.default for key, item in signature(PriceDataModule).parameters.items()}
    assert config.pop("_target_") == "src.data.PriceDataModule"
    config.seed = 0
    settings = OmegaConf.to_container(config)
    defaults.pop("changes")  # a group of its own
    assert set(settings.pop("columns").values()) == {defaults.pop("columns")}
    assert set(settings) == set(defaults) - (set() if name == "prices" else {"input", "scaler"})
    if name == "prices":
        assert settings == {**defaults, "split": list(defaults["split"])}
    assert ready(**settings).num_features == (1 if name == "prices" else 129)


def test_setup_runs_once_and_needs_no_trainer():
    data = ready()
    datasets = data.datasets
    data.setup("fit")
    assert data.datasets is datasets


def test_description_says_rows_dates_and_windows():
    assert ready(**BARS).describe() == {
        "data": "sp500",
        "rows": 5031,
        "frequency": "daily",
        "columns": {},
        "warnings": [],
        "warmup_rows": 119,
        "context_length": 20,
        "num_features": 129,
        "train": {"first": "1999-06-24", "last": "2013-02-22", "windows": 3418},
        "val": {"first": "2013-02-25", "last": "2016-01-27", "windows": 717},
        "test": {"first": "2016-01-28", "last": "2018-12-31", "windows": 717},
    }


def test_each_rank_evaluates_every_window():
    data = PriceDataModule()
    data.trainer = SimpleNamespace(
        global_rank=1, world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu"))
    )
    data.setup()
    visited = torch.cat([batch.index for batch in data.test_dataloader()])
    assert len(visited) == data.windows("test")


def test_each_rank_gets_its_share_of_training_windows():
    data = ready()
    shares = []
    for rank in range(2):
        data.trainer = SimpleNamespace(
            global_rank=rank,
            world_size=2,
            strategy=SimpleNamespace(root_device=torch.device("cpu")),
        )
        shares.append([batch.index for batch in data.train_dataloader()])
    assert len(shares[0]) == len(shares[1])
    together = torch.cat([torch.cat(share) for share in shares])
    assert torch.equal(together.sort().values, data.datasets["train"].index)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "ticks"}, "features must be one of prices, bars, got 'ticks'"),
        ({"source": "dax"}, "source must be one of sp500, nasdaq, got 'dax'"),
        (
            {"target": "sign"},
            "target must be one of log_return, residual, price, volatility, direction, got 'sign'",
        ),
        ({"input": "x"}, "input must be one of relative, price, got 'x'"),
        ({"scaler": "x"}, "scaler must be one of minmax, standard, none, got 'x'"),
        ({"context_length": 1}, "context_length must be an int of at least 2, got 1"),
        ({"batch_size": 0}, "batch_size must be an int of at least 1, got 0"),
        ({"num_workers": -1}, "num_workers must be an int of at least 0, got -1"),
        ({"seed": 1.5}, "seed must be an int of at least 0, got 1.5"),
        ({"split": [0.5, 0.6, 0.1]}, r"split must be .* sum 1, got \[0.5, 0.6, 0.1\]"),
        ({"target": "price"}, "target=price needs features=prices and input=price"),
        ({**BARS, **TEXTBOOK}, "got features=bars and input=price"),
        ({"batch_size": 4000}, "batch_size must be at most 3462 training windows, got 4000"),
        (
            {"context_length": 755},
            r"sp500:5031:1: found 5031 rows of prices, expected at least 5039",
        ),
    ],
)
def test_a_wrong_argument_is_refused_with_its_value(settings, message):
    with pytest.raises(ValueError, match=message):
        ready(**settings)


def test_a_file_too_short_for_one_window_per_split_says_how_many_rows_it_needs(write_csv):
    days = np.arange(100).astype("datetime64[D]")
    path = write_csv("Date,Close\n" + "".join(f"{day},10\n" for day in days))
    with pytest.raises(
        DataError, match=r"my.csv:101:1: found 100 rows of prices, expected at leas"
    ):
        ready(path=str(path))
    assert ready(path=str(path), context_length=10).windows("test") == 5


class Recorder(pl.LightningModule):
    """A model of one weight that notes which windows each epoch visits."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.visits: dict[int, list[list[int]]] = {}

    def training_step(self, batch, batch_index):
        self.visits.setdefault(self.current_epoch, []).append(batch.index.tolist())
        return (self.weight - batch.y).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(tmp_path, max_epochs, ckpt_path=None):
    model, data = Recorder(), PriceDataModule(batch_size=512, seed=3)
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, data, ckpt_path=ckpt_path, weights_only=True)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    return model.visits


def test_lightning_gives_each_epoch_its_own_order_and_a_resumed_run_the_same(tmp_path):
    straight = fit(tmp_path, max_epochs=3)
    assert straight[0] != straight[1] != straight[2]
    fit(tmp_path, max_epochs=1)
    resumed = fit(tmp_path, max_epochs=3, ckpt_path=tmp_path / "last.ckpt")
    assert resumed == {1: straight[1], 2: straight[2]}
