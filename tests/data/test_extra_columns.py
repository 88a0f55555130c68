"""Columns of the user's own as features: of their row, scaled by training rows, never later."""

import numpy as np
import pytest
import torch

from src.data import PriceDataModule
from src.data.reading.errors import DataError
from src.data.reading.several import load_series
from src.data.reading.sources import ReadOptions
from tests.data.reading.market import bar, make_bars, table

HEAD = ("Date", "Open", "High", "Low", "Close", "Volume", "RSI", "Sentiment")
BARS = make_bars(count=320)
RSI = [*[""] * 14, *np.round(50 + 20 * np.sin(np.arange(306)), 3).tolist()]
SENTIMENT = [f"{x:.2f}" for x in np.random.default_rng(1).normal(size=320)]


@pytest.fixture
def write(tmp_path):
    def _write(rsi=RSI, sentiment=SENTIMENT, newest_first=False):
        rows = [
            (*row, *own)
            for row, own in zip(bar(BARS), zip(rsi, sentiment, strict=True), strict=True)
        ]
        path = tmp_path / "my.csv"
        path.write_text(table([HEAD, *(rows[::-1] if newest_first else rows)]))
        return path

    return _write


def read(path, *names):
    (one,) = load_series("sp500", str(path), options=ReadOptions(extra=names))
    return one


def set_up(path, features="prices", **options):
    extra = options.pop("extra", ["rsi", "Sentiment"])
    data = PriceDataModule(features, path=str(path), extra=extra, context_length=10, **options)
    data.setup()
    return data


def every(data, name):
    return data.datasets[name][torch.arange(len(data.datasets[name]))]


def test_values_stand_beside_the_bar_of_their_date_whatever_the_order_of_the_file(write):
    one = read(write(newest_first=True), "sentiment")
    assert len(one) == 320
    assert one.extra["sentiment"].tolist() == [float(cell) for cell in SENTIMENT]


def test_bars_before_the_first_value_are_left_out_and_said(write):
    one = read(write(), "RSI")
    assert one.dates[0] == np.datetime64(BARS.dates[14])
    assert "left out: 14 bars before the first value of RSI" in said(one)


def said(one):
    return "; ".join(f"{w.kind}: {w.text}" for w in one.warnings)


def test_a_missing_value_is_the_last_one_never_the_next(write):
    holes = [cell if n not in (100, 101) else "" for n, cell in enumerate(SENTIMENT)]
    one = read(write(sentiment=holes), "Sentiment")
    assert one.extra["Sentiment"][99:103].tolist() == [
        float(SENTIMENT[n]) for n in (99, 99, 99, 102)
    ]
    day = f"{BARS.dates[100]:%Y-%m-%d}"
    expected = f"Sentiment is missing in 2 bars, first on {day}: the last one stands in"
    assert expected in said(one)


@pytest.mark.parametrize(
    ("names", "cell", "expected"),
    [
        (("Sentiment",), "good", r"my.csv:102:8: found 'good' in Sentiment, expected a number"),
        (("mood",), "0.1", r"my.csv:1:1: .*expected a column mood, as data.extra says"),
    ],
)
def test_what_is_no_column_of_numbers_is_refused_by_row_and_name(write, names, cell, expected):
    cells = [cell if n == 100 else own for n, own in enumerate(SENTIMENT)]
    with pytest.raises(DataError, match=expected):
        read(write(sentiment=cells), *names)


def test_a_column_without_a_number_is_refused(write):
    with pytest.raises(DataError, match="found '' in Sentiment, expected a number in at least one"):
        read(write(sentiment=[""] * 320), "Sentiment")


def test_a_column_of_the_bar_may_be_a_feature_too(write):
    data = set_up(write(), extra=["Volume"])
    x, rows = every(data, "train").x, data.rows[0]["train"]
    volume = np.array(BARS.volume, dtype=float)[: rows.stop]
    expected = (volume[:10] - volume.mean()) / volume.std()
    assert torch.allclose(x[0, :, 1], torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize(("features", "width"), [("prices", 3), ("bars", 131)])
def test_both_kinds_of_features_take_them_and_their_names_are_known(write, features, width):
    data = set_up(write(), features)
    assert data.num_features == width
    assert data.feature_names[-2:] == ("extra_rsi", "extra_Sentiment")
    assert data.feature_groups["extra"] == slice(width - 2, width)
    x = every(data, "train").x[..., -2:].flatten(0, 1)
    assert torch.allclose(x.mean(0), torch.zeros(2), atol=0.2)
    assert torch.allclose(x.std(0), torch.ones(2), atol=0.2)


@pytest.mark.parametrize("features", ["prices", "bars"])
def test_a_future_that_is_cut_off_or_other_changes_no_window_before_it(write, features):
    whole = set_up(write(), features)
    cut = whole.rows[0]["test"].start + 20 + 14
    other = [cell if n < cut else f"{9 * float(cell):.2f}" for n, cell in enumerate(SENTIMENT)]
    changed = set_up(write(sentiment=other), features)
    for name in ("train", "val"):
        for a, b in zip(every(whole, name), every(changed, name), strict=True):
            assert torch.equal(a, b)
    a, b = every(whole, "test"), every(changed, "test")
    before = a.index <= cut - 14
    assert before.any()
    assert torch.equal(a.x[before], b.x[before])
    assert not torch.equal(a.x, b.x)


def test_each_of_several_series_scales_its_own_columns(write, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    for name, factor in (("A", 1), ("B", 1000)):
        cells = [f"{factor * float(cell):.2f}" for cell in SENTIMENT]
        write(sentiment=cells).rename(folder / f"{name}.csv")
    data = set_up(folder, extra=["Sentiment"])
    batch = every(data, "train")
    a, b = (batch.x[batch.series == n][..., 1] for n in (0, 1))
    assert torch.allclose(a, b, atol=1e-2)
