"""python -m src.serve as a process: it starts, listens on this machine only, and ends well."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from omegaconf import OmegaConf

from src.config import CONFIG_DIR
from src.serving.server import build_server

PRICES = json.dumps({"prices": [100 + day / 10 for day in range(60)]}).encode()


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "src.serve", *arguments],
        cwd=CONFIG_DIR.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_request_under_way_is_answered_before_sigterm_ends_the_service(kept_run):
    process = start(f"ckpt_path={kept_run('experiment=price_lstm')}", "port=0")
    line = process.stdout.readline()
    port = int(line.split("http://127.0.0.1:")[1].split()[0])
    url = f"http://127.0.0.1:{port}/predict"
    request = urllib.request.Request(url, PRICES, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        whole = json.load(answer)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = "POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: {len(PRICES)}\r\n\r\n".encode() + PRICES[:50])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20):
            pass  # by now the first half has been read
        process.send_signal(signal.SIGTERM)
        connection.sendall(PRICES[50:])
        answered = b""
        while chunk := connection.recv(4096):
            answered += chunk
    assert json.loads(answered.split(b"\r\n\r\n")[1]) == whole
    assert process.wait(20) == -signal.SIGTERM
    assert process.stderr.read() == ""


def test_by_default_it_listens_on_this_machine_only():
    assert OmegaConf.load(CONFIG_DIR / "serve.yaml").host == "127.0.0.1"


@pytest.mark.parametrize("port", [-1, 65536, 1.5, True, "http"])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(ValueError, match=f"from 0 to 65535, got {port!r}"):
        build_server("nowhere", port=port)


def test_a_port_in_use_is_refused_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            build_server("nowhere", port=port)


def test_a_run_that_is_not_there_and_a_level_out_of_reach_are_refused(kept_run):
    with pytest.raises(ValueError, match="does not exist: nowhere"):
        build_server("nowhere")
    with pytest.raises(ValueError, match=r"got 1\.5"):
        build_server(str(kept_run("experiment=price_lstm")), level=1.5)


def test_answers_are_not_held_back_to_fill_a_packet(kept_run):
    """Without this each answer waits 40 ms for the client's acknowledgement."""
    _, listening = build_server(str(kept_run("experiment=price_lstm")))
    with listening:
        assert listening.proto == socket.IPPROTO_TCP
