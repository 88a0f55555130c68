"""The service under load: is every answer bitwise the serial one, how fast, and can it be broken?

Run `python -m benchmarks.serving` for a look and `--write` to keep it in benchmarks/results.

A server process is started on a free port of this machine. Every window is asked for alone, one
after the other; then all of them again, shuffled among bad requests, from many clients at once, and
the bytes of the answers compared. At the end Hypothesis sends what it can think of.
"""

import argparse
import asyncio
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.keeping import keep
from src.reporting.text import markdown_rows
from src.runs.opening import open_run

DAYS = 60
BAD = (
    b"",
    b"{}",
    b"[1, 2]",
    b'{"prices": null}',
    b'{"prices": []}',
    b'{"prices": "1, 2"}',
    b'{"prices": [NaN]}',
    b'{"prices": [1e400]}',
    b'{"prices": [true]}',
    b'{"prices": [[1]]}',
    b'{"prices": [1], "prices": [2]}',
    b'{"prices": [1], "more": 1}',
    b'{"prices": [' + b"1," * 58 + b"1]}",
    b'{"prices": [' + b"1," * 60 + b"1]}",
    b'{"prices": [' + b"1," * 59 + b"-1]}",
    b"[" * 10_000,
    b'{"prices": [' + b"9" * 5_000 + b"]}",
    b"\xff\xfe",
    b"x" * 100_000,
)


