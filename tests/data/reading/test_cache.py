import os

import numpy as np
import pytest
import torch

from src.data import DataError, PriceDataModule
from src.data.reading import cache as prepared


@pytest.fixture(autouse=True)
def empty_cache():
    prepared._load_and_prepare.cache_clear()


def write_prices(path, closes):
    rows = [f"{np.datetime64('2001-01-01') + day},{close}" for day, close in enumerate(closes)]
    path.write_text("\n".join(["date,close", *rows]) + "\n")


def set_up(path, **options):
    datamodule = PriceDataModule(path=str(path), context_length=5, batch_size=4, **options)
    datamodule.setup()
    return datamodule


def batches(datamodule):
    loaders = (datamodule.train_dataloader(), datamodule.test_dataloader())
    return [tensor for loader in loaders for batch in loader for tensor in batch]


def test_a_second_run_reads_nothing_and_gets_the_same_batches(tmp_path, monkeypatch):
    write_prices(tmp_path / "prices.csv", range(100, 200))
    first = batches(set_up(tmp_path / "prices.csv"))
    monkeypatch.setattr(prepared, "load_series", None)
    second = batches(set_up(tmp_path / "prices.csv"))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_file_that_changed_is_read_again(tmp_path):
    file = tmp_path / "prices.csv"
    write_prices(file, range(100, 200))
    before = set_up(file).dates
    write_prices(file, range(100, 201))
    os.utime(file, ns=(1, 1))
    assert len(set_up(file).dates) == len(before) + 1


def test_another_option_is_another_preparation(tmp_path):
    write_prices(tmp_path / "prices.csv", range(100, 200))
    returns, residuals = (
        batches(set_up(tmp_path / "prices.csv", target=t)) for t in ("log_return", "residual")
    )
    assert not torch.equal(returns[1], residuals[1])


def test_what_a_run_does_to_its_statistics_stays_its_own(tmp_path):
    write_prices(tmp_path / "prices.csv", range(100, 200))
    first = set_up(tmp_path / "prices.csv")
    mean = first.feature_mean.clone()
    first.feature_mean.zero_()
    assert torch.equal(set_up(tmp_path / "prices.csv").feature_mean, mean)


def test_a_fault_is_found_again_by_each_run(tmp_path):
    write_prices(tmp_path / "prices.csv", range(100, 104))
    for _ in range(2):
        with pytest.raises(DataError):
            set_up(tmp_path / "prices.csv")
