"""How long rnn, gru, lstm and transformer remember: the influence of past days on the forecast.

Run `python -m benchmarks.retention` for a look and `--write` to keep it in benchmarks/results.

The reading is the norm of d prediction / d x_t, divided by that of the last day, on S&P 500 closes:
at initialisation and after training on windows of 60 days, over windows of 60 and of 500 days. All
four models read their forecast off the last step (`pooling=last`). Means over seeds are geometric,
their 95% intervals those of Student's t on the logarithm. Beside it: parameters, and the time of a
training step against the RNN's, in interleaved rounds.
"""

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.keeping import RESULTS, keep
from src.data import PriceDataModule
from src.diagnostics.memory import half_life, prediction_memory, retention
from src.models.norm import Norm
from src.models.pooling import LastPooling
from src.models.recurrent import RecurrentEncoder
from src.models.regressor import build_regressor
from src.models.transformer import TransformerEncoder
from src.reporting.run_tables import CLAIMED
from src.reporting.statistics import estimate
from src.reporting.text import markdown_rows
from src.runs.process import keep_freed_memory

MODELS: dict[str, Any] = {
    "rnn": partial(RecurrentEncoder, cell="rnn"),
    "gru": partial(RecurrentEncoder, cell="gru"),
    "lstm": partial(RecurrentEncoder, cell="lstm"),
    "transformer": TransformerEncoder,
}
COLOURS = {"rnn": "#D55E00", "gru": "#009E73", "lstm": "#0072B2", "transformer": "#CC79A7"}
TRAINED_LENGTH, LENGTHS = 60, (60, 500)
LAGS = (1, 5, 10, 20, 50, 100, 200, 499)
MEASURED_WINDOWS = 16
# float32 gradients end about here; a mean of logarithms needs a bottom.
FLOOR = 1e-12


def build(name: str, context_length: int) -> nn.Module:
    """Return a fresh regressor of one price."""
    rates = {"input": 0.0, "projection": 0.0, "encoder": 0.0}
    sizes = {"context_length": context_length, "num_features": 1}
    return build_regressor(MODELS[name], LastPooling, Norm, rates, **sizes)


def load_data(context_length: int) -> PriceDataModule:
    """Return windows of S&P 500 closes."""
    data = PriceDataModule(context_length=context_length)
    data.setup()
    return data


def train(model: nn.Module, data: PriceDataModule, steps: int, seed: int) -> None:
    """Train with Adam at 1e-3 for a number of steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(seed)
    dataset = data.datasets["train"]
    model.train()
    for _ in range(steps):
        batch = dataset[torch.randint(len(dataset), (data.batch_size,), generator=order)]
        optimizer.zero_grad()
        F.mse_loss(model(batch.x).preds, batch.y).backward()
        optimizer.step()


def memory(name: str, weights: dict[str, Tensor], data: PriceDataModule) -> Tensor:
    """Return the retention by lag (T,) of given weights, on test windows spread over the years."""
    model = build(name, data.context_length)
    # Positions are no weights: the sinusoids of another window length stay.
    model.load_state_dict({k: v for k, v in weights.items() if "positional" not in k}, strict=False)
    dataset = data.datasets["test"]
    spread = torch.linspace(0, len(dataset) - 1, MEASURED_WINDOWS).long()
    return retention(prediction_memory(model, lambda x: model(x).preds, dataset[spread].x))


def measure(name: str, data: dict[int, PriceDataModule], seeds: int, steps: int) -> dict[str, Any]:
    """Return one model's readings, by state and window length."""
    curves: dict[tuple[str, int], list[Tensor]] = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        model = build(name, TRAINED_LENGTH)
        for state in ("initial", "trained"):
            if state == "trained":
                train(model, data[TRAINED_LENGTH], steps, seed)
            for length in LENGTHS:
                curve = memory(name, model.state_dict(), data[length])
                curves.setdefault((state, length), []).append(curve)
    rows = [
        {"model": name, "state": state, "days": length, **_summary(torch.stack(found))}
        for (state, length), found in curves.items()
    ]
    return {"model": name, **count(name), "rows": rows}


