"""Connections over a real socket: heads without end, and the end of a server."""

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from starlette.responses import PlainTextResponse

from src.serving import server as module
from src.serving.server import make_server


@contextmanager
def running(app=PlainTextResponse("hello")):  # noqa: B008
    """Serve an application; yield the port and what tells the server to stop."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()

    def stop():
        server.should_exit = True
        return thread

    try:
        yield listening.getsockname()[1], stop
    finally:
        stop().join(15)
        assert not thread.is_alive()


def read_all(connection):
    """Return what comes until the other side hangs up; a reset is an error."""
    received = b""
    while chunk := connection.recv(4096):
        received += chunk
    return received


@pytest.mark.parametrize("begun", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\n"])
def test_a_head_that_does_not_end_is_refused(monkeypatch, begun):
    monkeypatch.setattr(module, "HEADER_SECONDS", 0.3)
    with running() as (port, _), socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(begun)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    message = "the head of the request did not end within 0.3 s"
    assert json.loads(body) == {"message": message, "field": None, "index": None}


def test_a_head_that_trickles_in_is_refused_as_early(monkeypatch):
    monkeypatch.setattr(module, "HEADER_SECONDS", 0.4)
    with running() as (port, _), socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        connection.setblocking(False)
        started, answer = time.monotonic(), b""
        while not answer and time.monotonic() < started + 5:
            connection.sendall(b"a: b\r\n")
            time.sleep(0.05)
            with suppress(BlockingIOError):
                answer = connection.recv(4096)
    assert b" 408 " in answer
    assert time.monotonic() - started < 2


def test_a_connection_that_sends_nothing_is_let_go(monkeypatch):
    monkeypatch.setattr(module, "HEADER_SECONDS", 0.3)
    with running() as (port, _), socket.create_connection(("127.0.0.1", port), 10) as connection:
        assert read_all(connection) == b""


def test_the_limit_is_on_each_head_not_on_the_connection(monkeypatch):
    monkeypatch.setattr(module, "HEADER_SECONDS", 0.4)
    with running() as (port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(4):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello"
            time.sleep(0.2)
        connection.close()


def test_told_to_stop_it_answers_what_is_on_its_way_on_a_kept_connection(monkeypatch):
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.8)
    with running() as (port, stop):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        connection.getresponse().read()
        stop()
        time.sleep(0.4)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.read() == b"hello"
        assert answer.headers["connection"] == "close"
        connection.close()


def test_told_to_stop_it_says_goodbye_to_idle_connections_and_ends(monkeypatch):
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.3)
    with running() as (port, stop):
        fresh = socket.create_connection(("127.0.0.1", port), 10)
        kept = socket.create_connection(("127.0.0.1", port), 10)
        kept.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = b""
        while not answer.endswith(b"hello"):
            answer += kept.recv(4096)
        started, thread = time.monotonic(), stop()
        time.sleep(0.5)
        for connection in (fresh, kept):
            connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")  # too late, and no reset
            assert read_all(connection) == b""
            connection.close()
        thread.join(10)
        assert time.monotonic() - started < 5


def test_busy_clients_lose_no_answer_when_the_server_stops():
    """Every client asks again and again on its connection until it is told to close it."""
    with running() as (port, stop):
        ends, answered = [], threading.Semaphore(0)

        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                while True:
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    assert answer.read() == b"hello"
                    answered.release()
                    if answer.headers["connection"] == "close":
                        ends.append("told")
                        return
            except (OSError, http.client.HTTPException) as error:
                ends.append(repr(error))
            finally:
                connection.close()

        clients = [threading.Thread(target=ask) for _ in range(16)]
        for client in clients:
            client.start()
        for _ in range(100):
            assert answered.acquire(timeout=10)
        stop()
        for client in clients:
            client.join(15)
    assert ends == ["told"] * 16