class Client:
    """One keep-alive connection to the service."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes, content_type: str = "application/json") -> tuple[int, bytes]:
        """Send a body to /predict; return the status and the body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        head = f"POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: {content_type}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body)
        await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(answer.split(" ", 2)[1])
        (length,) = (
            x.split(":")[1] for x in answer.split("\r\n") if x.startswith("content-length")
        )
        content = await reader.readexactly(int(length))
        if "connection: close" in answer:
            self.close()
        return status, content

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@contextmanager
def server(run: str) -> Iterator[tuple[int, int]]:
    """Serve a run on a free port; yield port and process id, and stop it by SIGTERM."""
    command = [sys.executable, "-m", "src.serve", f"ckpt_path={run}", "port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield int(line.split("127.0.0.1:")[1].split()[0]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def windows(count: int, seed: int = 0) -> list[bytes]:
    """Return bodies of random walks from cents to thousands, as of many different shares."""
    rng = np.random.default_rng(seed)
    start = np.exp(rng.uniform(-2, 8, count))[:, None]
    spread = rng.uniform(0.002, 0.05, count)[:, None]
    closes = start * np.exp(np.cumsum(spread * rng.standard_normal((count, DAYS)), axis=1))
    return [json.dumps({"prices": row.round(4).tolist()}).encode() for row in closes.clip(0.001)]


async def one_by_one(port: int, bodies: Sequence[bytes]) -> tuple[list[bytes], list[float]]:
    """Return the answers to bodies asked for alone, and their times in ms."""
    client, answers, times = Client(port), [], []
    for body in bodies:
        started = time.perf_counter()
        status, answer = await client.post(body)
        times.append(1e3 * (time.perf_counter() - started))
        assert status == 200, answer
        answers.append(answer)
    client.close()
    return answers, times


async def all_at_once(port: int, bodies: Sequence[bytes], clients: int) -> dict[str, Any]:
    """Return statuses, answers and times in ms of bodies asked for by many clients."""
    todo = iter(enumerate(bodies))
    done: list[tuple[int, bytes]] = [(0, b"")] * len(bodies)
    times: list[float] = []

    async def work() -> None:
        client = Client(port)
        for number, body in todo:
            started = time.perf_counter()
            done[number] = await client.post(body)
            times.append(1e3 * (time.perf_counter() - started))
        client.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return {"done": done, "times": times, "seconds": time.perf_counter() - started}


def load(port: int, requests: int, clients: int) -> dict[str, Any]:
    """Ask for windows serially, then shuffled among a tenth of bad requests from many clients."""
    good = windows(requests - requests // 10)
    serial, alone = asyncio.run(one_by_one(port, good))
    expected = dict(zip(good, serial, strict=True))
    mixed = good + [BAD[n % len(BAD)] for n in range(requests // 10)]
    random.Random(0).shuffle(mixed)
    found = asyncio.run(all_at_once(port, mixed, clients))
    pairs = list(zip(mixed, found["done"], strict=True))
    different = sum(answer != expected[body] for body, (_, answer) in pairs if body in expected)
    return {
        "requests": requests,
        "clients": clients,
        "bad_requests": requests // 10,
        "good_answers_that_differ": different,
        "statuses": dict(sorted(Counter(status for _, (status, _) in pairs).items())),
        "requests_per_second": round(requests / found["seconds"]),
        "latency_ms": _percentiles(found["times"]),
        "latency_alone_ms": _percentiles(alone),
    }


def _percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=1000, method="inclusive")
    named = {"p50": cuts[499], "p95": cuts[949], "p99": cuts[989], "max": max(times)}
    return {name: round(value, 2) for name, value in named.items()}


def requests_of_any_kind() -> st.SearchStrategy[tuple[bytes, str]]:
    """Return a strategy of bodies and content types: nearly right ones, any JSON, any bytes."""
    number = st.one_of(
        st.floats(), st.integers(), st.floats(0.01, 1e5), st.sampled_from([1e400, 1e-320, -0.0])
    )
    scalar = st.one_of(number, st.booleans(), st.none(), st.text(max_size=8))
    anything = st.recursive(
        scalar,
        lambda inner: st.one_of(
            st.lists(inner, max_size=8), st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=20,
    )
    prices = st.lists(st.floats(1e-3, 1e6), min_size=DAYS, max_size=DAYS)
    spoilt = st.tuples(prices, st.integers(0, DAYS - 1), anything).map(
        lambda parts: [*parts[0][: parts[1]], parts[2], *parts[0][parts[1] + 1 :]]
    )
    near = st.lists(number, min_size=DAYS - 2, max_size=DAYS + 2)
    field = st.sampled_from(["prices", "prices", "prices", "price", "\ud800"])
    value = st.one_of(prices, spoilt, near, anything)
    document = st.one_of(st.dictionaries(field, value, max_size=2), anything)
    body = st.one_of(document.map(lambda d: json.dumps(d).encode()), st.binary(max_size=300))
    kind = st.sampled_from(["application/json"] * 6 + ["application/json; charset=x", "text/csv"])
    return st.tuples(body, kind)


def fuzz(port: int, examples: int) -> dict[str, Any]:
    """Send examples of any kind; return how often each status came."""
    statuses: Counter[int] = Counter()
    loop = asyncio.new_event_loop()
    client = Client(port)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests_of_any_kind())
    def send(request: tuple[bytes, str]) -> None:
        status, answer = loop.run_until_complete(client.post(*request))
        statuses[status] += 1
        assert status == 200 or (400 <= status < 500 and json.loads(answer)["message"]), request

    send()
    client.close()
    loop.close()
    return {"examples": statuses.total(), "statuses": dict(sorted(statuses.items()))}


def batching(run: str, count: int = 512) -> dict[str, Any]:
    """Return by how much forecasts in batches of any size differ, and those in fixed blocks."""
    predictor = open_run(run).predictor
    closes = np.array([json.loads(body)["prices"] for body in windows(count)])
    together = predictor.windows_of_closes(closes)
    ones = [predictor.windows_of_closes(row[None]) for row in closes]
    blocks = predictor.forecast(together).predicted_price
    alone = np.concatenate([predictor.forecast(one).predicted_price for one in ones])
    with torch.inference_mode():
        free = predictor.model(together.x)
        free_alone = torch.cat([predictor.model(one.x) for one in ones])
    return {
        "block_size": predictor.block_size,
        "in_blocks_that_differ": int((blocks != alone).sum()),
        "in_free_batches_that_differ": int((free != free_alone).sum()),
        "in_free_batches_largest": float((free - free_alone).abs().max()),
        "windows": count,
    }


def table(result: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    found, fuzzed, batches = result["load"], result["fuzz"], result["batching"]
    times = {"alone": found["latency_alone_ms"], "under load": found["latency_ms"]}
    rows = [(name, *(f"{value:.1f}" for value in found.values())) for name, found in times.items()]
    return "\n".join(
        [
            "# The service under load",
            "",
            f"{found['requests']:,} requests from {found['clients']} clients at once, a tenth of "
            f"them bad, server and clients on one machine. Repeat: `{result['command']}`.",
            "",
            f"- Good answers that are not byte for byte the serial one: "
            f"{found['good_answers_that_differ']}.",
            f"- Answers by status: {_statuses(found['statuses'])}.",
            f"- {found['requests_per_second']} requests a second; memory of the server "
            f"{result['memory_mb'][0]} MB before, {result['memory_mb'][1]} MB after.",
            f"- Fuzzing, {fuzzed['examples']:,} examples: {_statuses(fuzzed['statuses'])}.",
            "",
            *markdown_rows(("latency, ms", "p50", "p95", "p99", "max"), rows),
            "",
            f"Requests that come together are forecast in blocks of {batches['block_size']}, "
            f"filled up with zeros: of {batches['windows']} windows "
            f"{batches['in_blocks_that_differ']} differ from their forecast alone. In batches of "
            f"any size {batches['in_free_batches_that_differ']} would, by up to "
            f"{batches['in_free_batches_largest']:.1e} of the scaled prediction: the kernels sum "
            "in another order.",
            "",
        ]
    )


def _statuses(statuses: dict[int, int]) -> str:
    return ", ".join(f"{count:,} x {status}" for status, count in statuses.items())


def _memory_mb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024)


def train(folder: str) -> str:
    """Train the preset for an epoch; return a path to its run folder without special characters."""
    overrides = ["experiment=price_lstm", "callbacks=basic", "trainer.max_epochs=1", "name=served"]
    command = [sys.executable, "-m", "src.train", f"log_dir={folder}", *overrides]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (run,) = Path(folder, "served").iterdir()
    return str(run.rename(Path(folder, "run")))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and with `--write` keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--examples", type=int, default=1_000, help="of the fuzzing")
    parser.add_argument("--write", action="store_true", help="keep the result")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = train(folder)
        with server(run) as (port, pid):
            before = _memory_mb(pid)
            result: dict[str, Any] = {
                "command": "python -m benchmarks.serving --write",
                "load": load(port, options.requests, options.clients),
                "fuzz": fuzz(port, options.examples),
                "memory_mb": [before, _memory_mb(pid)],
            }
        result["batching"] = batching(run)
    text = table(result)
    print(text)
    if options.write:
        keep("serving", result, text)


if __name__ == "__main__":
    main()
