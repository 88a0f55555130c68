"""The HTTP service: POST /predict, GET /health, GET /metrics, GET /docs and /openapi.json."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.runs.predictor import Predictor
from src.serving.prices import LARGEST, SMALLEST
from src.serving.requests import WIDEST, Batcher, RequestError, read_prices

PATHS = ("/predict", "/health", "/metrics", "/docs", "/openapi.json")
REFUSALS = {
    400: "Not JSON",
    408: "A body that does not end",
    413: "A body that is too large",
    415: "Another content type than application/json",
    422: "A field at fault",
}


class Answer(BaseModel):
    """The forecast of one window, in the unit of its prices."""

    predicted_price: float = Field(description="the model's forecast of the price that follows")
    last_price: float = Field(description="the last price sent")
    baseline: float = Field(description='the forecast "tomorrow = today"')
    interval: tuple[float, float] | None = Field(description="lower and upper end")
    level: float | None = Field(description="share of bars that the interval should cover")


class Refusal(BaseModel):
    """Why a request was not answered."""

    message: str = Field(description="what was found and what was expected")
    field: str | None = Field(description="the field at fault")
    index: int | None = Field(description="position in the field, counted from 0")


class Health(BaseModel):
    """What is being served."""

    status: str
    run: str
    context_length: int = Field(description="prices that a request has to hold")
    level: float | None = Field(description="share of bars that intervals should cover")
    coverage: float | None = Field(description="share of the run's test bars they did cover")


def build_app(predictor: Predictor, run: str, level: float = 0.9) -> FastAPI:
    """Return the service for one predictor.

    Args:
        predictor: A model of closes.
        run: Its name, for GET /health.
        level: Share of days that intervals should cover, in (0, 1).

    Returns:
        The ASGI application.

    Raises:
        ValueError: If the model needs more than closes, or the level cannot be had.
    """
    if predictor.facts.input_scaling is None:
        raise ValueError(
            "the service takes closes, and this run was trained on data=bars; "
            "serve a run on data=prices, or use python -m src.predict"
        )
    if predictor.facts.extra:
        raise ValueError(
            "the service takes closes, and this run was trained with "
            f"data.extra=[{', '.join(predictor.facts.extra_names)}]; use python -m src.predict"
        )
    steps, calibration = predictor.facts.context_length, predictor.calibration
    coverage = None if calibration is None else calibration.coverage(level)
    shown_level = None if calibration is None else level
    batcher, registry = Batcher(predictor, level), CollectorRegistry()
    title, description = "Price forecasts", f"Forecasts from {steps} closes."
    # The framework's own pages load their scripts from a foreign host; ours need nobody.
    app = FastAPI(title=title, description=description, docs_url=None, redoc_url=None)
    app.add_middleware(Metrics, registry=registry, paths=PATHS)
    _add_error_handlers(app)

    @app.post(
        "/predict",
        response_model=Answer,
        **_documentation(steps, predictor.facts.frequency or "daily"),
    )
    async def predict(request: Request) -> Response:
        """Forecast the price that follows."""
        closes = await read_prices(request, steps)
        try:
            forecast = await batcher.forecast(closes)
        except ValueError as error:
            raise RequestError(422, str(error), "prices") from None
        answer = forecast._asdict() | {"baseline": forecast.last_price, "level": shown_level}
        return JSONResponse(answer)

    @app.get("/health")
    async def health() -> Health:
        """Say what is being served."""
        return Health(
            status="ok", run=run, context_length=steps, level=shown_level, coverage=coverage
        )

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Report counts and durations to Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    page = _docs_page(app.openapi(), steps)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """Explain the service to people."""
        return HTMLResponse(page)

    return app


def _docs_page(schema: Mapping[str, Any], steps: int) -> str:
    """Return the page that explains the service, made from its OpenAPI schema."""

    def fields(response: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        content = response.get("content", {}).get("application/json", {}).get("schema", {})
        model = content.get("$ref", "").rpartition("/")[2]
        yield from schema["components"]["schemas"].get(model, {}).get("properties", {}).items()

    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return pages.get_template("docs.html.jinja").render(
        schema,
        fields=fields,
        prices=body["schema"]["properties"]["prices"],
        example=", ".join(f"{100 + day % 7 / 4:g}" for day in range(steps)),
    )


def _documentation(steps: int, frequency: str) -> dict[str, Any]:
    """Return what OpenAPI says of POST /predict, whose body the service reads by itself."""
    price = Annotated[float, Field(gt=SMALLEST, lt=LARGEST)]

    class Prices(BaseModel):
        model_config = ConfigDict(extra="forbid")
        prices: list[price] = Field(
            description=f"{steps} {frequency} closes, oldest first, the largest at most "
            f"{WIDEST:,.0f} times the smallest",
            min_length=steps,
            max_length=steps,
        )

    content = {"application/json": {"schema": Prices.model_json_schema()}}
    return {
        "responses": {
            status: {"model": Refusal, "description": text} for status, text in REFUSALS.items()
        },
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }


def _add_error_handlers(app: FastAPI) -> None:
    """Answer every refusal in one form, those of the framework (404, 405) included."""

    @app.exception_handler(RequestError)
    async def refuse(request: Request, error: RequestError) -> JSONResponse:
        refusal = Refusal(message=error.message, field=error.field, index=error.index)
        return JSONResponse(refusal.model_dump(), error.status)

    @app.exception_handler(HTTPException)
    async def refuse_route(request: Request, error: HTTPException) -> JSONResponse:
        refusal = Refusal(message=error.detail, field=None, index=None)
        return JSONResponse(refusal.model_dump(), error.status_code, error.headers)


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
