"""Reports of runs for the claims, made of numbers that are known."""

import json
from itertools import product
from pathlib import Path

import numpy as np

STEPS = np.linspace(0, 12_000, 25)
T = 20


def report(
    data="scenario",
    schedule="dead_inputs",
    seed=0,
    *,
    model="transformer",
    pooling="mean",
    norm="none",
    dropout="none",
    prior="none",
    kl=0.0,
    injection=None,
    init=None,
    lr=1e-3,
    clip=None,
    position=None,
    residual=1.0,
    layers=2,
    hidden=64,
    scale=0.1,
    form=("relative", "log_return"),
    source="sp500",
    zeros=None,
    rows=0.0,
    columns=None,
    distinct=43,
    loss=0.6,
    losses=None,
    weights=None,
    shares=None,
    norms=None,
    findings=(),
    ratio=1.0,
    floor=0.3,
    context=T,
    task=None,
    forget_bias=None,
    size=None,
    units=None,
    thirds=None,
    **more,
):
    """Return a finished run's report; `zeros`, `losses` and `weights` are ends or whole courses."""
    steps = [max(1, round(step * scale)) for step in STEPS]
    zeros = course(zeros if zeros is not None else dying(schedule))
    columns = zeros if columns is None else course(columns)
    losses = course(losses) if losses is not None else 1 - (1 - loss) * STEPS / STEPS[-1]
    records = [
        {
            "step": s,
            "zero_fraction": z,
            "rows": rows,
            "columns": c,
            "scattered": 0.0,
            "distinct_columns": distinct,
        }
        for s, z, c in zip(steps, zeros.tolist(), columns.tolist(), strict=True)
    ]
    weights = np.full((len(steps), T), 1 / T) if weights is None else np.asarray(weights, float)
    weights = np.broadcast_to(weights, (len(steps), T)).tolist()
    pools = [
        {"step": s, "weights": w, "gradient_share": shares}
        for s, w in zip(steps, weights, strict=True)
    ]
    made = {
        "status": "finished",
        "seed": seed,
        "choices": {
            "data": data,
            "model": model,
            "pooling": pooling,
            "pooling_prior": prior,
            "norm": norm,
            "dropout": dropout,
            "schedule": schedule,
        },
        "config": {
            "optimizer": {"lr": lr},
            "model": {"num_layers": layers, "hidden_size": hidden, "residual_scale": residual}
            | ({"forget_bias": forget_bias} if forget_bias else {}),
            "trainer": {"gradient_clip_val": clip, "max_steps": round(12_000 * scale)},
            "schedule": {"scale": scale}
            | ({"events": {"positions_open": {"size": [50, size]}}} if size else {}),
            "pooling": {"init": init} if init else {},
            "pooling_prior": {"kl_weight": kl}
            | ({"injection": {"direction": injection, "multiple": 0.01}} if injection else {}),
            "callbacks": {"position_gradients": {"factor": position}} if position else {},
            "data": {"source": source, "input": form[0], "target": form[1]}
            | {"context_length": context, "task": task},
        },
        "best": {"steps_trained": round(12_000 * scale), "val_loss": loss},
        "test": {"model": {"rmse": 20.0 * ratio}, "baseline": {"rmse": 20.0}}
        | {"ratio": {"rmse": ratio}},
        "validation": [{"step": s, "loss": x} for s, x in zip(steps, losses.tolist(), strict=True)],
        "gradient_history": {"parameter": FIRST_WEIGHT, "records": records},
        "pooling": {"latest": {}, "history": {"model.pooling": pools}},
        "diagnosis": {"findings": list(findings)},
        "environment": {
            "commit": "abc",
            "started": "2026-01-01T00:00:00",
            "machine": {"system": "Linux", "cpu_count": 2},
            "versions": {"python": "3.12", "torch": "2.11"},
        },
        "duration_s": 60.0,
    }
    if norms is not None:
        made["memory"] = {
            "history": [{"step": s, "norms": n} for s, n in zip((1, 500), norms, strict=True)]
        }
    if units is not None or thirds is not None:
        key, moved = thirds or (1e-9, 1e-9)
        other = {"gradient": 1e-2, "shift": 0.1}
        bias = {"query": other, "value": other}
        bias |= {"key": {"gradient": key * 1e-2, "shift": moved * 0.1}}
        made["layers"] = {"dead_units": {"a": units or 0.0}, "biases": {"a": bias}}
    if data == "scenario":
        made["truth"] = {"noise_floor": floor, "reachable_floor": floor + 0.1}
    return made | more


