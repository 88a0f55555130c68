"""The service over a real socket: answers, refusals, concurrency, bodies without end."""

import asyncio
import dataclasses
import http.client
import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from benchmarks.serving import BAD, requests_of_any_kind, windows
from src.runs.opening import open_run
from src.serving import requests, server
from src.serving.app import build_app
from src.serving.requests import Batcher
from src.serving.server import make_server

BODIES = windows(40)


@pytest.fixture(scope="module")
def predictor(kept_run):
    return open_run(kept_run("experiment=price_lstm")).predictor


@pytest.fixture(scope="module")
def port(predictor):
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(build_app(predictor, "a run"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(10)


def ask(port, method="POST", path="/predict", body=None, kind="application/json"):
    """Return the status and the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {"content-type": kind} if kind else {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_a_forecast_has_price_baseline_and_interval(port, predictor):
    status, content = ask(port, body=BODIES[0])
    answer = json.loads(content)
    closes = np.array([json.loads(BODIES[0])["prices"]])
    expected = predictor.forecast(predictor.windows_of_closes(closes), 0.9)
    assert status == 200
    assert answer == {
        "predicted_price": expected.predicted_price[0],
        "last_price": closes[0, -1],
        "baseline": closes[0, -1],
        "interval": expected.interval[0].tolist(),
        "level": 0.9,
    }


def test_two_requests_in_a_row_give_exactly_what_each_gives_alone(port, predictor):
    petr4, vale3 = BODIES[1], BODIES[2]
    in_a_row = [ask(port, body=body)[1] for body in (petr4, vale3, petr4)]
    for body, content in zip((petr4, vale3, petr4), in_a_row, strict=True):
        closes = np.array([json.loads(body)["prices"]])
        alone = predictor.forecast(predictor.windows_of_closes(closes)).predicted_price[0]
        assert json.loads(content)["predicted_price"] == alone


def test_sixteen_clients_at_once_get_byte_for_byte_the_serial_answers(port):
    serial = [ask(port, body=body) for body in BODIES]
    with ThreadPoolExecutor(16) as pool:
        mixed = [body for pair in zip(BODIES, BAD * 3, strict=False) for body in pair]
        found = dict(zip(mixed, pool.map(lambda b: ask(port, body=b), mixed), strict=True))
    assert [found[body] for body in BODIES] == serial
    assert all(400 <= found[body][0] < 500 for body in BAD)


@pytest.mark.parametrize(
    ("body", "status", "field", "index"),
    [
        (b'{"prices": [' + b"1," * 58 + b"1]}", 422, "prices", None),
        (b'{"prices": [' + b"1," * 60 + b"1]}", 422, "prices", None),
        (b'{"prices": [' + b"1," * 30 + b"NaN," + b"1," * 28 + b"1]}", 422, "prices", 30),
        (b'{"prices": [' + b"1," * 30 + b"1e-29,1e29," + b"1," * 27 + b"1]}", 422, "prices", 30),
        (b'{"prices": [' + b"1," * 59 + b"1.1e6]}", 422, "prices", 59),
        (b'{"prices": [], "more": 1}', 422, "more", None),
        (b'{"\\ud800": 1}', 422, "\\ud800", None),
        (b"", 400, None, None),
        (b"[" * 60_000, 400, None, None),
        (b"\xff", 400, None, None),
        (b"1" * 10_000_000, 413, None, None),
    ],
)
def test_a_refusal_is_json_that_names_field_and_index(port, body, status, field, index):
    found, content = ask(port, body=body)
    refusal = json.loads(content)
    assert found == status
    assert (refusal["field"], refusal["index"]) == (field, index)
    assert refusal["message"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "PUT", "body": b"{}"}, 405),
        ({"path": "/nowhere"}, 404),
        ({"body": BODIES[0], "kind": "text/plain"}, 415),
        ({"body": BODIES[0], "kind": None}, 415),
        ({"body": BODIES[0], "kind": "application/json; charset=utf-8"}, 200),
    ],
)
def test_method_path_and_content_type_are_checked(port, request_, status):
    found, content = ask(port, **request_)
    assert found == status
    assert json.loads(content)


def test_health_metrics_and_openapi_say_what_is_served(port, predictor):
    ask(port, body=BODIES[0])
    health = json.loads(ask(port, "GET", "/health")[1])
    assert (health["status"], health["run"], health["context_length"]) == ("ok", "a run", 60)
    assert health["coverage"] == predictor.calibration.coverage(0.9)
    metrics = ask(port, "GET", "/metrics")[1].decode()
    assert 'price_requests_total{path="/predict",status="200"}' in metrics
    assert "/nowhere" not in metrics
    schema = json.loads(ask(port, "GET", "/openapi.json")[1])
    operation = schema["paths"]["/predict"]["post"]
    asked = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
    prices = asked["prices"]
    assert (prices["minItems"], prices["maxItems"]) == (60, 60)
    assert prices["items"] == {
        "type": "number",
        "exclusiveMinimum": 1e-30,
        "exclusiveMaximum": 1e30,
    }
    assert operation["requestBody"]["required"]
    assert {"200", "400", "413", "415", "422"} <= set(operation["responses"])


def test_durations_are_told_apart_from_a_millisecond_to_ten_seconds(port):
    ask(port, body=BODIES[0])
    metrics = ask(port, "GET", "/metrics")[1].decode()
    found = re.findall(r'price_request_seconds_bucket\{le="([^"]+)",path="/predict"\}', metrics)
    ends = "0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 10.0 +Inf"
    assert " ".join(found) == ends
    total = re.search(r'price_request_seconds_sum\{path="/predict"\} (\S+)', metrics)[1]
    assert 0 < float(total) < 600, "seconds of these requests, not of the machine"


def test_prices_that_float32_can_tell_apart_are_answered(port):
    assert ask(port, body=b'{"prices": [' + b"1," * 59 + b"9.9e5]}")[0] == 200


def test_the_docs_are_one_page_that_loads_nothing(port):
    status, content = ask(port, "GET", "/docs")
    page = content.decode()
    assert status == 200
    for path in ("POST /predict", "GET /health", "GET /metrics"):
        assert f"<code>{path}</code>" in page
    assert (
        "<code>predicted_price</code>: the model&#39;s forecast of the price that follows" in page
    )
    assert not re.search(r"https?://|//\w|\bsrc=|@import|url\(", page)
    example = re.search(r"<textarea[^>]*>([^<]*)</textarea>", page)[1]
    assert ask(port, body=f'{{"prices": [{example}]}}')[0] == 200
    assert ask(port, "GET", "/redoc")[0] == 404


def send_slowly(port, chunk, count):
    """Send a body in chunks without saying how long it is; return the answer's first line."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = "POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        connection.sendall((head + "transfer-encoding: chunked\r\n\r\n").encode())
        try:
            for _ in range(count):
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        except OSError:
            pass  # the answer came and the connection was closed
        return connection.recv(4096).split(b"\r\n")[0]


def test_a_body_may_be_64_kib_and_not_a_byte_more(port):
    whole = BODIES[0] + b" " * (64 * 1024 - len(BODIES[0]))
    assert ask(port, body=whole)[0] == 200
    assert ask(port, body=whole + b" ")[0] == 413


def test_a_client_has_ten_seconds_for_a_head_and_ten_for_a_body():
    assert (server.HEADER_SECONDS, requests.READ_SECONDS) == (10.0, 10.0)


def test_a_body_that_does_not_end_is_refused(port, monkeypatch):
    monkeypatch.setattr(requests, "READ_SECONDS", 0.3)
    assert b" 408 " in send_slowly(port, b" ", 3)


def test_a_body_without_measure_is_refused_without_being_kept(port, monkeypatch):
    monkeypatch.setattr(requests, "LARGEST_DISCARDED", 100_000)
    assert b" 413 " in send_slowly(port, b" " * 20_000, 7)


def test_a_client_that_hangs_up_in_its_body_troubles_nobody(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        connection.sendall(head + b"content-length: 100\r\n\r\n{")
    assert ask(port, body=BODIES[0])[0] == 200


@given(request=requests_of_any_kind())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_is_answered_and_never_with_5xx(port, request):
    status, content = ask(port, body=request[0], kind=request[1])
    assert status == 200 or 400 <= status < 500
    assert json.loads(content)


def test_one_window_without_a_finite_forecast_does_not_take_the_others_with_it(predictor):
    def spoilt(x):
        return torch.where(x[:, :1, 0] > 0, torch.nan, predictor.model(x))

    batcher = Batcher(dataclasses.replace(predictor, model=spoilt), 0.9)
    rising, falling = np.linspace(1, 2, 60), np.linspace(2, 1, 60)

    async def both():
        asked = (batcher.forecast(window) for window in (falling, rising))
        return await asyncio.gather(*asked, return_exceptions=True)

    refused, answered = asyncio.run(both())
    assert isinstance(refused, ValueError)
    assert answered.last_price == 2.0


def test_a_run_on_bars_is_refused_in_one_line(kept_run):
    with pytest.raises(ValueError, match="takes closes, and this run was trained on data=bars"):
        build_app(open_run(kept_run("experiment=bars_transformer")).predictor, "bars")
