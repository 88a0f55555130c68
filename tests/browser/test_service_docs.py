"""The page that explains the service, in a headless browser."""

import socket
import threading
import time

import pytest

from src.runs.opening import open_run
from src.serving.app import build_app
from src.serving.server import make_server

pytestmark = pytest.mark.slow


@pytest.fixture
def address(kept_run):
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(build_app(open_run(kept_run("experiment=price_lstm")).predictor, "a run"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_the_page_loads_nothing_and_forecasts_on_a_click(browser, address):
    browser.get(f"{address}/docs")
    text = browser.find_element("tag name", "body").text
    assert "POST /predict" in text
    assert f"{address}/predict" in text
    assert browser.execute_script("return performance.getEntriesByType('resource')") == []
    browser.find_element("tag name", "button").click()
    answer = browser.find_element("id", "answer")
    deadline = time.monotonic() + 20
    while not answer.text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.text.startswith("200\n")
    assert '"predicted_price"' in answer.text