def count(name: str) -> dict[str, int]:
    """Return the parameters of a model, and of its recurrent or attention layers alone."""
    model = build(name, TRAINED_LENGTH)
    encoder: Any = model.encoder
    layers = encoder.rnn if name != "transformer" else encoder.layers
    numbers = {"parameters": model, "layer_parameters": layers}
    return {key: sum(p.numel() for p in part.parameters()) for key, part in numbers.items()}


def _summary(retention_st: Tensor) -> dict[str, Any]:
    """Return the geometric mean over seeds and its 95% interval, by lag."""
    logs = retention_st.clamp_min(FLOOR).log10().numpy()
    means = [estimate(logs[:, lag]) for lag in range(logs.shape[1])]
    bands = [[10**one.mean, 10**one.low, 10**one.high] for one in means]
    return {
        "retention": {lag: bands[lag] for lag in LAGS if lag < len(bands)},
        "half_life": list(map(half_life, retention_st)),
        "curve": bands,
    }


def time_steps(data: PriceDataModule, rounds: int, block: int = 5) -> dict[str, dict[str, Any]]:
    """Return the time of a training step in ms, and its ratio to the RNN's: quartiles of rounds."""
    models = {name: build(name, TRAINED_LENGTH) for name in MODELS}
    times: dict[str, list[float]] = {name: [] for name in MODELS}
    for model in models.values():
        train(model, data, block, seed=0)
    for number in range(rounds):
        for name, model in models.items():
            started = time.perf_counter()
            train(model, data, block, seed=number)
            times[name].append(1e3 * (time.perf_counter() - started) / block)
    return {
        name: {
            "step_ms": round(statistics.median(own), 2),
            "ratio_to_rnn": _quartiles([t / r for t, r in zip(own, times["rnn"], strict=True)]),
        }
        for name, own in times.items()
    }


def _quartiles(values: list[float]) -> list[float]:
    return [round(q, 2) for q in statistics.quantiles(values, n=4, method="inclusive")]


def table(result: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        "# How long a model remembers",
        "",
        "Influence of the day n days back on the forecast, as a share of the last day's: geometric "
        f"mean over {result['seeds']} seeds [95% interval]; trained: {result['steps']} steps on "
        f"windows of {TRAINED_LENGTH} days; 0 is less than {FLOOR:g}. "
        f"Repeat: `{result['command']}`.",
        "",
        "![retention](retention.png)",
        "",
        *_retention_rows(result, TRAINED_LENGTH, (5, 10, 20, 50), with_claim=True),
        "",
        *_verdicts(result),
        "",
        "The same weights on windows of 500 days:",
        "",
        *_retention_rows(result, 500, (50, 100, 200, 499)),
        "",
        *_size_rows(result),
        "",
        "Step times: batch of 32 windows of 60 days, one CPU thread; median [quartiles].",
    ]
    return "\n".join(lines) + "\n"


def _size_rows(result: dict[str, Any]) -> list[str]:
    """Return the table of parameters and step times, a row a model."""
    base = result["models"][0]["layer_parameters"]
    rows = []
    for model in result["models"]:
        timing = result["steps_timed"][model["model"]]
        low, middle, high = timing["ratio_to_rnn"]
        sizes = (f"{model['parameters']:,}", f"{model['layer_parameters']:,}")
        times = (f"{timing['step_ms']:.1f} ms", f"{middle:.2f} [{low:.2f}, {high:.2f}]")
        rows.append((model["model"], *sizes, f"{model['layer_parameters'] / base:.2f}", *times))
    sizes = ("parameters", "of its layers", "to the RNN's")
    return markdown_rows(("model", *sizes, "training step", "to the RNN's"), rows)


def _retention_rows(
    result: dict[str, Any], days: int, lags: Sequence[int], with_claim: bool = False
) -> list[str]:
    """Return the table of one window length, a row a model and state, and the textbook's."""
    rows = [
        (
            *(row["model"], row["state"]),
            *(_cell(row["retention"][lag]) for lag in lags),
            f"{statistics.median(row['half_life']):g}",
        )
        for model in result["models"]
        for row in model["rows"]
        if row["days"] == days
    ]
    if with_claim:
        rows.append(("textbook LSTM", "", *(f"{CLAIMED[lag]:.0%}" for lag in lags), ""))
    headers = ("model", "state", *(f"{lag} back" for lag in lags), "days to half")
    return markdown_rows(headers, rows, names=2)


