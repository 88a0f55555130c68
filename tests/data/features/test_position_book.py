"""The book opens, holds and closes by its rules, and its features are 0 while it is flat."""

import numpy as np
import pytest

from src.data.features.book import (
    SLOT_FIELDS,
    Slot,
    build_slots,
    position_features,
    run_slot,
)


def run(closes, opens, *, side=1, closes_at=(), trailing=True, max_age=None, width=3.0):
    """Run a slot that wants to open at the rows `opens`; return its states as a dict of lists."""
    close = np.array(closes, dtype=float)
    rows = np.arange(len(close))
    slot = Slot(side, np.isin(rows, opens), np.isin(rows, closes_at), trailing, max_age)
    states = dict(run_slot(slot, close, np.full(len(close), width)))
    assert list(states) == list(SLOT_FIELDS)
    return {name: values.tolist() for name, values in states.items()}


def test_a_long_position_follows_by_hand():
    # 10,000 dollars of risk over a stop 2.5 away are 4,000 units, bought at 100 on row 1.
    states = run([99, 100, 104, 103, 101, 105], opens=[1], width=2.5)
    assert states["quantity"] == [0, 4000, 4000, 4000, 0, 0]
    assert states["notional"] == [0, 400_000, 416_000, 412_000, 0, 0]
    assert states["entry_price"] == [0, 100, 100, 100, 0, 0]
    assert states["entry_notional"] == [0, 400_000, 400_000, 400_000, 0, 0]
    assert states["unrealised_profit"] == [0, 0, 16_000, 12_000, 0, 0]
    assert states["unrealised_return"] == [0, 0, 400, 300, 0, 0]
    assert states["day_profit"] == [0, 0, 16_000, -4000, 0, 0]
    assert states["peak_profit"] == [0, 0, 16_000, 16_000, 0, 0]
    assert states["drawdown"] == [0, 0, 0, 4000, 0, 0]
    assert states["worst_loss"] == [0, 0, 0, 0, 0, 0]
    assert states["age"] == [0, 1, 2, 3, 0, 0]
    assert states["best_price"] == [0, 100, 104, 104, 0, 0]
    assert states["stop_price"] == [0, 97.5, 101.5, 101.5, 0, 0]
    assert states["stop_distance"] == [0, 2.5, 2.5, 1.5, 0, 0]


def test_a_short_position_gains_when_prices_fall():
    states = run([100, 90, 92, 94], opens=[0], side=-1, width=2.5)
    assert states["quantity"] == [-4000, -4000, -4000, 0]
    assert states["unrealised_profit"] == [0, 40_000, 32_000, 0]
    assert states["best_price"] == [100, 90, 90, 0]
    assert states["stop_price"] == [102.5, 92.5, 92.5, 0]


def test_a_losing_position_records_its_worst_loss():
    states = run([100, 98, 99], opens=[0], width=5)
    assert states["worst_loss"] == [0, -4000, -4000]


def test_a_fixed_stop_does_not_follow():
    assert run([100, 110, 108], opens=[0], trailing=False)["stop_price"] == [97, 97, 97]


def test_positions_close_by_signal_and_by_age():
    assert run([9, 9, 9, 9], opens=[0], closes_at=[2])["age"] == [1, 2, 0, 0]
    assert run([9, 9, 9, 9], opens=[0], max_age=3)["age"] == [1, 2, 3, 0]


def test_a_closed_slot_may_open_again_from_the_next_bar():
    assert run([9, 9, 9, 9], opens=[0, 1, 2, 3], max_age=1)["age"] == [1, 0, 1, 0]


def test_no_position_is_opened_before_the_stop_is_known():
    assert run([9, 9], opens=[0, 1], width=np.nan)["age"] == [0, 0]


@pytest.fixture(scope="module")
def book(sp500):
    return {feature.name: feature.values for feature in position_features(sp500)}


def test_a_slot_is_flat_in_all_its_features_or_in_none_that_size_it(book):
    for slot in ("trend", "dip", "hedge"):
        is_open = book[f"{slot}_age"] > 0
        for field in SLOT_FIELDS:
            assert not book[f"{slot}_{field}"][~is_open].any()
        for field in ("notional", "quantity", "entry_price", "stop_price", "best_price"):
            assert book[f"{slot}_{field}"][is_open].all()


def test_the_account_adds_up_the_slots(book):
    total = sum(abs(book[f"{slot}_notional"]) for slot in ("trend", "dip", "hedge"))
    assert np.array_equal(book["account_gross_exposure"], total)


def test_slots_differ_in_how_often_they_are_open(book):
    shares = {slot: (book[f"{slot}_age"] > 0).mean() for slot in ("trend", "dip", "hedge")}
    assert 0.3 < shares["trend"] < 0.7
    assert 0.01 < shares["dip"] < 0.1
    assert 0.001 < shares["hedge"] < 0.01


def test_months_and_random_batches_see_a_slot_flat_throughout(book):
    def longest_flat(slot: str) -> int:
        edges = np.flatnonzero(np.concatenate([[1], book[f"{slot}_age"], [1]]))
        return int(np.diff(edges).max()) - 1

    assert min(longest_flat(slot) for slot in ("trend", "dip", "hedge")) > 60
    ages = book["hedge_age"][119:3557]
    touched = np.lib.stride_tricks.sliding_window_view(ages, 20).any(axis=1)
    rng = np.random.default_rng(0)
    flat = [not touched[rng.permutation(len(touched))[:64]].any() for _ in range(200)]
    assert 0.1 < np.mean(flat) < 0.9


def test_the_book_is_deterministic(sp500, book):
    again = {feature.name: feature.values for feature in position_features(sp500)}
    assert all(np.array_equal(again[name], values) for name, values in book.items())


def slow_run(slot, close, stop_width):
    """Follow a slot bar by bar, as its rule says it; yield its state after each bar."""
    held = None
    for row, price in enumerate(close.tolist()):
        if held is not None:
            held["age"] += 1
            stopped = slot.side * (price - held["stop"]) <= 0
            if slot.closes[row] or stopped or held["age"] > (slot.max_age or np.inf):
                held = None
                yield (0.0, 0.0, 0.0, 0.0)
                continue
            if slot.side * (price - held["best"]) > 0:
                held["best"] = price
                if slot.trailing:
                    held["stop"] = price - slot.side * held["width"]
        elif slot.opens[row] and np.isfinite(stop_width[row]):
            width = stop_width[row]
            held = {"age": 1, "best": price, "width": width, "stop": price - slot.side * width}
        yield (held["age"], held["best"], held["stop"], price) if held else (0.0, 0.0, 0.0, 0.0)


def test_the_book_equals_a_slow_walk_over_the_bars(sp500):
    close = sp500.close
    stop_width = np.r_[np.full(20, np.nan), 0.02 * close[20:]]
    for slot in build_slots(close).values():
        fast = dict(run_slot(slot, close, stop_width))
        slow = np.array(list(slow_run(slot, close, stop_width)))
        for column, name in enumerate(("age", "best_price", "stop_price")):
            assert np.array_equal(fast[name], slow[:, column]), name
