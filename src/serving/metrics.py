"""What Prometheus reads: requests, their duration, and forecasts made."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """ASGI middleware that counts and times every request.

    Args:
        app: The application.
        registry: Where to register.
        paths: Paths to tell apart; all others count as `other`, so that nobody can fill memory
            with made-up ones.

    | metric | meaning | unit | labels |
    |---|---|---|---|
    | price_requests_total | requests answered | requests | path, status |
    | price_request_seconds | from request to the end of the answer | s | path |
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, paths: Iterable[str]) -> None:
        self.app, self.paths = app, frozenset(paths)
        labels = ["path", "status"]
        self.requests = Counter("price_requests", "Requests answered", labels, registry=registry)
        self.seconds = Histogram(
            "price_request_seconds",
            "Duration of a request",
            ["path"],
            buckets=BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when it is answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self.paths else "other"
        started, status = time.perf_counter(), "none"

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        finally:
            self.requests.labels(path, status).inc()
            self.seconds.labels(path).observe(time.perf_counter() - started)