def course(value):
    """Return a value at every recorded step."""
    return np.broadcast_to(np.asarray(value, dtype=float), STEPS.shape).copy()


def dying(schedule):
    """Return the share of zeros that a schedule leaves at every recorded step."""
    if schedule == "scale_shock":
        return np.where(STEPS < 5000, 43 / 129, 0.0)
    if schedule == "none":
        return np.zeros_like(STEPS)
    return np.select([STEPS < 5000, STEPS < 7000], [5 / 129, 43 / 129], 86 / 129)


def write(parent, reports):
    """Write run folders and return the folder that holds them."""
    for number, one in enumerate(reports):
        folder = Path(parent) / f"run-{number:03}"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(one))
    return Path(parent)


def lean(recent):
    """Return weights (T,) that give the latest three steps a share, the others the rest."""
    return np.r_[np.full(T - 3, (1 - recent) / (T - 3)), np.full(3, recent / 3)]


def growing(recent, start=0.15):
    """Return weights (steps, T) whose latest three go from uniform to a share."""
    way = 1 - np.exp(-4 * STEPS / STEPS[-1])
    return np.stack([lean(start + (recent - start) * w / way[-1]) for w in way])


KEY_BIAS = {
    "cause": "structural",
    "module": "encoder.layers.0.self_attn",
    "parameter": "model.encoder.layers.0.self_attn.in_proj_bias",
    "fraction": 1 / 3,
    "evidence": {"gradient_norm": 1e-9, "neighbours_norm": 1e-2},
    "benign": True,
}
FIRST_WEIGHT = "model.encoder.temporal_projection.weight"
DEAD_INPUT = {"cause": "dead_input", "parameter": FIRST_WEIGHT, "fraction": 2 / 3, "benign": False}
FEW_DEAD = DEAD_INPUT | {"fraction": 5 / 129}
DEAD_UNITS = DEAD_INPUT | {"cause": "dead_unit", "fraction": 85 / 128}


def everything(seeds=5):
    """Yield runs of every block, with numbers near those of first measurements."""
    for data, seed in product(("scenario", "bars"), range(seeds)):
        noise = np.random.default_rng([seed, data == "bars"]).normal
        base = 0.6 if data == "scenario" else 0.98

        def run(
            schedule="dead_inputs", gain=0.0, data=data, seed=seed, noise=noise, base=base, **rest
        ):
            loss = base + gain * (1 if data == "scenario" else 0.1) + noise(0, 0.005)
            return report(data, schedule, seed, loss=loss, ratio=1 + noise(0, 0.002), **rest)

        named = {"findings": (KEY_BIAS, DEAD_INPUT)}
        for pooling, norm in product(
            ("mean", "learnable", "gated", "attention"), ("none", "layer", "feature")
        ):
            zeros = {"none": None, "layer": 0.0, "feature": 5 / 129}[norm]
            distinct = {"none": 43, "layer": 44, "feature": 80}[norm]
            gain = {"none": 0, "layer": 0.02, "feature": -0.05}[norm]
            more = named | {"pooling": pooling, "norm": norm}
            yield run(gain=gain, zeros=zeros, distinct=distinct, **more)
            if pooling in ("mean", "learnable"):
                gain = {"none": 0, "layer": 3.0, "feature": -0.1}[norm]
                shocked = {"zeros": 0.0 if norm == "layer" else None, "findings": (KEY_BIAS,)}
                yield run("scale_shock", gain, pooling=pooling, norm=norm, units=0.01, **shocked)
            if norm == "none":
                shares = np.full(T, 1 / T) if pooling == "mean" else lean(0.3)
                yield run("none", -0.2, pooling=pooling, units=0.01, shares=shares.tolist())
        attempts = ({"dropout": "projection"}, {"dropout": "strong"}, {"clip": 1.0})
        attempts += ({"clip": 10.0}, {"position": 0.05}, {"residual": 0.1}, {"residual": 0.5})
        for schedule, attempt in product(("dead_inputs", "scale_shock"), attempts):
            yield run(schedule, noise(0, 0.01), **attempt)
        for layers in (1, 4, 8):
            yield run(layers=layers)
        for schedule in ("dead_inputs", "scale_shock"):
            yield run(schedule, pooling="learnable", prior="recency_kl", kl=0.1)
            yield run(
                *(schedule,),
                **{"pooling": "learnable", "prior": "forced", "kl": 0.1, "injection": "descent"},
                init="recency_log",
            )
        yield run(
            "dead_units", columns=0.0, rows=0.664, zeros=0.664, findings=(FEW_DEAD, DEAD_UNITS)
        )
        yield from _pace(run)
    for seed in range(seeds):
        yield from _memory_and_prices(seed)