def _verdicts(result: dict[str, Any]) -> list[str]:
    """Return what the numbers say to the textbook's, a line a claim."""
    rows = {(r["model"], r["state"], r["days"]): r for m in result["models"] for r in m["rows"]}
    lines = []
    for lag, share in CLAIMED.items():
        mean, low, high = rows["lstm", "trained", 60]["retention"][lag]
        word = "not refuted" if low <= share <= high else "refuted"
        lines.append(f"- An LSTM keeps {share:.0%} after {lag} days: {word}, {_percent(mean)}.")
    for lag in (20, 50):
        mean = rows["rnn", "trained", 60]["retention"][lag][0]
        word = "confirmed" if mean < 0.05 else "refuted"
        lines.append(
            f"- An RNN has lost nearly all after {lag} days: {word}, {_percent(mean)} left."
        )
        for state in ("initial", "trained"):
            low = rows["lstm", state, 60]["retention"][lag][1]
            word = (
                "confirmed"
                if low > rows["rnn", state, 60]["retention"][lag][2]
                else "not confirmed"
            )
            lines.append(f"- There an LSTM keeps more than an RNN, {state}: {word}.")
    needed = CLAIMED[50] ** (1 / 50)
    lines.append(
        f"- To keep 60% over 50 days a forget gate has to average {needed:.3f}. PyTorch starts it "
        "at 0.5; `python -m src.gates` shows where training left it."
    )
    return lines


def _cell(band: Sequence[float]) -> str:
    mean, low, high = map(_percent, band)
    return f"{mean} [{low}, {high}]"


def _percent(share: float) -> str:
    """Return a share in per cent, tiny ones as a power of ten."""
    if share <= FLOOR * 1.01:
        return "0"
    if share < 5e-4:
        return f"1e{math.log10(share):.0f}"
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw retention over lag, a panel a window length."""
    figure = Figure(figsize=(11, 4.4), dpi=110, layout="constrained")
    for axes, length in zip(figure.subplots(1, len(LENGTHS)), LENGTHS, strict=True):
        for row in (row for model in result["models"] for row in model["rows"]):
            if row["days"] == length:
                _draw_curve(axes, row)
        if length == TRAINED_LENGTH:
            axes.plot(*zip(*CLAIMED.items(), strict=True), "kx", label="textbook LSTM")
        lags = np.arange(length)
        axes.plot(lags, 0.8**lags, color="gray", linewidth=0.8, label="0.8 to the power of days")
        axes.set(yscale="log", ylim=(1e-9, 10), xlabel="days back", xlim=(0, length - 1))
        axes.set_title(f"windows of {length} days", loc="left")
    axes.set_ylabel("")
    first = figure.axes[0]
    first.set_ylabel("influence on the forecast, last day = 1")
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize="small")
    figure.savefig(path)


def _draw_curve(axes: Axes, row: dict[str, Any]) -> None:
    mean, low, high = np.array(row["curve"]).T
    colour, lags = COLOURS[row["model"]], np.arange(len(mean))
    style = "-" if row["state"] == "trained" else ":"
    axes.plot(lags, mean, style, color=colour, label=f"{row['model']}, {row['state']}")
    if row["state"] == "trained":
        axes.fill_between(lags, low, high, color=colour, alpha=0.15, linewidth=0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and with `--write` keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200, help="training steps of each seed")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of the step times")
    parser.add_argument("--write", action="store_true", help="keep the result")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    data = {length: load_data(length) for length in LENGTHS}
    started = time.monotonic()
    result: dict[str, Any] = {
        "command": "python -m benchmarks.retention --write",
        "seeds": options.seeds,
        "steps": options.steps,
        "models": [measure(name, data, options.seeds, options.steps) for name in MODELS],
        "steps_timed": time_steps(data[TRAINED_LENGTH], options.rounds),
    }
    result["duration_s"] = round(time.monotonic() - started)
    text = table(result)
    print(text)
    if options.write:
        draw(result, RESULTS / "retention.png")
        for row in (row for model in result["models"] for row in model["rows"]):
            del row["curve"]
        keep("retention", result, text)


if __name__ == "__main__":
    main()
