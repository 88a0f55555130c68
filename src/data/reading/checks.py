"""What is odd in a series of prices, each said in one line with dates: nothing is passed over.

A jump no market makes is told from a fall that is true by its size against the series' own steps,
and a split from a slip of the keyboard by whether the price stays where it went.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MINUTE, HOUR, DAY = 60, 3600, 86400
# A step by less than this factor may be a market's: shares have lost a third in a day.
_LARGEST_TRUE_STEP = np.log(1.6)
_TIMES_TYPICAL = 6.0
# A factor that no market makes in a bar, whatever the bar's own range says.
_NEVER_TRUE = np.log(8.0)
# Bars before a step that tell whether the market is wild at present.
_LATELY = 10
# Bars within which a price that was mistyped is back.
_BACK_AFTER = 5
_SPLITS = (*range(2, 51), 60, 75, 80, 100, 150, 200, 250, 500, 1000, 1.5, 2.5)
_SHORTEST_TAIL = 10


class PriceWarning(NamedTuple):
    """Something odd in a series of prices.

    Attributes:
        kind: What it is, in a word or two: `split`, `gap`, `dropped rows`.
        text: One line that says where and how much.
        row: The bar it begins at, counted from 0 in order of time; -1 where it is the whole file.
        is_fatal: Whether a model trained on it would be meaningless.
    """

    kind: str
    text: str
    row: int = -1
    is_fatal: bool = False


def frequency_of(dates: np.ndarray) -> str:
    """Name the usual distance between bars.

    Args:
        dates: (N,), datetime64[s], ascending.

    Returns:
        `1 minute`, `5 minutes`, `hourly`, `4 hours`, `daily`, `weekly`, `monthly`, `quarterly`,
        `yearly`, or a number of days; `unknown` for fewer than two bars.

    >>> frequency_of(np.array(["2020-01-02", "2020-01-03", "2020-01-06"], dtype="datetime64[s]"))
    'daily'
    """
    if len(dates) < 2:
        return "unknown"
    step = _usual(np.diff(dates).astype(np.int64))
    for unit, seconds in (("second", 1), ("minute", MINUTE)):
        if step < seconds * 60:
            count = max(1, round(step / seconds))
            return f"{count} {unit}{'s' if count > 1 else ''}"
    if step < 20 * HOUR:
        return "hourly" if round(step / HOUR) == 1 else f"{round(step / HOUR)} hours"
    days = step / DAY
    named = {"daily": (0, 4), "weekly": (5, 9), "monthly": (26, 33), "quarterly": (85, 95)}
    for name, (least, most) in {**named, "yearly": (350, 380)}.items():
        if least <= days <= most:
            return name
    return f"{round(days)} days"


def _usual(steps: np.ndarray) -> int:
    """Return the median of steps, without sorting where more than half are alike, as most are."""
    likely = steps[len(steps) // 2]
    if 2 * np.count_nonzero(steps == likely) > len(steps):
        return int(likely)
    return int(np.median(steps))


def is_intraday(frequency: str) -> bool:
    """Tell whether bars of a frequency need the time of day."""
    return frequency == "hourly" or frequency.endswith(
        ("second", "seconds", "minute", "minutes", "hours")
    )


def step_of(frequency: str) -> str:
    """Return what to call the distance between bars: day, hour, week; bar if it has no word.

    >>> [step_of(name) for name in ("daily", "1 minute", "4 hours", "monthly")]
    ['day', 'minute', 'bar', 'month']
    """
    words = {"hourly": "hour", "weekly": "week", "monthly": "month", "quarterly": "quarter"}
    words |= {"daily": "day", "unknown": "day", "yearly": "year", "1 minute": "minute"}
    return words.get(frequency, "bar")


def say_date(date: np.datetime64, frequency: str) -> str:
    """Write a date as long as the frequency asks for: 2020-01-31, or 2020-01-31 09:30."""
    text = str(date.astype("datetime64[s]")).replace("T", " ")
    if not is_intraday(frequency):
        return text[:10]
    return text[:16] if text.endswith(":00") else text


def check_series(
    dates: np.ndarray, columns: dict[str, np.ndarray], frequency: str, now: np.datetime64
) -> list[PriceWarning]:
    """Find what is odd in a series.

    Args:
        dates: (N,), datetime64[s], strictly ascending.
        columns: `close` and, where there, open, high, low (price units) and volume, (N,) each.
        frequency: As `frequency_of` says.
        now: The present.

    Returns:
        Warnings, the most serious first.
    """
    close = columns["close"]
    largest = largest_usual_step(dates, frequency)
    steps = np.diff(dates).astype(np.int64)
    return [
        *_jumps(dates, columns, frequency, steps / max(largest, 1)),
        *_gaps(dates, frequency, steps, largest),
        *_other_frequencies(dates, frequency, steps),
        *_outside(dates, columns, frequency),
        *_no_volume(dates, columns, frequency),
        *_tail(dates, close, frequency),
        *_future(dates, frequency, now),
    ]


def largest_usual_step(dates: np.ndarray, frequency: str) -> int:
    """Return the longest time in seconds between two bars that is no hole."""
    if len(dates) < 2:
        return 0
    step = _usual(np.diff(dates).astype(np.int64))
    weekday = (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7
    never_closes = (weekday == 5).mean() > 0.1
    if frequency == "daily" or is_intraday(frequency):
        if never_closes:
            return int(1.5 * step)
        # Two weekends and the holidays between them: New Year in Asia, Carnival, Easter.
        return (11 if frequency == "daily" else 6) * DAY
    return int(2.2 * step)


def _jumps(
    dates: np.ndarray, columns: dict[str, np.ndarray], frequency: str, length: np.ndarray
) -> list[PriceWarning]:
    """Find steps that no market makes; `length` is their time over the longest that is no hole."""
    close = columns["close"]
    if len(close) < 3 or (close <= 0).any():
        return []
    steps = np.diff(np.log(close))
    typical = 1.4826 * float(np.median(np.abs(steps)))
    sizes = np.abs(steps)
    # Over a hole a price moves further, with the root of its length as a random walk does.
    usual = max(_LARGEST_TRUE_STEP, _TIMES_TYPICAL * typical)
    large = sizes > usual * np.where(length > 1, 2 * np.sqrt(length), 1)
    large &= ~_is_traded_through(columns, sizes)
    found: list[PriceWarning] = []
    back = -1
    for n in np.flatnonzero(large).tolist():
        lately = 1.4826 * float(np.median(sizes[max(0, n - _LATELY) : n])) if n else 0.0
        if n <= back or sizes[n] < _TIMES_TYPICAL * lately:
            continue
        end = _returns(steps, n)
        back = n if end is None else end
        found.append(_describe_jump(dates, columns, frequency, n, end))
    kinds = {kind: [w for w in found if w.kind == kind] for kind in ("split", "jump")}
    return [_together(same) for same in kinds.values() if same]


def _is_traded_through(columns: dict[str, np.ndarray], sizes: np.ndarray) -> np.ndarray:
    """Tell steps that a bar's range covers, as a crash or a squeeze does and no split."""
    if not {"high", "low"} <= columns.keys():
        return np.zeros(len(sizes), dtype=bool)
    before, after = columns["close"][:-1], columns["close"][1:]
    reach = np.where(after > before, after / columns["low"][1:], columns["high"][1:] / after)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.log(reach) > 0.6 * sizes) & (sizes < _NEVER_TRUE)