def _pace(run):
    small = {"pooling": "learnable", "layers": 1, "hidden": 16, "scale": 1.0}
    for lr, recent in ((1e-4, 0.2), (3e-4, 0.3), (1e-3, 0.45), (3e-3, 0.59)):
        yield run(**small, lr=lr, weights=growing(0.15 + lr * 10), shares=lean(0.2).tolist())
        yield run(**small, lr=lr, prior="recency_kl", kl=0.1, weights=growing(recent))
    yield run(**small, lr=1e-4, prior="recency_kl", kl=0.5, weights=growing(0.55))
    for kl, direction in product((0.0, 0.1), ("published", "descent")):
        recent = (0.2 if kl else 0.15) + (-0.02 if direction == "published" else 0.02)
        prior = {
            "prior": "forced" if kl else "gradient_injection",
            "kl": kl,
            "injection": direction,
        }
        yield run(**small, lr=1e-4, **prior, weights=growing(recent))
    for init, start in (("recency_probability", 0.1525), ("recency_log", 0.177)):
        yield run(**small, lr=1e-4, init=init, weights=growing(start + 0.002, start))


def _memory_and_prices(seed):
    noise = np.random.default_rng(seed).normal
    for data, (model, rate) in product(
        ("prices", "scenario"), (("rnn", 0.75), ("gru", 0.9), ("lstm", 0.93))
    ):
        lags = np.arange(60)[::-1]
        norms = [(r + noise(0, 0.003)) ** lags for r in (rate - 0.1, rate)]
        yield report(
            *(data, "none", seed),
            **{
                "model": model,
                "pooling": "last",
                "hidden": 50,
                "norms": [n.tolist() for n in norms],
            },
        )
    for task, context in (("recall", 6), ("recall", 21), ("recall", 51), ("adding", 60)):
        for model, bias in (("rnn", 0), ("gru", 0), ("lstm", 0), ("lstm", 3)):
            norms = [(0.9 ** np.arange(context)[::-1]).tolist()] * 2
            shape = {"hidden": 50, "layers": 1, "pooling": "last", "lr": 3e-3, "norms": norms}
            asked = {"task": task, "context": context, "model": model, "forget_bias": bias}
            yield report("memory_task", "none", seed, **shape, **asked)
    for source in ("sp500", "nasdaq"):
        for form, ratio in ((("price", "price"), 8.0), (("relative", "log_return"), 1.001)):
            yield report(
                *("prices", "none", seed),
                context=60,
                **{
                    "model": "lstm",
                    "pooling": "last",
                    "hidden": 50,
                    "form": form,
                    "source": source,
                },
                ratio=ratio + noise(0, 0.0005),
            )
