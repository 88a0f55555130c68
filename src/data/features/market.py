"""The 43 market features: what open, high, low, close and volume say, free of their level.

Every feature looks back only, is expressed in units of its own recent size, and is clipped to
[-2, 2]. "Sigma" is the standard deviation of the last 60 daily log returns.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from src.data.reading.sources import PriceTable

LIMIT = 2.0
_LOOKBACK = 60
_TINY = 1e-8

Features = dict[str, tuple[np.ndarray, str]]
Columns = dict[str, tuple[pd.Series | pd.Index | np.ndarray, str]]


def market_features(table: PriceTable) -> Features:
    """Compute the market features of every row.

    Args:
        table: N bars with open, high, low, close and volume.

    Returns:
        Name to (values (N,), unit); rows that lack history are NaN.
    """
    bars = pd.DataFrame(table.columns)
    log_bars = pd.DataFrame(np.log(bars[["open", "high", "low", "close"]]))
    returns = log_bars["close"].diff()
    sigma = returns.rolling(_LOOKBACK).std() + _TINY
    named = {
        **_returns(log_bars, sigma),
        **_shape_of_bar(log_bars, sigma),
        **_volatility(log_bars, returns, sigma),
        **_volume(bars, returns),
        **_trend(log_bars["close"], sigma),
        **_distribution(returns, sigma),
        **_calendar(table.dates),
    }
    return {
        name: (np.clip(np.asarray(values, dtype=np.float64), -LIMIT, LIMIT), unit)
        for name, (values, unit) in named.items()
    }


def _returns(log_bars: pd.DataFrame, sigma: pd.Series) -> Columns:
    lags = (1, 2, 5, 10, 20, 40, 60)
    return {
        f"log_return_{lag}": (log_bars["close"].diff(lag) / (sigma * lag**0.5), "sigma")
        for lag in lags
    }


def _shape_of_bar(log_bars: pd.DataFrame, sigma: pd.Series) -> Columns:
    open_, high, low, close = (log_bars[name] for name in ("open", "high", "low", "close"))
    height = (high - low).clip(lower=_TINY)
    previous = close.shift()
    true_range = pd.Series(np.maximum(high, previous) - np.minimum(low, previous))
    return {
        "overnight_gap": ((open_ - previous) / sigma, "sigma"),
        "intraday_return": ((close - open_) / sigma, "sigma"),
        "range": ((high - low) / sigma, "sigma"),
        "true_range_ratio": (_log_ratio(true_range, true_range.rolling(20).mean()), "log ratio"),
        "upper_shadow": ((high - np.maximum(open_, close)) / height, "share of range"),
        "lower_shadow": ((np.minimum(open_, close) - low) / height, "share of range"),
        "close_location": (2 * (close - low) / height - 1, "-1 at low, 1 at high"),
    }


def _volatility(log_bars: pd.DataFrame, returns: pd.Series, sigma: pd.Series) -> Columns:
    parkinson = (log_bars["high"] - log_bars["low"]) ** 2 / (4 * np.log(2))
    down = returns.clip(upper=0) ** 2
    share = down.rolling(20).sum() / ((returns**2).rolling(20).sum() + _TINY**2)
    return {
        **{
            f"volatility_{days}": (_log_ratio(returns.rolling(days).std(), sigma), "log ratio")
            for days in (5, 10, 20)
        },
        "volatility_60": (_log_ratio(sigma, sigma.rolling(60).mean()), "log ratio"),
        "parkinson_5": (_log_ratio(parkinson.rolling(5).mean() ** 0.5, sigma), "log ratio"),
        "downside_share_20": (2 * share - 1, "-1 none, 1 all"),
    }


def _volume(bars: pd.DataFrame, returns: pd.Series) -> Columns:
    volume = bars["volume"]
    usual = volume.rolling(_LOOKBACK).mean()
    up_volume = volume.where(returns > 0, 0.0).rolling(20).sum()
    up_share = up_volume / (volume.rolling(20).sum() + _TINY)
    change = (volume / (usual + _TINY)).diff()
    return {
        "volume_ratio_1": (volume / (usual + _TINY) - 1, "ratio"),
        "volume_ratio_20": (volume.rolling(20).mean() / (usual + _TINY) - 1, "ratio"),
        "volume_change_1": (change, "ratio"),
        "up_volume_share_20": (2 * up_share - 1, "-1 none, 1 all"),
    }


def _trend(close: pd.Series, sigma: pd.Series) -> Columns:
    features: Columns = {
        f"distance_to_mean_{days}": (
            (close - close.rolling(days).mean()) / (sigma * days**0.5),
            "sigma",
        )
        for days in (5, 10, 20, 50, 100)
    }
    for days in (20, 60):
        unit = sigma * days**0.5
        features[f"distance_to_high_{days}"] = ((close - close.rolling(days).max()) / unit, "sigma")
        features[f"distance_to_low_{days}"] = ((close - close.rolling(days).min()) / unit, "sigma")
    return features


def _distribution(returns: pd.Series, sigma: pd.Series) -> Columns:
    standard = (returns / sigma).clip(-5, 5)
    second = (standard**2).rolling(20).mean() + _TINY
    product = (standard * standard.shift()).rolling(20).mean()
    return {
        "skewness_20": ((standard**3).rolling(20).mean() / second**1.5, "skewness"),
        "tail_weight_20": (((standard**4).rolling(20).mean() / second**2 - 3) / 3, "kurtosis / 3"),
        "autocorrelation_20": (product / second, "correlation"),
        "up_days_10": (2 * (returns > 0).astype(float).rolling(10).mean() - 1, "-1 none, 1 all"),
    }


def _calendar(dates: np.ndarray) -> Columns:
    days = pd.DatetimeIndex(dates)
    gap = np.diff(dates.astype("datetime64[D]").astype(np.int64), prepend=np.nan)
    week, year = 2 * np.pi * days.day_of_week / 7, 2 * np.pi * days.day_of_year / 365.25
    return {
        "days_since_last_bar": ((gap - 1) / 2, "2 days"),
        "day_of_week_sin": (np.sin(week), "sine"),
        "day_of_week_cos": (np.cos(week), "cosine"),
        "day_of_month": (2 * (days.day - 1) / 30 - 1, "-1 first, 1 last"),
        "day_of_year_sin": (np.sin(year), "sine"),
        "day_of_year_cos": (np.cos(year), "cosine"),
    }


def _log_ratio(value: pd.Series, usual: pd.Series) -> pd.Series:
    return pd.Series(np.log((value + _TINY) / (usual + _TINY)))
