"""The 43 market features: what open, high, low, close and volume say, free of their level.

Every feature looks back only, is expressed in units of its own recent size, and is clipped to
[-2, 2]. "Sigma" is the standard deviation of the last 60 log returns from bar to bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from src.data.features.feature import Feature
from src.data.reading.sources import PriceTable

LIMIT = 2.0
_LOOKBACK = 60
_TINY = 1e-8


def market_features(table: PriceTable) -> Iterator[Feature]:
    """Compute the market features of every row, one after the other.

    Args:
        table: N bars with open, high, low, close and volume.

    Yields:
        The features, not clipped yet.
    """
    log_bars = pd.DataFrame(
        {name: np.log(table.columns[name]) for name in ("open", "high", "low", "close")}
    )
    returns = log_bars["close"].diff()
    sigma = returns.rolling(_LOOKBACK).std() + _TINY
    yield from _returns(log_bars["close"], sigma)
    yield from _shape_of_bar(log_bars, sigma)
    yield from _volatility(log_bars, returns, sigma)
    yield from _volume(pd.Series(table.columns["volume"]), returns)
    yield from _trend(log_bars["close"], sigma)
    yield from _distribution(returns, sigma)
    yield from _calendar(table.dates)


def _feature(name: str, unit: str, meaning: str, values: Any) -> Feature:
    return Feature(name, unit, meaning, np.asarray(values, dtype=np.float64))


def _returns(close: pd.Series, sigma: pd.Series) -> Iterator[Feature]:
    for lag in (1, 2, 5, 10, 20, 40, 60):
        meaning = f"log return over {lag} bars / (sigma x sqrt({lag}))"
        values = close.diff(lag) / (sigma * lag**0.5)
        yield _feature(f"log_return_{lag}", "sigma", meaning, values)


def _shape_of_bar(log_bars: pd.DataFrame, sigma: pd.Series) -> Iterator[Feature]:
    open_, high, low, close = (log_bars[name] for name in ("open", "high", "low", "close"))
    height = (high - low).clip(lower=_TINY)
    previous = close.shift()
    yield _feature(
        "overnight_gap", "sigma", "log(open / previous close) / sigma", (open_ - previous) / sigma
    )
    yield _feature("intraday_return", "sigma", "log(close / open) / sigma", (close - open_) / sigma)
    yield _feature("range", "sigma", "log(high / low) / sigma", (high - low) / sigma)
    true_range = pd.Series(np.maximum(high, previous) - np.minimum(low, previous))
    yield _feature(
        "true_range_ratio",
        "log ratio",
        "log of the true range, previous close included, over its mean of 20 bars",
        _log_ratio(true_range, true_range.rolling(20).mean()),
    )
    yield _feature(
        "upper_shadow",
        "share of range",
        "log distance from the higher of open and close up to high, over log(high / low)",
        (high - np.maximum(open_, close)) / height,
    )
    yield _feature(
        "lower_shadow",
        "share of range",
        "log distance from the lower of open and close down to low, over log(high / low)",
        (np.minimum(open_, close) - low) / height,
    )
    yield _feature(
        "close_location",
        "-1 at low, 1 at high",
        "2 log(close / low) / log(high / low) - 1",
        2 * (close - low) / height - 1,
    )


def _volatility(log_bars: pd.DataFrame, returns: pd.Series, sigma: pd.Series) -> Iterator[Feature]:
    for bars in (5, 10, 20):
        meaning = f"log of the standard deviation of the last {bars} returns over sigma"
        values = _log_ratio(returns.rolling(bars).std(), sigma)
        yield _feature(f"volatility_{bars}", "log ratio", meaning, values)
    yield _feature(
        "volatility_60",
        "log ratio",
        "log of sigma over its mean of 60 bars",
        _log_ratio(sigma, sigma.rolling(60).mean()),
    )
    parkinson = (log_bars["high"] - log_bars["low"]) ** 2 / (4 * np.log(2))
    yield _feature(
        "parkinson_5",
        "log ratio",
        "log of Parkinson's volatility, from high and low of the last 5 bars, over sigma",
        _log_ratio(parkinson.rolling(5).mean() ** 0.5, sigma),
    )
    down = returns.clip(upper=0) ** 2
    share = down.rolling(20).sum() / ((returns**2).rolling(20).sum() + _TINY**2)
    yield _feature(
        "downside_share_20",
        "-1 none, 1 all",
        "share of the squared returns of 20 bars that falls on negative ones, doubled, less 1",
        2 * share - 1,
    )


def _volume(volume: pd.Series, returns: pd.Series) -> Iterator[Feature]:
    usual = volume.rolling(_LOOKBACK).mean()
    yield _feature(
        "volume_ratio_1",
        "ratio",
        "volume over its mean of 60 bars, less 1",
        volume / (usual + _TINY) - 1,
    )
    yield _feature(
        "volume_ratio_20",
        "ratio",
        "mean volume of 20 bars over that of 60, less 1",
        volume.rolling(20).mean() / (usual + _TINY) - 1,
    )
    yield _feature(
        "volume_change_1",
        "ratio",
        "change of volume_ratio_1 from the previous bar",
        (volume / (usual + _TINY)).diff(),
    )
    up_volume = volume.where(returns > 0, 0.0).rolling(20).sum()
    up_share = up_volume / (volume.rolling(20).sum() + _TINY)
    yield _feature(
        "up_volume_share_20",
        "-1 none, 1 all",
        "share of the volume of 20 bars traded on rising ones, doubled, less 1",
        2 * up_share - 1,
    )


def _trend(close: pd.Series, sigma: pd.Series) -> Iterator[Feature]:
    for bars in (5, 10, 20, 50, 100):
        meaning = f"log close less its mean of {bars} bars, over sigma x sqrt({bars})"
        values = (close - close.rolling(bars).mean()) / (sigma * bars**0.5)
        yield _feature(f"distance_to_mean_{bars}", "sigma", meaning, values)
    for bars in (20, 60):
        unit = sigma * bars**0.5
        for name, extreme in (("high", "max"), ("low", "min")):
            word = "highest" if name == "high" else "lowest"
            meaning = f"log close less the {word} of {bars} bars, over sigma x sqrt({bars})"
            values = (close - getattr(close.rolling(bars), extreme)()) / unit
            yield _feature(f"distance_to_{name}_{bars}", "sigma", meaning, values)


def _distribution(returns: pd.Series, sigma: pd.Series) -> Iterator[Feature]:
    standard = (returns / sigma).clip(-5, 5)
    second = (standard**2).rolling(20).mean() + _TINY
    yield _feature(
        "skewness_20",
        "skewness",
        "third moment of 20 returns in sigma, clipped to [-5, 5], over their second to 3/2",
        (standard**3).rolling(20).mean() / second**1.5,
    )
    yield _feature(
        "tail_weight_20",
        "kurtosis / 3",
        "fourth moment of these returns over their second squared, less 3, a third of it",
        ((standard**4).rolling(20).mean() / second**2 - 3) / 3,
    )
    yield _feature(
        "autocorrelation_20",
        "correlation",
        "mean product of 20 such returns with the one before each, over their second moment",
        (standard * standard.shift()).rolling(20).mean() / second,
    )
    yield _feature(
        "up_days_10",
        "-1 none, 1 all",
        "share of the last 10 bars that rose, doubled, less 1",
        2 * (returns > 0).astype(float).rolling(10).mean() - 1,
    )


def _calendar(dates: np.ndarray) -> Iterator[Feature]:
    gap = np.diff(dates.astype("datetime64[D]").astype(np.int64), prepend=np.nan)
    yield _feature(
        "days_since_last_bar", "2 days", "calendar days to the previous bar, less 1", (gap - 1) / 2
    )
    days = pd.DatetimeIndex(dates)
    week, year = 2 * np.pi * days.day_of_week / 7, 2 * np.pi * days.day_of_year / 365.25
    yield _feature(
        "day_of_week_sin", "sine", "sine of the day of the week, from Monday", np.sin(week)
    )
    yield _feature("day_of_week_cos", "cosine", "cosine of the same", np.cos(week))
    yield _feature(
        "day_of_month",
        "-1 first, 1 last",
        "day of the month, 1 to 31 brought to [-1, 1]",
        2 * (days.day - 1) / 30 - 1,
    )
    yield _feature("day_of_year_sin", "sine", "sine of the day of the year", np.sin(year))
    yield _feature("day_of_year_cos", "cosine", "cosine of the same", np.cos(year))


def _log_ratio(value: pd.Series, usual: pd.Series) -> pd.Series:
    return pd.Series(np.log((value + _TINY) / (usual + _TINY)))