def _returns(steps: np.ndarray, n: int) -> int | None:
    """Return the step by which a jump is undone within a few bars, or None."""
    for later in range(n + 1, min(n + 1 + _BACK_AFTER, len(steps))):
        if abs(steps[n : later + 1].sum()) < 0.25 * abs(steps[n]) and abs(steps[later]) > 0.5 * abs(
            steps[n]
        ):
            return later
    return None


def _describe_jump(
    dates: np.ndarray, columns: dict[str, np.ndarray], frequency: str, n: int, end: int | None
) -> PriceWarning:
    close = columns["close"]
    day, factor = say_date(dates[n + 1], frequency), float(close[n + 1] / close[n])
    where = f"{day}: {_say(close[n])} to {_say(close[n + 1])}"
    times = f"times {factor:.4g}" if factor > 1 else f"divided by {1 / factor:.4g}"
    is_large = abs(np.log(factor)) > np.log(5)
    is_fine = _finest_step(close, n) < 0.02 * close[n : n + 2].min()
    if end is not None:
        later = say_date(dates[end + 1], frequency)
        words = "looks mistyped" if is_fine else "large, but prices move in large steps here"
        return PriceWarning(
            "jump", f"{where}, {times}, and back on {later}: {words}", n + 1, is_large
        )
    if _is_alone(columns, n) or _is_alone(columns, n + 1):
        text = f"{where}, {times}, and far from the other prices of its bar: looks mistyped"
        return PriceWarning("jump", text, n + 1, is_large)
    ratio = _split_ratio(columns, n) if is_fine else None
    if ratio is None:
        words = "no market moves so" if is_fine else "large, but prices move in large steps here"
        return PriceWarning("jump", f"{where}, {times}: {words}", n + 1, is_large)
    words = f"1 to {ratio:g}" if factor < 1 else f"{ratio:g} to 1, reversed"
    text = f"{where}, {times}: looks like a split of {words}, not adjusted"
    return PriceWarning("split", text, n + 1, True)


def _is_alone(columns: dict[str, np.ndarray], n: int) -> bool:
    """Tell whether a close is beyond what its bar spans by a factor that no market makes."""
    if not {"high", "low"} <= columns.keys():
        return False
    close, high, low = (float(columns[name][n]) for name in ("close", "high", "low"))
    return low > 0 and max(close / high, low / close) > np.exp(_LARGEST_TRUE_STEP)


