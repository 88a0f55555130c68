"""The 43 indicator features, computed by TA-Lib and brought to about [-1, 1].

The last fifteen are candlestick patterns: from -1, bearish, to 1, bullish, and 0 without a pattern.
As in any such data set, several are nearly always 0, some over whole decades.
"""

from __future__ import annotations

import numpy as np
import talib

from src.data.features.market import Features
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


def indicator_features(table: PriceTable) -> Features:
    """Compute the indicator features of every row.

    Args:
        table: N bars with open, high, low, close and volume.

    Returns:
        Name to (values (N,), unit); rows that lack history are NaN, or 0 for candlestick patterns.
    """
    open_, high, low, close, volume = (
        table.columns[name] for name in ("open", "high", "low", "close", "volume")
    )
    atr = talib.ATR(high, low, close, 14) + _TINY * close
    named = {
        **_momentum(close),
        **_oscillators(open_, high, low, close, volume),
        **_direction(high, low, close, atr),
        **_bands_and_volume(high, low, close, volume, atr),
        **{
            name: (pattern(open_, high, low, close) / 100.0, "-1 bearish to 1 bullish")
            for name, pattern in CANDLE_PATTERNS.items()
        },
    }
    return {name: (np.clip(values, -LIMIT, LIMIT), unit) for name, (values, unit) in named.items()}


def _momentum(close: np.ndarray) -> Features:
    macd, signal, histogram = talib.MACD(close)
    percent = 100 / close
    return {
        **{f"rsi_{days}": (talib.RSI(close, days) / 50 - 1, "50 points") for days in (7, 14, 28)},
        "macd": (macd * percent, "percent of close"),
        "macd_signal": (signal * percent, "percent of close"),
        "macd_histogram": (histogram * percent, "percent of close"),
        "rate_of_change_10": (talib.ROC(close, 10) / 10, "10 percent"),
        "percentage_price_oscillator": (talib.PPO(close, 10, 50), "percent"),
        "trix_15": (talib.TRIX(close, 15), "percent per day"),
    }


def _oscillators(
    open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> Features:
    stochastic_k, stochastic_d = talib.STOCH(high, low, close)
    return {
        "stochastic_k": (stochastic_k / 50 - 1, "50 points"),
        "stochastic_d": (stochastic_d / 50 - 1, "50 points"),
        "williams_r_14": (talib.WILLR(high, low, close, 14) / 50 + 1, "50 points"),
        "money_flow_14": (talib.MFI(high, low, close, volume, 14) / 50 - 1, "50 points"),
        "ultimate_oscillator": (talib.ULTOSC(high, low, close) / 50 - 1, "50 points"),
        "cci_20": (talib.CCI(high, low, close, 20) / 200, "200 points"),
        "balance_of_power": (talib.BOP(open_, high, low, close), "share of range"),
    }


def _direction(high: np.ndarray, low: np.ndarray, close: np.ndarray, atr: np.ndarray) -> Features:
    slope = talib.LINEARREG_SLOPE(close, 14)
    return {
        "adx_14": (talib.ADX(high, low, close, 14) / 100, "share"),
        "plus_di_14": (talib.PLUS_DI(high, low, close, 14) / 100, "share"),
        "minus_di_14": (talib.MINUS_DI(high, low, close, 14) / 100, "share"),
        "aroon_25": (talib.AROONOSC(high, low, 25) / 100, "share"),
        "regression_slope_14": (slope / atr, "ATR per day"),
        "parabolic_sar": ((close - talib.SAR(high, low)) / atr / 5, "5 ATR"),
        "kaufman_distance_20": ((close - talib.KAMA(close, 20)) / atr / 5, "5 ATR"),
        "trend_mode": (np.asarray(talib.HT_TRENDMODE(close), dtype=np.float64), "1 trend, 0 cycle"),
    }


def _bands_and_volume(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray, atr: np.ndarray
) -> Features:
    upper, middle, lower = talib.BBANDS(close, 20)
    half_width = (upper - lower) / 2
    usual_volume = talib.SMA(volume, 20) + _TINY
    return {
        "atr_14": (100 * atr / close, "percent of close"),
        "bollinger_position": ((close - middle) / (half_width + _TINY * close), "half widths"),
        "bollinger_width": (10 * half_width / middle, "10 percent of close"),
        "chaikin_oscillator": (talib.ADOSC(high, low, close, volume) / usual_volume, "day volumes"),
    }
