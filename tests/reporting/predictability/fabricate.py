"""Forecasts whose skill is known, of prices that never were."""

from pathlib import Path

import numpy as np

from src.reporting.predictability.store import QUESTIONS, Kept, write

DAYS = 900
RECORD = {
    "command": "python -m benchmarks.verdict --quick --write",
    "size": "quick",
    "larger": "make verdict",
    "folds": 2,
    "refit_every": 450,
    "fits": 12,
    "fitting_s": 90.0,
    "machine": "2 cores",
    "models": {"ridge": "model=ridge"},
    "chosen": {},
}


def kept(
    key: str = "return_1",
    skill: float = 0.0,
    days: int = DAYS,
    seed: int = 0,
    series: str = "sp500",
) -> Kept:
    """Return forecasts of a question: `ridge`, `har` and `lstm` know a share of what comes.

    Args:
        key: Of the question.
        skill: Share of what comes that `har` knows; `lstm` knows half of that, `ridge` nothing.
        days: How many.
        seed: Of the random numbers.
        series: Its key.
    """
    question = next(one for one in QUESTIONS if one.key == key)
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0, 0.01, days)
    last_price = 100 * np.exp(np.concatenate([[0.0], np.cumsum(returns)[:-1]]))
    date = (np.datetime64("2010-01-04") + np.arange(days)).astype(str)
    noise = {name: rng.normal(0.0, 1.0, days) for name in ("ridge", "har", "lstm")}
    shares = {"ridge": 0.0, "har": skill, "lstm": skill / 2}
    if question.kind == "volatility":
        logs = rng.normal(0.0, 1.0, days)
        actual = 1e-4 * np.exp(logs)
        forecasts = {"naive": 1e-4 * np.exp(np.roll(logs, 1))}
        for name, share in shares.items():
            spread = (1 - share**2) / 2
            forecasts[name] = 1e-4 * np.exp(share * logs + spread + 0.1 * noise[name])
    elif question.kind == "direction":
        actual = (returns > 0).astype(float)
        forecasts = {"naive": np.full(days, 0.5)}
        for name, share in shares.items():
            forecasts[name] = 0.5 + 0.4 * share * (actual - 0.5) + 0.01 * noise[name]
    else:
        actual = returns
        forecasts = {"naive": np.zeros(days)}
        for name, share in shares.items():
            forecasts[name] = share * returns + 0.001 * noise[name]
    return Kept(series, question, date, last_price, actual, forecasts)


def results(folder: Path, skill: float = 0.5, days: int = DAYS) -> Path:
    """Write forecasts of all questions about one series, and return the folder."""
    write(
        [kept(one.key, skill, days, number) for number, one in enumerate(QUESTIONS)], RECORD, folder
    )
    return folder
