"""Several series, one model: no window in two of them, none sees another's future."""

import dataclasses

import numpy as np
import pytest
import torch

from src.data import PriceDataModule
from src.data.facts import DataFacts
from src.data.identity import how_they_differ, identity_of
from src.data.preparation import prepare
from src.data.reading.series import PriceTable
from src.data.windows import WindowDataset
from tests.data.reading.market import bar, make_bars, table

HEAD = ("Date", "Open", "High", "Low", "Close", "Volume")
OPTIONS = {
    "features": "prices",
    "context_length": 5,
    "target": "log_return",
    "input": "price",
    "scaler": "minmax",
    "split": (0.7, 0.15, 0.15),
}


def series(name, first, last, price=1.0):
    """Return daily closes that rise by `price` a day."""
    dates = np.arange(first, last, dtype="datetime64[D]").astype("datetime64[s]")
    close = price * (100.0 + np.arange(len(dates)))
    return PriceTable(name, dates, {"close": close}, len(dates), ticker=name, frequency="daily")


TABLES = (series("A", "2020-01-01", "2020-07-01"), series("B", "2020-02-10", "2020-06-20", 7.0))


@pytest.fixture
def folder(tmp_path):
    for name, price, first in (("PETR4", 35.0, 0), ("VALE3", 60.0, 40), ("LATE", 10.0, 250)):
        rows = bar(make_bars(count=300, price=price, seed=first))[first:]
        (tmp_path / f"{name}.csv").write_text(table([HEAD, *rows]))
    return tmp_path


def test_integers_cut_into_windows_never_follow_one_series_by_another():
    def residual(price, last_price):
        return price - last_price

    parts = [
        WindowDataset(torch.arange(n, n + 8.0)[:, None], np.arange(n, n + 8.0), 3, n, residual)
        for n in (0, 100)
    ]
    joined = WindowDataset.join(parts)
    batch = joined[torch.arange(len(joined))]
    assert len(joined) == 10
    assert torch.equal(batch.x[:, :, 0], batch.index[:, None] - torch.tensor([3, 2, 1]))
    assert torch.equal(batch.y, torch.ones(10, 1))
    assert torch.equal(joined.windows, batch.x)
    assert torch.equal(joined.latest(), batch.x[:, -1])


def test_all_series_are_split_at_the_same_dates():
    data = prepare(TABLES, **OPTIONS)
    ends = {}
    for name in ("train", "val", "test"):
        pairs = zip(data.tables, data.rows, strict=True)
        shown = [one.dates[rows[name].start : rows[name].stop] for one, rows in pairs]
        ends[name] = min(d[0] for d in shown), max(d[-1] for d in shown)
    assert ends["train"][1] < ends["val"][0]
    assert ends["val"][1] < ends["test"][0]
    rows = [len(part["train"]) for part in data.rows]
    assert sum(rows) == pytest.approx(0.7 * sum(map(len, TABLES)), abs=2)


def test_every_series_is_scaled_by_its_own_training_part():
    data = prepare(TABLES, **OPTIONS)
    x = data.datasets["train"][torch.arange(len(data.datasets["train"]))]
    for number, one in enumerate(TABLES):
        closes = one.close[: data.rows[number]["train"].stop]
        own = x.x[x.series == number]
        assert own.max() < 1.0  # the last close of the part is no input
        assert own.min() == 0.0
        assert data.input_scaling.of(number).offset == closes.min()
    # No change is the same number in each: 0.
    assert data.target_scaling.offset == (0.0, 0.0)


def test_predictions_become_prices_of_their_own_series():
    data = prepare(TABLES, **OPTIONS)
    test = data.datasets["test"]
    batch = test[torch.arange(len(test))]
    assert set(batch.series.tolist()) == {0, 1}
    prices = data.target_scaling.to_price(batch.y, batch.last_price, batch.series)
    assert torch.allclose(prices, batch.price)
    with pytest.raises(AssertionError, match="of which one"):
        data.target_scaling.to_price(batch.y, batch.last_price)


@pytest.mark.parametrize("target", ["log_return", "residual", "price"])
def test_tomorrow_is_today_reads_the_same_in_every_series(folder, target):
    names = [str(folder / f"{name}.csv") for name in ("PETR4", "VALE3")]
    data = PriceDataModule(path=names, context_length=10, target=target, input="price")
    data.setup()
    batch = next(iter(data.test_dataloader()))
    feature, scale, offset, _ = data.persistence
    preds = scale * batch.x[:, -1, feature, None] + offset
    prices = data.to_price(preds, batch.last_price, batch.series)
    assert torch.allclose(prices, batch.last_price, rtol=1e-5)


def test_rows_after_the_split_change_nothing_of_the_training():
    early = prepare(TABLES, **OPTIONS)
    changed = []
    for one, rows in zip(TABLES, early.rows, strict=True):
        close = one.close.copy()
        close[rows["train"].stop :] *= 10
        changed.append(dataclasses.replace(one, columns={"close": close}))
    late = prepare(changed, **OPTIONS)
    every = torch.arange(len(early.datasets["train"]))
    for a, b in zip(early.datasets["train"][every], late.datasets["train"][every], strict=True):
        assert torch.equal(a, b)
    assert late.target_scaling == early.target_scaling
    assert late.input_scaling == early.input_scaling


def test_a_series_with_nothing_to_learn_from_is_left_out_and_said(folder):
    data = PriceDataModule(path=str(folder), context_length=10)
    data.setup()
    assert data.series == ("PETR4", "VALE3")
    assert "LATE is left out: 0 of its 50 rows" in data.describe()["warnings"][-1]
    without = PriceDataModule(path=str(folder), tickers=["PETR4", "VALE3"], context_length=10)
    without.setup()
    assert torch.equal(without.datasets["test"].y, data.datasets["test"].y)


def test_bars_of_several_series_have_features_of_their_own(folder):
    names = ["PETR4", "VALE3"]
    data = PriceDataModule("bars", path=str(folder), tickers=names, context_length=5)
    data.setup()
    alone = PriceDataModule("bars", path=str(folder / "VALE3.csv"), context_length=5)
    alone.setup()
    batch = data.datasets["train"][torch.arange(len(data.datasets["train"]))]
    own = alone.datasets["train"][torch.arange(20)]
    assert torch.equal(batch.x[batch.series == 1][:20], own.x)


def test_the_facts_of_a_run_survive_their_checkpoint_and_give_each_series_its_own(folder):
    data = PriceDataModule(path=str(folder), tickers=["PETR4", "VALE3"], context_length=10)
    data.setup()
    facts = DataFacts.of(data)
    again = DataFacts.from_dict(facts.to_dict())
    assert again.to_dict() == facts.to_dict()
    one = again.of_series("vale3")
    assert one.target_scaling == data.target_scaling.of(1)
    with pytest.raises(ValueError, match=r"trained on several series.*: PETR4, VALE3; X is none"):
        again.of_series("X")
    broken = facts.to_dict() | {"series": ["PETR4"]}
    with pytest.raises(ValueError, match="_scaling is"):
        DataFacts.from_dict(broken)


def test_it_is_said_which_of_several_series_changed():
    before = identity_of(TABLES)
    assert how_they_differ(before, TABLES) is None
    other = dataclasses.replace(TABLES[1], columns={"close": TABLES[1].close * 2})
    words = "B, B: the same 131 days with other prices"
    assert how_they_differ(before, (TABLES[0], other)) == words
    assert how_they_differ(before, TABLES[:1]) == "B is not there"
    assert how_they_differ(identity_of(TABLES[:1]), TABLES).startswith("A is new")