def _finest_step(close: np.ndarray, n: int) -> float:
    """Return the smallest change of price around a step: 0.01 where rates are near zero."""
    changes = np.abs(np.diff(close[max(0, n - 100) : n + 100]))
    return float(changes[changes > 0].min(initial=np.inf))


def _split_ratio(columns: dict[str, np.ndarray], n: int) -> float | None:
    """Return the simple ratio nearest to a step, or None if none is near."""
    close = columns["close"]
    overnight = columns["open"][n + 1] / close[n] if "open" in columns else np.nan
    for factor, tolerance in ((overnight, 0.06), (close[n + 1] / close[n], 0.09)):
        if np.isfinite(factor) and factor > 0:
            size = max(factor, 1 / factor)
            ratio = min(_SPLITS, key=lambda r: abs(np.log(size / r)))
            if abs(np.log(size / ratio)) < tolerance:
                return ratio
    return None


def _together(warnings: list[PriceWarning]) -> PriceWarning:
    """Say the first of several warnings of a kind, and how many more there are."""
    more = f"; {len(warnings) - 1} more" if len(warnings) > 1 else ""
    is_fatal = any(warning.is_fatal for warning in warnings)
    return PriceWarning(warnings[0].kind, warnings[0].text + more, warnings[0].row, is_fatal)


def _gaps(dates: np.ndarray, frequency: str, steps: np.ndarray, largest: int) -> list[PriceWarning]:
    holes = np.flatnonzero(steps > largest)
    if not len(holes):
        return []
    worst = int(holes[np.argmax(steps[holes])])
    ends = f"{say_date(dates[worst], frequency)} to {say_date(dates[worst + 1], frequency)}"
    length = _say_time(int(steps[worst]))
    if len(holes) == 1:
        return [PriceWarning("gap", f"no bars for {length}, from {ends}", worst + 1)]
    text = f"{len(holes)} holes, the longest of {length}, from {ends}"
    return [PriceWarning("gap", text, worst + 1)]


def _say_time(seconds: int) -> str:
    for unit, size in (("days", DAY), ("hours", HOUR), ("minutes", MINUTE)):
        if seconds >= 2 * size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds} seconds"


def _other_frequencies(dates: np.ndarray, frequency: str, steps: np.ndarray) -> list[PriceWarning]:
    """Find a stretch of bars at another distance: daily bars that were weekly once."""
    block = max(20, len(steps) // 20)
    for start in range(0, len(steps) - block + 1, block):
        other = frequency_of(dates[start : start + block + 1])
        if other != frequency:
            day = say_date(dates[start], frequency)
            text = f"bars are {frequency} on the whole, but {other} from {day} on"
            return [PriceWarning("frequency", text, start)]
    return []


def _outside(
    dates: np.ndarray, columns: dict[str, np.ndarray], frequency: str
) -> list[PriceWarning]:
    if not {"high", "low"} <= columns.keys():
        return []
    high, low = columns["high"], columns["low"]
    room = 1e-6 * np.abs(columns["close"])
    outside = high + room < low
    for name in ("open", "close"):
        if name in columns:
            outside |= (columns[name] > high + room) | (columns[name] < low - room)
    count = int(outside.sum())
    if not count:
        return []
    row = int(np.argmax(outside))
    day = say_date(dates[row], frequency)
    text = f"open or close outside of low to high in {count} of {len(dates)} bars, first on {day}"
    return [PriceWarning("range", text, row)]


def _no_volume(
    dates: np.ndarray, columns: dict[str, np.ndarray], frequency: str
) -> list[PriceWarning]:
    volume = columns.get("volume", np.ones(1))
    empty = volume == 0
    if not empty.any():
        return []
    if empty.all():
        return [PriceWarning("no volume", "volume is 0 in all bars: not measured")]
    row = int(np.argmax(empty))
    day = say_date(dates[row], frequency)
    text = f"volume 0 in {int(empty.sum())} of {len(dates)} bars, first on {day}"
    return [PriceWarning("zero volume", text, row)]


def _tail(dates: np.ndarray, close: np.ndarray, frequency: str) -> list[PriceWarning]:
    moved = np.flatnonzero(close[1:] != close[:-1])
    length = len(close) - (int(moved[-1]) + 1 if len(moved) else 0)
    if length < _SHORTEST_TAIL:
        return []
    if length == len(close):
        return [PriceWarning("constant", f"the price is {_say(close[0])} in all bars", 0)]
    day = say_date(dates[len(close) - length], frequency)
    text = f"the price stays at {_say(close[-1])} for the last {length} bars, from {day} on"
    return [PriceWarning("constant tail", text, len(close) - length)]


def _future(dates: np.ndarray, frequency: str, now: np.datetime64) -> list[PriceWarning]:
    later = dates > now + np.timedelta64(DAY, "s")
    if not later.any():
        return []
    row = int(np.argmax(later))
    text = f"{int(later.sum())} bars in the future, from {say_date(dates[row], frequency)} on"
    return [PriceWarning("future dates", text, row)]


def _say(price: float) -> str:
    return f"{price:.6g}"
