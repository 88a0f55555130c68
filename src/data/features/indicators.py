"""The 43 indicator features, computed by TA-Lib and brought to about [-1, 1].

The last fifteen are candlestick patterns: from -1, bearish, to 1, bullish, and 0 without a pattern.
As in any such data set, several are nearly always 0, some over whole decades.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import talib

from src.data.features.feature import PATTERN_UNIT, Feature
from src.data.reading.sources import PriceTable

_TINY = 1e-8
# Ordinary markets stay below it; a price that stood still for weeks and then jumps does not.
LIMIT = 10.0

CANDLE_PATTERNS = {
    "doji": talib.CDLDOJI,
    "engulfing": talib.CDLENGULFING,
    "harami": talib.CDLHARAMI,
    "hammer": talib.CDLHAMMER,
    "shooting_star": talib.CDLSHOOTINGSTAR,
    "morning_star": talib.CDLMORNINGSTAR,
    "evening_star": talib.CDLEVENINGSTAR,
    "piercing_line": talib.CDLPIERCING,
    "dark_cloud_cover": talib.CDLDARKCLOUDCOVER,
    "three_white_soldiers": talib.CDL3WHITESOLDIERS,
    "three_black_crows": talib.CDL3BLACKCROWS,
    "three_stars_in_the_south": talib.CDL3STARSINSOUTH,
    "concealing_baby_swallow": talib.CDLCONCEALBABYSWALL,
    "kicking": talib.CDLKICKING,
    "abandoned_baby": talib.CDLABANDONEDBABY,
}


def indicator_features(table: PriceTable) -> Iterator[Feature]:
    """Compute the indicator features of every row, one after the other.

    Args:
        table: N bars with open, high, low, close and volume.

    Yields:
        The features, not clipped yet; rows that lack history are NaN, or 0 for candlestick
        patterns.
    """
    open_, high, low, close, volume = (
        table.columns[name] for name in ("open", "high", "low", "close", "volume")
    )
    atr = talib.ATR(high, low, close, 14) + _TINY * close
    yield from _momentum(close)
    yield from _oscillators(open_, high, low, close, volume)
    yield from _direction(high, low, close, atr)
    yield from _bands_and_volume(high, low, close, volume, atr)
    for name, pattern in CANDLE_PATTERNS.items():
        meaning = f"candlestick pattern of TA-Lib, {pattern.__name__}, / 100"
        yield Feature(name, PATTERN_UNIT, meaning, pattern(open_, high, low, close) / 100.0)


def _momentum(close: np.ndarray) -> Iterator[Feature]:
    for bars in (7, 14, 28):
        meaning = f"relative strength index of {bars} bars, 0 to 100 brought to [-1, 1]"
        yield Feature(f"rsi_{bars}", "50 points", meaning, talib.RSI(close, bars) / 50 - 1)
    macd, signal, histogram = talib.MACD(close)
    percent = 100 / close
    unit = "percent of close"
    yield Feature("macd", unit, "exponential mean of 12 closes less that of 26", macd * percent)
    yield Feature("macd_signal", unit, "exponential mean of 9 of macd", signal * percent)
    yield Feature("macd_histogram", unit, "macd less macd_signal", histogram * percent)
    yield Feature(
        "rate_of_change_10", "10 percent", "change of close over 10 bars", talib.ROC(close, 10) / 10
    )
    yield Feature(
        "percentage_price_oscillator",
        "percent",
        "mean of 10 closes over that of 50, less 1",
        talib.PPO(close, 10, 50),
    )
    yield Feature(
        "trix_15",
        "percent per bar",
        "change of the exponential mean of 15 closes, taken three times",
        talib.TRIX(close, 15),
    )


def _oscillators(
    open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> Iterator[Feature]:
    stochastic_k, stochastic_d = talib.STOCH(high, low, close)
    yield Feature(
        "stochastic_k",
        "50 points",
        "place of close within low to high of 5 bars, mean of 3, brought to [-1, 1]",
        stochastic_k / 50 - 1,
    )
    yield Feature("stochastic_d", "50 points", "mean of 3 of stochastic_k", stochastic_d / 50 - 1)
    yield Feature(
        "williams_r_14",
        "50 points",
        "place of close within low to high of 14 bars, brought to [-1, 1]",
        talib.WILLR(high, low, close, 14) / 50 + 1,
    )
    yield Feature(
        "money_flow_14",
        "50 points",
        "money flow index of 14 bars, 0 to 100 brought to [-1, 1]",
        talib.MFI(high, low, close, volume, 14) / 50 - 1,
    )
    yield Feature(
        "ultimate_oscillator",
        "50 points",
        "buying pressure over true range of 7, 14, 28 bars, weighted 4, 2, 1, to [-1, 1]",
        talib.ULTOSC(high, low, close) / 50 - 1,
    )
    yield Feature(
        "cci_20",
        "200 points",
        "commodity channel index of 20 bars",
        talib.CCI(high, low, close, 20) / 200,
    )
    yield Feature(
        "balance_of_power",
        "share of range",
        "(close - open) / (high - low)",
        talib.BOP(open_, high, low, close),
    )


def _direction(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, atr: np.ndarray
) -> Iterator[Feature]:
    yield Feature(
        "adx_14",
        "share",
        "average directional index of 14 bars",
        talib.ADX(high, low, close, 14) / 100,
    )
    yield Feature(
        "plus_di_14",
        "share",
        "upward movement over true range of 14 bars",
        talib.PLUS_DI(high, low, close, 14) / 100,
    )
    yield Feature(
        "minus_di_14",
        "share",
        "downward movement over true range of 14 bars",
        talib.MINUS_DI(high, low, close, 14) / 100,
    )
    yield Feature(
        "aroon_25",
        "share",
        "bars since the lowest low less bars since the highest high of 25",
        talib.AROONOSC(high, low, 25) / 100,
    )
    yield Feature(
        "regression_slope_14",
        "ATR per bar",
        "slope of the line fitted to 14 closes",
        talib.LINEARREG_SLOPE(close, 14) / atr,
    )
    yield Feature(
        "parabolic_sar",
        "5 ATR",
        "close less the parabolic stop and reverse",
        (close - talib.SAR(high, low)) / atr / 5,
    )
    yield Feature(
        "kaufman_distance_20",
        "5 ATR",
        "close less Kaufman's adaptive mean of 20 bars",
        (close - talib.KAMA(close, 20)) / atr / 5,
    )
    yield Feature(
        "trend_mode",
        "1 trend, 0 cycle",
        "Hilbert transform of TA-Lib, HT_TRENDMODE",
        np.asarray(talib.HT_TRENDMODE(close), dtype=np.float64),
    )


def _bands_and_volume(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray, atr: np.ndarray
) -> Iterator[Feature]:
    yield Feature("atr_14", "percent of close", "average true range of 14 bars", 100 * atr / close)
    upper, middle, lower = talib.BBANDS(close, 20)
    half_width = (upper - lower) / 2
    yield Feature(
        "bollinger_position",
        "half widths",
        "close less its mean of 20 bars, in half widths of the Bollinger band",
        (close - middle) / (half_width + _TINY * close),
    )
    yield Feature(
        "bollinger_width",
        "10 percent of close",
        "half width of the Bollinger band, 2 standard deviations of 20 closes",
        10 * half_width / middle,
    )
    yield Feature(
        "chaikin_oscillator",
        "volumes of a bar",
        "Chaikin's accumulation, exponential mean of 3 bars less that of 10, over the mean volume",
        talib.ADOSC(high, low, close, volume) / (talib.SMA(volume, 20) + _TINY),
    )
